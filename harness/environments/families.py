"""Names and families of environments, and how their observations become the flat vectors that networks see.

Imports nothing that simulates or computes: plans of runs need the names only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.settings import Task

if TYPE_CHECKING:
    import numpy as np

    from harness.environments.exact_values import RoadValues

# Gymnasium id of the winding road.
WINDING_ROAD = "floorbench/WindingRoad-v0"

# Namespace of the Minari datasets converted from OGBench's files.
NAMESPACE = "ogbench/"

_DATASET = re.compile(r"(?P<environment>.+)-(?P<kind>[a-z]+)-singletask(?P<task>-task[1-5])?-v0")

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


def is_quick(task: Task) -> bool:
    """Whether a step of the task's environment takes microseconds; others simulate for longer."""
    return family(task) == POINTMAZE or task.environment == WINDING_ROAD


class SingleTask(NamedTuple):
    """The names of an OGBench single task's environment and dataset."""

    # Gymnasium id of the environment.
    environment: str
    # Dataset, shared by the five tasks of an environment.
    dataset: str


def single_task(name: str) -> SingleTask | None:
    """The names for a task such as `antmaze-large-navigate-singletask-task1-v0`; None for other names.

    The rules are those of `ogbench.make_env_and_datasets`.
    """
    match = _DATASET.fullmatch(name)
    if match is None:
        return None
    environment, kind, task = match["environment"], match["kind"], match["task"] or ""
    return SingleTask(f"{environment}-singletask{task}-v0", f"{environment}-{kind}-v0")


def has_exact_values(task: Task) -> bool:
    """Whether the values of a task can be computed (exact_values.py).

    Raises a UserError unless the mapped rewards make earlier arrivals better.
    """
    if task.environment != WINDING_ROAD:
        return False
    if task.reward_bias * task.discount >= task.reward_scale * (1.0 - task.discount):
        raise UserError(
            f"task.reward_bias = {task.reward_bias:g}: staying on the road is worth more than arriving; "
            f"with task.reward_scale = {task.reward_scale:g} and task.discount = {task.discount:g} it must be "
            f"below {task.reward_scale * (1.0 - task.discount) / task.discount:.3g}"
        )
    return True


@functools.cache
def exact_values(task: Task) -> RoadValues | None:
    """The exact values of a task; None if they are not known. Raises UserError as `has_exact_values` does."""
    if not has_exact_values(task):
        return None
    from harness.environments.exact_values import RoadValues

    return RoadValues(task)


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
        import numpy as np

        if isinstance(observation, Mapping):
            chosen = [observation[name] for name in self.parts]
            return np.concatenate(chosen, axis=-1, dtype=np.float32, casting="same_kind")
        return np.asarray(observation, dtype=np.float32)

    def flat(self, observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """One observation or a batch of them as float32 [..., S]."""
        import numpy as np

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
    view = VIEWS.get(family(task), View())
    if task.observes_goal:
        return view
    return replace(view, parts=tuple(part for part in view.parts if part != "desired_goal"))
