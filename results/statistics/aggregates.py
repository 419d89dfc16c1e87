"""Aggregates over tasks, by the conventions of rliable (Agarwal et al. 2021).

`tasks` is a list of arrays, one per task: runs [..., n_t], or for two arms pairs of runs with equal seed [..., n_t, 2].
All tasks have the same leading axes, which are those of the result; their numbers of runs n_t may differ. Pooled runs
have equal weights.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Tasks = Sequence[np.ndarray]


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


def _probability_of_win(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of pairs in which `first` [..., n] is larger than `second` [..., n], ties half, [...]."""
    n = first.shape[-1]
    ranks = stats.rankdata(np.concatenate([first, second], axis=-1), axis=-1)[..., :n]
    return (ranks.sum(axis=-1) - n * (n + 1) / 2) / n**2
