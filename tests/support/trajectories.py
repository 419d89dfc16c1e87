"""Small hand-made datasets."""

import numpy as np

from harness.data.dataset import Dataset
from harness.data.trajectories import Trajectory, stack


def trajectory(start: float, length: int, terminated: bool = True, reward: float = -1.0) -> Trajectory:
    """One-dimensional states start, start + 1, ...; actions are minus the state; `reward` a step, 0 at a terminal."""
    states = np.arange(start, start + length + 1, dtype=np.float32)[:, None]
    ends = np.zeros(length, dtype=bool)
    ends[-1] = True
    return Trajectory(
        observations=states,
        actions=-states[:-1],
        rewards=np.where(ends & terminated, 0.0, reward).astype(np.float32),
        terminated=ends & terminated,
        truncated=ends & (not terminated),
    )


def dataset(*trajectories: Trajectory) -> Dataset:
    """A dataset of these trajectories."""
    return Dataset("tests/hand-made-v0", "0" * 64, stack(trajectories))
