"""Estimates with intervals: the mean of the runs of one task with its t interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from harness.metrics import LEARNED_FLOOR, METRICS

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A point estimate, usually a mean over runs, with its interval; low and high are NaN if there is none."""

    mean: float
    low: float
    high: float
    # Number of runs; for several tasks the runs of all of them.
    n: int
    # Name of the interval.
    method: str


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """A mean difference, paired by seed."""

    # Correlation of the two arms over seeds; NaN if either is constant.
    correlation: float
    # p-value of the two-sided sign-flip test of no difference; NaN without pairs.
    p_value: float


NO_INTERVAL = "no interval"


# The range of a quantity without bounds.
Range = tuple[float, float]
UNBOUNDED: Range = (-inf, inf)


def bounds_of(metric: str, runs: pd.DataFrame) -> Range:
    """The range of the metric of a name in `runs`: shares of returns, which some tasks have as score, have none."""
    known = next((one for one in (*METRICS.values(), *LEARNED_FLOOR) if one.name == metric), None)
    if known is None:
        return UNBOUNDED
    returns = "task.reference_returns" in runs and runs["task.reference_returns"].notna().any()
    return UNBOUNDED if returns and known.unit == "share" else (known.low, known.high)


def bounds_of_difference(bounds: Range) -> Range:
    """The range of the difference of two numbers with these bounds."""
    return (bounds[0] - bounds[1], bounds[1] - bounds[0]) if np.isfinite(bounds).all() else UNBOUNDED


def within(low: float, high: float, bounds: Range, values: ArrayLike) -> tuple[float, float]:
    """An interval cut at the bounds of its quantity; as it is if a number of `values` lies outside them.

    What lies outside the bounds cannot be the mean, so leaving it out changes no coverage.
    """
    numbers = present(values)
    if not (bounds[0] <= numbers).all() or not (numbers <= bounds[1]).all():
        return low, high
    return float(np.maximum(low, bounds[0])), float(np.minimum(high, bounds[1]))


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE, bounds: Range = UNBOUNDED) -> Estimate:
    """Mean of `values` [n], one per run, with its t interval within the quantity's `bounds`; NaNs are left out.

    All NaN without values; one value has no interval; equal values have an interval of width zero.
    """
    numbers = present(values)
    n = len(numbers)
    mean = float(numbers.mean()) if n else np.nan
    if n < 2:
        return Estimate(mean, np.nan, np.nan, n, NO_INTERVAL)
    half = half_width(float(numbers.std(ddof=1)), n, confidence)
    low, high = within(mean - half, mean + half, bounds, numbers)
    return Estimate(mean, low, high, n, t_method(confidence))


def half_width(deviation: float, n: int, confidence: float) -> float:
    """Half the width of the t interval for the mean of `n` numbers with sample standard deviation `deviation`."""
    return float(_quantile((1 + confidence) / 2, n - 1) * deviation / sqrt(n))


@cache
def _quantile(probability: float, freedom: int) -> np.float64:
    """The quantile of a t distribution, which takes SciPy as long as all the rest of an interval."""
    return np.float64(stats.t.ppf(probability, freedom))


def t_method(confidence: float) -> str:
    """The name of a t interval."""
    return f"t, {confidence:.0%}"


def present(values: ArrayLike) -> np.ndarray:
    """`values` [n] as float64, without NaNs."""
    numbers = np.asarray(values, dtype=float)
    return numbers[~np.isnan(numbers)]


def estimates_by(
    frame: pd.DataFrame, keys: Sequence[str], column: str, bounds: Mapping[str, Range] | Range = UNBOUNDED
) -> pd.DataFrame:
    """`mean_interval` of `column` for every group of equal `keys`; columns: the keys, then the fields of `Estimate`.

    `bounds`: those of the quantity, or of each by the values of a column "quantity", which is one of the keys.
    Numbers of a group with several data seeds (column "data_seed") are first averaged by data seed; n counts these.

    Groups are in the order of their first rows; groups without a number are left out.
    """
    groups = _replicates(frame, list(keys), column).groupby(list(keys), sort=False)[column]
    table = groups.agg(mean="mean", deviation="std", n="count", least="min", largest="max").reset_index()
    table = table[table["n"] > 0].reset_index(drop=True)
    # The standard deviation of a single number is NaN, and so is its interval.
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, (table["n"] - 1).clip(lower=1))
    half = quantile * table["deviation"] / np.sqrt(table["n"])
    method = np.where(table["n"] > 1, t_method(CONFIDENCE), NO_INTERVAL)
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half, method=method)
    if isinstance(bounds, Mapping):
        ranges = [bounds.get(quantity, UNBOUNDED) for quantity in table["quantity"]]
    else:
        ranges = [bounds] * len(table)
    least, largest = np.array(ranges, dtype=float).reshape(-1, 2).T
    within = (least <= table["least"]) & (table["largest"] <= largest)
    table["low"] = np.where(within, np.maximum(table["low"], least), table["low"])
    table["high"] = np.where(within, np.minimum(table["high"], largest), table["high"])
    return table[[*keys, "mean", "low", "high", "n", "method"]]


def _replicates(frame: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """The independent numbers of every group: those of runs, or their means by data seed where there are several."""
    if "data_seed" not in frame or frame["data_seed"].nunique() < 2:
        return frame
    first = frame.drop_duplicates(keys)[keys]
    several = frame.groupby(keys, sort=False)["data_seed"].transform("nunique") > 1
    means = frame[several].groupby([*keys, "data_seed"], sort=False)[column].mean().reset_index()
    return first.merge(pd.concat([frame.loc[~several, [*keys, column]], means]), on=keys)
