"""Families of environments, and how their observations become the flat vectors that networks see."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.settings import Task


def family(task: Task) -> str:
    """The family of a task's environment: PointMaze for PointMaze_UMaze-v3."""
    return family_of(task.environment)


def family_of(environment: str) -> str:
    """The family of a Gymnasium id."""
    return re.split(r"_|-v\d", environment)[0]


@dataclass(frozen=True)
class View:
    """Maps an observation to a flat vector [S]: concatenates some of its parts, then shifts and scales them."""

    # Parts of a goal observation; the default omits the achieved goal, which repeats the position.
    parts: tuple[str, ...] = ("observation", "desired_goal")
    # Subtracted from the vector, [S], before it is multiplied by the factor; empty: the vector is unchanged.
    centre: tuple[float, ...] = ()
    factor: float = 1.0

    def concatenate(self, observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """The concatenated parts of one observation or a batch of them, float32 [..., S], unscaled."""
        if isinstance(observation, Mapping):
            chosen = [observation[name] for name in self.parts]
            return np.concatenate(chosen, axis=-1, dtype=np.float32, casting="same_kind")
        return np.asarray(observation, dtype=np.float32)

    def flat(self, observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """One observation or a batch of them as float32 [..., S]."""
        flat = self.concatenate(observation)
        if not self.centre:
            return flat
        return (flat - np.asarray(self.centre, np.float32)) * np.float32(self.factor)
