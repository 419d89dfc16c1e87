"""The Franka kitchen: a robot arm with up to seven subtasks."""

from collections.abc import Sequence
from typing import Any

import gymnasium

from harness.errors import UserError

KITCHEN = "FrankaKitchen"

SUBTASKS = (
    "bottom burner", "top burner", "light switch", "slide cabinet", "hinge cabinet", "microwave", "kettle",
)  # fmt: skip


def kitchen_options(subtasks: Sequence[str]) -> dict[str, Any]:
    """Options of the environment: the reward of a step is the number of completed subtasks, as in the hosted data.

    A subtask counts as long as it stays completed; the episode continues when all are.
    """
    for subtask in subtasks:
        if subtask not in SUBTASKS:
            raise UserError(f"task.subtasks: unknown subtask {subtask!r}; choose from {', '.join(SUBTASKS)}")
    if not subtasks:
        raise UserError(f"task.subtasks: the kitchen needs at least one of {', '.join(SUBTASKS)}")
    return {
        "tasks_to_complete": list(subtasks),
        "remove_task_when_completed": False,
        "terminate_on_tasks_completed": False,
    }


class SubtaskFraction(gymnasium.Wrapper):
    """Reports with every step the fraction of the subtasks completed in the episode so far, which is D4RL's score."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; `info["fraction_done"]` is the fraction, 0 to 1."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        fraction = len(info["episode_task_completions"]) / len(self.get_wrapper_attr("goal"))
        return observation, reward, terminated, truncated, {**info, "fraction_done": fraction}
