"""Stratified bootstrap intervals of aggregates over tasks: runs are resampled within each task.

With few runs a percentile interval is too narrow: by sqrt((n - 1) / n), and because it uses the normal instead of the t
quantile. The percentiles are expanded accordingly (Hesterberg 2015, "expanded percentile interval").
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from results.statistics.intervals import CONFIDENCE, NO_INTERVAL, Estimate

# Smallest and largest number of resamples. In between: as many as draw this many numbers in total.
FEWEST, MOST = 2_000, 10_000
NUMBERS = 2_000_000

# Largest number of numbers drawn at once, to bound the memory.
PIECE = 2**21

# From tasks [..., n_t] or [..., n_t, k] to [...] or [..., K], see `results.statistics.aggregates`.
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]


def stratified_interval(
    tasks: Sequence[ArrayLike],
    statistic: Statistic,
    generator: np.random.Generator,
    resamples: int | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """A statistic of `tasks` with its interval; an array [n_t] of runs or [n_t, k] of seeds of k arms per task.

    Rows with a NaN and tasks without rows are left out. Without a task with two rows there is no interval.
    """
    present = rows(tasks)
    n = sum(map(len, present))
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, NO_INTERVAL)
    point, low, high = stratified_band(present, statistic, generator, resamples, confidence)
    method = NO_INTERVAL if np.isnan(low) else f"stratified bootstrap, {confidence:.0%}"
    return Estimate(float(point), float(low), float(high), n, method)


def stratified_band(
    tasks: Sequence[ArrayLike],
    statistic: Statistic,
    generator: np.random.Generator,
    resamples: int | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point estimate, low and high, each [...], of a statistic of `tasks` with values [...]; intervals are pointwise.

    Low and high are NaN without a task with two rows. Raises ValueError without any row.
    """
    present = rows(tasks)
    if not present:
        raise ValueError("no runs to resample")
    point = np.asarray(statistic(present))
    freedom = sum(len(task) - 1 for task in present)
    if freedom == 0:
        return point, np.full(point.shape, np.nan), np.full(point.shape, np.nan)
    numbers = sum(task.size for task in present)
    drawn = resampled(present, statistic, generator, resamples or max(FEWEST, min(MOST, NUMBERS // numbers)))
    narrowing = np.sqrt(sum(map(len, present)) / freedom)
    tail = stats.norm.cdf(-narrowing * stats.t.ppf((1 + confidence) / 2, freedom))
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return point, low, high


def resampled(
    tasks: Sequence[np.ndarray], statistic: Statistic, generator: np.random.Generator, resamples: int
) -> np.ndarray:
    """The statistic [resamples, ...] of `resamples` bootstrap samples: n_t rows of every task, with replacement."""
    at_once = max(1, PIECE // sum(task.size for task in tasks))
    pieces = []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        pieces.append(statistic([task[generator.integers(len(task), size=(size, len(task)))] for task in tasks]))
    return np.concatenate(pieces)


def rows(tasks: Sequence[ArrayLike]) -> list[np.ndarray]:
    """The rows of every task without NaN, [m_t] or [m_t, k]; tasks without such rows are left out."""
    complete = []
    for task in tasks:
        numbers = np.asarray(task, dtype=float)
        present = numbers[~np.isnan(numbers).any(axis=tuple(range(1, numbers.ndim)))]
        if len(present):
            complete.append(present)
    return complete
