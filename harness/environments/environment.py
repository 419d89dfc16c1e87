"""A task's environment as training sees it: flat observations, mapped rewards, an own horizon."""

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from harness.environments.winding_road import WINDING_ROAD
from harness.errors import UserError
from harness.settings import Task

# The parts of a goal observation that a flat observation is made of; the achieved goal repeats the position.
GOAL_PARTS = ("observation", "desired_goal")


class Environment:
    """One environment of a task.

    Gymnasium's wrappers cost as much as PointMaze's physics, so the horizon is counted here.

    Attributes:
        observation_dim: S, numbers of a flat observation.
        action_dim: A, numbers of an action.
        success: whether the last step succeeded: the environment's own word, or else a terminal.
    """

    def __init__(self, task: Task):
        """Make the environment; an unknown id or unfit spaces raise a UserError."""
        environment = gymnasium_environment(task, time_limit=False)
        if isinstance(environment, gymnasium.wrappers.OrderEnforcing):
            environment = environment.env
        self._environment = environment
        action_box = cast(Box, environment.action_space)
        self._low, self._high = action_box.low, action_box.high
        self._horizon = task.horizon
        self._scale, self._bias = task.reward_scale, task.reward_bias
        self._steps = 0
        self._over = True
        self.observation_dim = sum(part.shape[0] for part in observation_parts(environment.observation_space).values())
        self.action_dim = action_box.shape[0]
        self.success = False

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of a seed, whatever was stepped before; its first observation [S], float32."""
        observation, _ = self._environment.reset(seed=seed)
        self._steps = 0
        self._over = False
        self.success = False
        return flatten_observation(observation)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Take an action [A], clipped to the action box.

        Returns the observation [S] (float32), the mapped reward, and whether the episode terminated or was truncated
        at the horizon (both can be true at once, as with Gymnasium's time limit).
        """
        if self._over:
            raise RuntimeError("there is no episode to step: call reset first")
        action = np.minimum(np.maximum(action, self._low), self._high)
        observation, reward, terminated, truncated, info = self._environment.step(action)
        self._steps += 1
        terminated = bool(terminated)
        truncated = bool(truncated) or self._steps >= self._horizon
        self._over = terminated or truncated
        self.success = bool(info.get("success", terminated))
        return flatten_observation(observation), float(reward) * self._scale + self._bias, terminated, truncated


def flatten_observation(observation: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """One observation or a block of them as float32 [..., S].

    A goal observation (a dictionary) becomes observation and desired goal side by side: for PointMaze x, y, vx, vy,
    goal x, goal y.
    """
    if isinstance(observation, Mapping):
        parts = tuple(observation[name] for name in GOAL_PARTS)
        return np.concatenate(parts, axis=-1, dtype=np.float32, casting="same_kind")
    return np.asarray(observation, dtype=np.float32)


def observation_parts(space: gymnasium.Space) -> dict[str, Box]:
    """The boxes that a flat observation is made of, by name; a plain box has the empty name."""
    if isinstance(space, Dict):
        return {name: cast(Box, space[name]) for name in GOAL_PARTS}
    return {"": cast(Box, space)}


def gymnasium_environment(task: Task, time_limit: bool = True) -> gymnasium.Env:
    """The task's Gymnasium environment; PointMaze ends at its goal, which stays where the reset put it."""
    _register_environments()
    options: dict[str, Any] = {"max_episode_steps": task.horizon if time_limit else -1, "disable_env_checker": True}
    pointmaze = family(task) == "PointMaze"
    if pointmaze:
        options |= {"continuing_task": False, "reset_target": False}
    try:
        environment = gymnasium.make(task.environment, **options)
    except (gymnasium.error.Error, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"task.environment = {task.environment!r}: Gymnasium cannot make it: {reason}") from None
    _check_spaces(task, environment)
    if pointmaze:
        # The maze's model was written there to be read once and would stay behind, one file per environment.
        Path(cast(Any, environment.unwrapped).tmp_xml_file_path).unlink(missing_ok=True)
    return environment


def family(task: Task) -> str:
    """What the environments of one kind share of their ids: PointMaze_UMaze-v3 belongs to PointMaze."""
    return re.split(r"_|-v\d", task.environment)[0]


def _check_spaces(task: Task, environment: gymnasium.Env) -> None:
    observations, actions = environment.observation_space, environment.action_space
    goal_parts = isinstance(observations, Dict) and set(GOAL_PARTS) <= set(observations.keys())
    if not (goal_parts or isinstance(observations, Box)) or any(
        not isinstance(box, Box) or len(box.shape) != 1 for box in observation_parts(observations).values()
    ):
        raise UserError(
            f"task.environment = {task.environment!r}: its observations are {observations}; "
            "a flat box or a goal observation of flat boxes is needed"
        )
    if not isinstance(actions, Box) or len(actions.shape) != 1:
        raise UserError(f"task.environment = {task.environment!r}: its actions are {actions}; a flat box is needed")


@functools.cache
def _register_environments() -> None:
    """Make Gymnasium know our own environment and those of gymnasium-robotics, which prints notices on stderr."""
    gymnasium.register(WINDING_ROAD, entry_point="harness.environments.winding_road:WindingRoad")
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium_robotics
    gymnasium.register_envs(gymnasium_robotics)
