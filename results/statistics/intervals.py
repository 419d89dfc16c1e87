"""Estimates with intervals: the mean of the runs of one task with its t interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A point estimate, usually a mean over runs, with its interval; low and high are NaN without one."""

    mean: float
    low: float
    high: float
    # Number of runs; of pooled tasks, all their runs.
    n: int
    # Method of the interval.
    method: str


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """A mean difference, paired by seed."""

    # Correlation of the two arms over seeds; NaN if either is constant.
    correlation: float
    # Of the exact two-sided sign-flip test; NaN without pairs.
    p_value: float


NO_INTERVAL = "no interval"


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of `values` [n] (one number per run; NaN: not available) with its t interval.

    n = 0: all NaN; n = 1: the mean without an interval; equal values: an interval of width zero.
    """
    numbers = present(values)
    n = len(numbers)
    mean = float(numbers.mean()) if n else np.nan
    if n < 2:
        return Estimate(mean, np.nan, np.nan, n, NO_INTERVAL)
    half = half_width(float(numbers.std(ddof=1)), n, confidence)
    return Estimate(mean, mean - half, mean + half, n, t_method(confidence))


def half_width(deviation: float, n: int, confidence: float) -> float:
    """Half of a t interval about the mean of `n` numbers of this sample standard deviation."""
    return float(stats.t.ppf((1 + confidence) / 2, n - 1) * deviation / sqrt(n))


def t_method(confidence: float) -> str:
    """The name of the t interval."""
    return f"t, {confidence:.0%}"


def present(values: ArrayLike) -> np.ndarray:
    """The numbers among `values` [n] as float64, without NaN."""
    numbers = np.asarray(values, dtype=float)
    return numbers[~np.isnan(numbers)]


def estimates_by(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """`mean_interval` of `column` in every group of equal `keys`: the keys, then the fields of `Estimate`.

    Groups are in the order of their first row; groups without any number are left out.
    """
    groups = frame.groupby(list(keys), sort=False)[column]
    table = groups.agg(mean="mean", deviation="std", n="count").reset_index()
    table = table[table["n"] > 0].reset_index(drop=True)
    # A group of one has no standard deviation, so its interval is NaN.
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, (table["n"] - 1).clip(lower=1))
    half = quantile * table["deviation"] / np.sqrt(table["n"])
    method = np.where(table["n"] > 1, t_method(CONFIDENCE), NO_INTERVAL)
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half, method=method)
    return table[[*keys, "mean", "low", "high", "n", "method"]]
