"""The physics of PointMaze without what gymnasium-robotics does around it, to the bit the same."""

from math import sqrt
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np

POINTMAZE = "PointMaze"

# The point's highest speed along each axis in metres per second, and from how near in metres it is at its goal;
# gymnasium-robotics has both as plain numbers.
HIGHEST_SPEED = 5.0
AT_GOAL = 0.45


class BarePointMaze(gymnasium.Wrapper):
    """A PointMaze that ends at its goal; resets are the environment's own.

    Its steps pass by the forward pass after the velocity is limited and the forces on contacts after the step, which
    the next state does not look at, and by the checks of a step: together three quarters of its time.
    """

    def __init__(self, environment: gymnasium.Env):
        super().__init__(environment)
        self._maze = cast(Any, environment.unwrapped)
        self._model, self._data = self._maze.model, self._maze.data
        self._position, self._velocity = self._data.qpos, self._data.qvel
        self._control = self._data.ctrl
        self._dense = self._maze.reward_type == "dense"

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action [2] in [-1, 1]; never truncates."""
        velocity, goal = self._velocity, self._maze.goal
        across, along = velocity.tolist()
        if not (-HIGHEST_SPEED <= across <= HIGHEST_SPEED and -HIGHEST_SPEED <= along <= HIGHEST_SPEED):
            np.minimum(np.maximum(velocity, -HIGHEST_SPEED, out=velocity), HIGHEST_SPEED, out=velocity)
        self._control[:] = action
        mujoco.mj_step(self._model, self._data)
        position = self._position.copy()
        way = position - goal
        there = sqrt(way.dot(way)) <= AT_GOAL
        observation = {
            "observation": np.concatenate((position, velocity)),
            "achieved_goal": position,
            "desired_goal": goal.copy(),
        }
        reward = self._maze.compute_reward(position, goal, {}) if self._dense else float(there)
        return observation, reward, there, False, {"success": there}
