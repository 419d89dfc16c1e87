"""Aggregates over tasks by the conventions of rliable (Agarwal et al. 2021), and their stratified bootstrap intervals.

`tasks` is a list of arrays, one per task: runs [..., n_t], or for two arms pairs of runs with equal seed [..., n_t, 2].
All tasks have the same leading axes, which are those of the result; their numbers of runs n_t may differ. Pooled runs
have equal weights. The bootstrap resamples runs within each task.

With few runs a percentile interval is too narrow: by sqrt((n - 1) / n), and because it uses the normal instead of the t
quantile. The percentiles are expanded accordingly (Hesterberg 2015, "expanded percentile interval").
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from results.statistics.intervals import CONFIDENCE, NO_INTERVAL, Estimate

Tasks = Sequence[np.ndarray]

# Smallest and largest number of resamples. In between: as many as draw this many numbers in total.
FEWEST, MOST = 2_000, 10_000
NUMBERS = 2_000_000

# Largest number of numbers drawn at once, to bound the memory.
PIECE = 2**21

# From tasks [..., n_t] or [..., n_t, k] to [...] or [..., K].
Statistic = Callable[[Tasks], np.ndarray]


def iqm(tasks: Tasks) -> np.ndarray:
    """Interquartile mean of all runs of all `tasks` [..., n_t]: the mean of the middle half, [...].

    A quarter of the runs, rounded down, is trimmed at both ends.
    """
    return np.asarray(stats.trim_mean(np.concatenate(tasks, axis=-1), 0.25, axis=-1))


def mean_of_tasks(tasks: Tasks) -> np.ndarray:
    """Mean over tasks of the mean over runs, `tasks` [..., n_t], [...]: tasks have equal weights."""
    return np.mean([task.mean(axis=-1) for task in tasks], axis=0)


def optimality_gap(tasks: Tasks, target: float = 1.0) -> np.ndarray:
    """Mean shortfall of all runs of all `tasks` [..., n_t] from `target`; 0 for runs above it, [...]."""
    return target - np.minimum(np.concatenate(tasks, axis=-1), target).mean(axis=-1)


def probability_of_improvement(tasks: Tasks) -> np.ndarray:
    """Probability that a run of the first arm is better than one of the second on a random task, [...].

    Compares all n_t^2 pairs of runs of every task of `tasks` [..., n_t, 2] (Mann-Whitney); ties count half.
    """
    return np.mean([_probability_of_win(task[..., 0], task[..., 1]) for task in tasks], axis=0)


def iqm_difference(tasks: Tasks) -> np.ndarray:
    """IQM of the first arm minus IQM of the second, `tasks` [..., n_t, 2], [...]."""
    return iqm([task[..., 0] for task in tasks]) - iqm([task[..., 1] for task in tasks])


def performance_profile(tasks: Tasks, thresholds: ArrayLike) -> np.ndarray:
    """Share of all runs of all `tasks` [..., n_t] above each of the increasing `thresholds` [K], [..., K]."""
    runs, bounds = np.concatenate(tasks, axis=-1), np.asarray(thresholds, dtype=float)
    *lead, n = runs.shape
    # A histogram over the gaps between thresholds needs one binary search per run.
    gaps = np.searchsorted(bounds, runs.reshape(-1, n), side="left")
    rows, size = len(gaps), len(bounds) + 1
    counts = np.bincount((gaps + size * np.arange(rows)[:, None]).ravel(), minlength=rows * size).reshape(rows, size)
    above = counts[:, :0:-1].cumsum(axis=-1)[:, ::-1]
    return (above / n).reshape(*lead, len(bounds))


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
        draws = [generator.integers(len(task), size=(size, len(task))) for task in tasks]
        # Several times as fast as indexing.
        pieces.append(statistic([task.take(rows, axis=0) for task, rows in zip(tasks, draws, strict=True)]))
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


def _probability_of_win(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of pairs in which `first` [..., n] is larger than `second` [..., n], ties half, [...]."""
    # For the few runs of a task, counting is many times as fast as ranks.
    ours, others = (np.ascontiguousarray(np.moveaxis(runs, -1, 0)) for runs in (first, second))
    halves = np.zeros(first.shape[:-1], dtype=np.int64)
    for other in others:
        halves += (ours > other).sum(axis=0, dtype=np.int32)
        halves += (ours >= other).sum(axis=0, dtype=np.int32)
    return np.asarray(halves / (2 * len(ours) * len(others)))
