"""Families of environments, and how their observations become the flat vectors that networks see."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.settings import Task


def family(task: Task) -> str:
    """The family of a task's environment: PointMaze_UMaze-v3 belongs to PointMaze."""
    return family_of(task.environment)


def family_of(environment: str) -> str:
    """The family of a Gymnasium id."""
    return re.split(r"_|-v\d", environment)[0]


@dataclass(frozen=True)
class View:
    """The flat vector [S] of an observation: some of its parts side by side, moved and stretched."""

    # Parts of a goal observation. The achieved goal repeats the position.
    parts: tuple[str, ...] = ("observation", "desired_goal")
    # What is subtracted of the numbers, [S], and by what the rest is multiplied; empty: they stay as they are.
    centre: tuple[float, ...] = ()
    factor: float = 1.0

    def side_by_side(self, observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """The parts of one observation or of a block of them as they come, float32 [..., S]."""
        if isinstance(observation, Mapping):
            chosen = [observation[name] for name in self.parts]
            return np.concatenate(chosen, axis=-1, dtype=np.float32, casting="same_kind")
        return np.asarray(observation, dtype=np.float32)

    def flat(self, observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """One observation or a block of them as float32 [..., S]."""
        flat = self.side_by_side(observation)
        if not self.centre:
            return flat
        return (flat - np.asarray(self.centre, np.float32)) * np.float32(self.factor)
