"""Means with intervals: functions of arrays, one number per run in, one estimate out.

For one task the t interval is used: at 3 to 10 seeds it keeps its nominal coverage, the percentile bootstrap does not.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. Without an interval (fewer than two runs) low and high are NaN."""

    mean: float
    low: float
    high: float
    # Runs it rests on.
    n: int
    # How the interval was made.
    method: str


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """A mean difference within seed, with the correlation between the two arms (NaN where either is constant)."""

    correlation: float


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of `values` [n] (one number per run; NaN: the number does not apply to that run) with its t interval.

    n = 0: all NaN; n = 1: the mean without an interval; equal values: an interval of width zero.
    """
    all_numbers = np.asarray(values, dtype=float)
    numbers = all_numbers[~np.isnan(all_numbers)]
    n = len(numbers)
    if n < 2:
        return Estimate(float(numbers[0]) if n else nan, nan, nan, n, "no interval")
    mean = float(numbers.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * numbers.std(ddof=1) / sqrt(n))
    return Estimate(mean, mean - half, mean + half, n, f"t, {confidence:.0%}")


def paired_difference(values: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE) -> PairedEstimate:
    """Mean of `values` [n] - `baseline` [n], where entry i of both comes from the same seed, with its t interval.

    Pairs with a NaN on either side are left out. Raises ValueError if the lengths differ.
    """
    ours, theirs = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} values cannot be paired with {theirs.shape} of the baseline")
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = ours[both], theirs[both]
    estimate = mean_interval(ours - theirs, confidence)
    varied = len(ours) > 1 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
    correlation = float(np.corrcoef(ours, theirs)[0, 1]) if varied else nan
    return PairedEstimate(**asdict(estimate) | {"method": f"paired {estimate.method}"}, correlation=correlation)


def estimates_by(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """`mean_interval` of `column` in every group of equal `keys`: the keys, then the fields of `Estimate`.

    Groups stand in the order of their first row; groups in which the number applies to no run are left out.
    """
    rows = [
        {**dict(zip(keys, group, strict=True)), **asdict(mean_interval(values))}
        for group, values in frame.groupby(list(keys), sort=False)[column]
        if values.notna().any()
    ]
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "n", "method"])
