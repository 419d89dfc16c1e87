"""Families of environments, and how the observations of each become the flat vectors that networks see."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.settings import Task

POINTMAZE, ANTMAZE, KITCHEN = "PointMaze", "AntMaze", "FrankaKitchen"

# Families with a configurable maze.
MAZES = (POINTMAZE, ANTMAZE)

REACH, PUSH, PICK_AND_PLACE = "FetchReach", "FetchPush", "FetchPickAndPlace"
FETCH = (REACH, PUSH, PICK_AND_PLACE)


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


# Centre of the gripper's workspace of Fetch, in metres. Raw positions vary by a tenth of their magnitude or less. In
# decimetres from the centre, behaviour cloning of 50,000 pushing transitions (noise 0.2) gets as far after 3,000
# updates as after 12,000 without scaling (three seeds).
MIDDLE = (1.34, 0.75, 0.5)
PER_DECIMETRE = 10.0


def _fetch(positions: int, others: int) -> View:
    """The view of observations that begin with a number of positions and end with the position of the goal."""
    return View(centre=(*MIDDLE * positions, *(0.0,) * others, *MIDDLE), factor=PER_DECIMETRE)


# Views of the families that do not use the default one: the observation of an ant lacks its position, and the goals of
# the kitchen never change. An observation of Fetch has the positions of gripper and block, then fingers and velocities,
# and the relative position and motion of the block.
VIEWS = {
    ANTMAZE: View(("achieved_goal", "observation", "desired_goal")),
    KITCHEN: View(("observation",)),
    REACH: _fetch(1, 7),
    PUSH: _fetch(2, 19),
    PICK_AND_PLACE: _fetch(2, 19),
}


def view_of(task: Task) -> View:
    """The view of a task's observations."""
    return VIEWS.get(family(task), View())
