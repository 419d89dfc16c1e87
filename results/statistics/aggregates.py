"""Aggregates over several tasks, by the conventions of rliable (Agarwal et al. 2021).

Every function takes `tasks`, one array per task whose last axes are its runs, with any equal leading axes in front:
[..., n_t], or [..., n_t, 2] where two arms are compared, entry [i, 0] and [i, 1] from the same seed. Tasks may have
different numbers of runs; pooled runs count equally. Results have the shape of the leading axes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Tasks = Sequence[np.ndarray]


def iqm(tasks: Tasks) -> np.ndarray:
    """Interquartile mean of all runs of all `tasks` [..., n_t]: the mean of the middle half, [...].

    A quarter of the runs, rounded down, is cut off at either end.
    """
    return np.asarray(stats.trim_mean(np.concatenate(tasks, axis=-1), 0.25, axis=-1))


def mean_of_tasks(tasks: Tasks) -> np.ndarray:
    """Mean over tasks of the mean of the runs of each, `tasks` [..., n_t], [...]: every task counts once."""
    return np.mean([task.mean(axis=-1) for task in tasks], axis=0)


def optimality_gap(tasks: Tasks, target: float = 1.0) -> np.ndarray:
    """Mean shortfall from `target` of the runs of all `tasks` [..., n_t], 0 for runs beyond it, [...]."""
    return target - np.minimum(np.concatenate(tasks, axis=-1), target).mean(axis=-1)


def probability_of_improvement(tasks: Tasks) -> np.ndarray:
    """Probability that a run of the first arm beats one of the second on a random task, [...]; `tasks` [..., n_t, 2].

    All n_t^2 pairs of a task are compared (Mann-Whitney); a tie counts half.
    """
    return np.mean([_chance_to_win(task[..., 0], task[..., 1]) for task in tasks], axis=0)


def iqm_difference(tasks: Tasks) -> np.ndarray:
    """IQM of the first arm minus that of the second, `tasks` [..., n_t, 2], [...]."""
    return iqm([task[..., 0] for task in tasks]) - iqm([task[..., 1] for task in tasks])


def performance_profile(tasks: Tasks, thresholds: ArrayLike) -> np.ndarray:
    """Share of the runs of all `tasks` [..., n_t] above each of the increasing `thresholds` [K], [..., K]."""
    runs, bounds = np.concatenate(tasks, axis=-1), np.asarray(thresholds, dtype=float)
    *lead, n = runs.shape
    # Binary search for the gap between thresholds, then counts.
    gaps = np.searchsorted(bounds, runs.reshape(-1, n), side="left")
    rows, size = len(gaps), len(bounds) + 1
    counts = np.bincount((gaps + size * np.arange(rows)[:, None]).ravel(), minlength=rows * size).reshape(rows, size)
    above = counts[:, :0:-1].cumsum(axis=-1)[:, ::-1]
    return (above / n).reshape(*lead, len(bounds))


def _chance_to_win(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Share of pairs of `ours` [..., n] and `theirs` [..., n] in which ours is larger, ties half, [...]."""
    n = ours.shape[-1]
    ranks = stats.rankdata(np.concatenate([ours, theirs], axis=-1), axis=-1)[..., :n]
    return (ranks.sum(axis=-1) - n * (n + 1) / 2) / n**2
