"""Dose response: trend tests and slopes over doses, paired by seed."""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.signal import convolve

from results.statistics.intervals import CONFIDENCE, UNBOUNDED, Estimate, Range, mean_interval

# The test enumerates all orders of the doses: 8! = 40,320.
MOST_DOSES = 8

Direction = Literal["rises", "falls"]


@dataclass(frozen=True)
class Trend:
    """The response of a number to a dose."""

    # Mean over seeds of the least-squares slope over the doses, with its t interval.
    slope: Estimate
    # Mean over seeds of Spearman's rank correlation with the dose, -1 to 1; 0 for a seed with constant values.
    rank_correlation: float
    # p-value of Page's exact test, also with ties; NaN without a complete seed.
    p_value: float


def dose_response(
    values: ArrayLike,
    doses: ArrayLike,
    direction: Direction,
    confidence: float = CONFIDENCE,
    bounds: Range = UNBOUNDED,
) -> Trend:
    """The trend of `values` [n seeds, d doses] over `doses` [d], with a one-sided test that it `rises` or `falls`.

    `bounds` are those of the values, from which those of the slope follow.

    Seeds with a NaN are left out. The statistic is that of Page (1963): the sum over seeds of dose rank times rank of
    the value within its seed, with average ranks for ties. Its null distribution is exact: without a trend all orders
    of the values of a seed are equally likely.

    Raises ValueError for fewer than 2 or more than `MOST_DOSES` doses, equal or infinite doses, or shapes that do not
    match.
    """
    numbers, dose = np.asarray(values, dtype=float), np.asarray(doses, dtype=float)
    if numbers.ndim != 2 or dose.shape != numbers.shape[1:]:
        raise ValueError(f"values {numbers.shape}: must have a row per seed and a column per dose {dose.shape}")
    if not 2 <= len(dose) <= MOST_DOSES or not np.isfinite(dose).all() or len(set(dose)) < len(dose):
        raise ValueError(f"doses {dose.tolist()}: must be 2 to {MOST_DOSES} different finite numbers")
    numbers = numbers[~np.isnan(numbers).any(axis=1)]
    weights = (dose - dose.mean()) / ((dose - dose.mean()) ** 2).sum()
    slopes = numbers @ weights
    # The steepest slope has the upper bound at all doses above the mean and the lower one below it.
    steepest = float(weights.clip(min=0).sum()) * (bounds[1] - bounds[0])
    dose_ranks = stats.rankdata(dose)
    ranks = stats.rankdata(numbers, axis=1) if len(numbers) else numbers
    signed = ranks if direction == "rises" else len(dose) + 1 - ranks
    p_value = page_p_value(signed, dose_ranks) if len(ranks) else np.nan
    return Trend(
        mean_interval(slopes, confidence, (-steepest, steepest)), _mean_rank_correlation(ranks, dose_ranks), p_value
    )


def page_p_value(ranks: np.ndarray, dose_ranks: np.ndarray) -> float:
    """p-value of Page's test: the probability of a statistic at least as large as that of `ranks` [n, d].

    `dose_ranks` [d] are the ranks of the doses. Under the null hypothesis all orders within a row are equally likely.
    """
    # Average ranks are multiples of 1/2, so doubled sums are integers.
    doubled, weights = np.rint(2 * ranks).astype(int), np.rint(dose_ranks).astype(int)
    distribution = np.ones(1)
    for row, times in zip(*np.unique(np.sort(doubled, axis=1), axis=0, return_counts=True), strict=True):
        sums = np.array(list(permutations(row.tolist()))) @ weights
        distribution = convolve(distribution, _sum_of(np.bincount(sums) / len(sums), times))
    observed = int((doubled @ weights).sum())
    # With many seeds `convolve` uses Fourier transforms, whose errors of 1e-15 may give negative probabilities.
    return float(np.clip(distribution[observed:].sum(), 0.0, 1.0))


def _sum_of(distribution: np.ndarray, times: int) -> np.ndarray:
    """The distribution of the sum of `times` independent draws, by repeated doubling."""
    if times == 1:
        return distribution
    half = _sum_of(distribution, times // 2)
    doubled = convolve(half, half)
    return convolve(doubled, distribution) if times % 2 else doubled


def _mean_rank_correlation(ranks: np.ndarray, dose_ranks: np.ndarray) -> float:
    if not len(ranks):
        return np.nan
    centred, doses = ranks - ranks.mean(axis=1, keepdims=True), dose_ranks - dose_ranks.mean()
    norm = np.sqrt((centred**2).sum(axis=1) * (doses**2).sum())
    return float(np.divide(centred @ doses, norm, out=np.zeros(len(ranks)), where=norm > 0).mean())
