"""The Franka kitchen: a robot arm and some of seven subtasks."""

from collections.abc import Sequence
from typing import Any

import gymnasium

from harness.errors import UserError

KITCHEN = "FrankaKitchen"

SUBTASKS = (
    "bottom burner", "top burner", "light switch", "slide cabinet", "hinge cabinet", "microwave", "kettle",
)  # fmt: skip


def kitchen_options(subtasks: Sequence[str]) -> dict[str, Any]:
    """What the environment is told: a step's reward is the number of subtasks that are done, as in the hosted data.

    Done subtasks count on as long as they stay done, and the episode goes on when all are.
    """
    for subtask in subtasks:
        if subtask not in SUBTASKS:
            raise UserError(f"task.subtasks: there is no {subtask!r} in the kitchen; there are {', '.join(SUBTASKS)}")
    if not subtasks:
        raise UserError(f"task.subtasks: the kitchen needs at least one of {', '.join(SUBTASKS)}")
    return {
        "tasks_to_complete": list(subtasks),
        "remove_task_when_completed": False,
        "terminate_on_tasks_completed": False,
    }


class ShareOfSubtasks(gymnasium.Wrapper):
    """Tells with every step the share of the subtasks that the episode has done so far, as D4RL scores it."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; `info["share_done"]` is the share, 0 to 1."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        share = len(info["episode_task_completions"]) / len(self.get_wrapper_attr("goal"))
        return observation, reward, terminated, truncated, {**info, "share_done": share}
