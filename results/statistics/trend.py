"""Dose and response within seed: trend tests and slopes."""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.signal import convolve

from results.statistics.intervals import CONFIDENCE, Estimate, mean_interval

# All orders of the doses are enumerated: 8! = 40,320.
MOST_DOSES = 8

Direction = Literal["rises", "falls"]


@dataclass(frozen=True)
class Trend:
    """The response of a number to a dose."""

    # Mean over seeds of the least-squares slope over the doses, with its t interval.
    slope: Estimate
    # Mean over seeds of Spearman's rank correlation of dose and number, -1 to 1; a constant seed counts as 0.
    rank_correlation: float
    # Of Page's test, exact also with ties; NaN without a complete seed.
    p_value: float


def dose_response(values: ArrayLike, doses: ArrayLike, direction: Direction, confidence: float = CONFIDENCE) -> Trend:
    """The trend of `values` [n seeds, d doses] over the `doses` [d], and a one-sided test that it `rises` or `falls`.

    Seeds with a NaN at any dose are left out. Without a trend every order of a seed's values is equally likely, which
    gives Page's statistic (the sum over seeds of dose rank times the value's rank within its seed) its exact
    distribution. Source: Page 1963; average ranks for ties.

    Raises ValueError for fewer than 2 or more than `MOST_DOSES` doses, doses that are equal or not finite, or shapes
    that do not fit.
    """
    numbers, dose = np.asarray(values, dtype=float), np.asarray(doses, dtype=float)
    if numbers.ndim != 2 or dose.shape != numbers.shape[1:]:
        raise ValueError(f"values {numbers.shape} are not one row per seed of doses {dose.shape}")
    if not 2 <= len(dose) <= MOST_DOSES or not np.isfinite(dose).all() or len(set(dose)) < len(dose):
        raise ValueError(f"2 to {MOST_DOSES} different doses are needed, not {dose.tolist()}")
    numbers = numbers[~np.isnan(numbers).any(axis=1)]
    slopes = numbers @ (dose - dose.mean()) / ((dose - dose.mean()) ** 2).sum()
    dose_ranks = stats.rankdata(dose)
    ranks = stats.rankdata(numbers, axis=1) if len(numbers) else numbers
    signed = ranks if direction == "rises" else len(dose) + 1 - ranks
    p_value = page_p_value(signed, dose_ranks) if len(ranks) else np.nan
    return Trend(mean_interval(slopes, confidence), _mean_rank_correlation(ranks, dose_ranks), p_value)


def page_p_value(ranks: np.ndarray, dose_ranks: np.ndarray) -> float:
    """Probability of a sum of `ranks` [n, d] times `dose_ranks` [d] at least as large, if all orders are as likely."""
    # Average ranks are multiples of a half, so twice the products are whole numbers.
    doubled, weights = np.rint(2 * ranks).astype(int), np.rint(dose_ranks).astype(int)
    distribution = np.ones(1)
    for row, times in zip(*np.unique(np.sort(doubled, axis=1), axis=0, return_counts=True), strict=True):
        sums = np.array(list(permutations(row.tolist()))) @ weights
        distribution = convolve(distribution, _sum_of(np.bincount(sums) / len(sums), times))
    observed = int((doubled @ weights).sum())
    # Fourier transforms are accurate to 1e-15, so that tiny negative values can occur.
    return float(np.clip(distribution[observed:].sum(), 0.0, 1.0))


def _sum_of(distribution: np.ndarray, times: int) -> np.ndarray:
    """The distribution of the sum of that many independent draws, by repeated doubling."""
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
