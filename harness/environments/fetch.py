"""Fetch of gymnasium-robotics: termination at the goal, and the scripted controller that collects its data.

According to gymnasium-robotics' documentation an observation begins with the position of the gripper, of the block, of
the block relative to the gripper, and the opening of each finger. An action is three displacements of the gripper, 1 is
5 cm, and the opening of the fingers, -1 closes them. The reward is 0 within 5 cm of the goal and -1 otherwise.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from harness.environments.families import PICK_AND_PLACE, PUSH, REACH

# Action per metre of remaining distance.
GAIN = 10.0
# Height in metres above the block at which the gripper travels, and below which it would hit the block.
TRAVEL_HEIGHT, LOW = 0.07, 0.03
# Distance in metres behind the block, seen from the goal, at which a push starts, and off the line at which it stops.
BEHIND, ASIDE = 0.08, 0.02
# Horizontal and vertical distance in metres from the block's centre within which the fingers close.
ACROSS, ALONG = 0.02, 0.015
# Opening in metres of fingers that hold the block, which is 5 cm wide.
HELD = 0.052
OPEN, CLOSED = 1.0, -1.0

Observation = Mapping[str, np.ndarray]

# Displacement [3] of the gripper in metres, and the action of the fingers.
Aim = tuple[np.ndarray, float]


class EndsAtGoal(gymnasium.Wrapper, RecordConstructorArgs):
    """Terminates an episode at its first success; the environment alone continues to the time limit."""

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, _, truncated, info = self.env.step(action)
        return observation, reward, bool(info["is_success"]), truncated, info


def reach(observation: Observation) -> Aim:
    """Move straight to the goal."""
    return observation["desired_goal"] - observation["achieved_goal"], 0.0


def push(observation: Observation) -> Aim:
    """Lower the gripper behind the block and push it to the goal; if the block is not ahead, go up and around it."""
    gripper, block = observation["observation"][:3], observation["achieved_goal"]
    way = (observation["desired_goal"] - block)[:2]
    distance = float(np.linalg.norm(way))
    ahead = way / max(distance, 1e-9)
    offset = gripper - block
    along, aside = offset[:2] @ ahead, abs(offset[0] * ahead[1] - offset[1] * ahead[0])
    low, start = offset[2] < LOW, -BEHIND * ahead
    if low and along < 0.0 and aside < ASIDE:
        target = np.append(min(distance, 0.05) * ahead, 0.0)
    elif np.linalg.norm(offset[:2] - start) < ASIDE:
        target = np.append(start, 0.0)
    elif low:
        target = np.append(offset[:2], TRAVEL_HEIGHT)
    else:
        target = np.append(start, TRAVEL_HEIGHT)
    return target - offset, CLOSED


def pick_and_place(observation: Observation) -> Aim:
    """Move above the block, lower, grasp, carry it to the goal; start again if it slips."""
    numbers, block = observation["observation"], observation["achieved_goal"]
    to_block, fingers = block - numbers[:3], numbers[9] + numbers[10]
    across, height = np.linalg.norm(to_block[:2]), abs(to_block[2])
    if across > ACROSS or (across > ACROSS / 2 and height > TRAVEL_HEIGHT):
        return to_block + np.array([0.0, 0.0, TRAVEL_HEIGHT]), OPEN
    if height > ALONG:
        return to_block, OPEN
    if fingers > HELD:
        return to_block, CLOSED
    return observation["desired_goal"] - block, CLOSED


AIMS: dict[str, Callable[[Observation], Aim]] = {REACH: reach, PUSH: push, PICK_AND_PLACE: pick_and_place}


class ScriptedArm:
    """Follows an aim, with noise on all four components of the action; stateless."""

    name: ClassVar[str] = "scripted arm"
    packages: ClassVar[tuple[str, ...]] = ("floorbench", "gymnasium", "gymnasium-robotics", "mujoco", "numpy")

    def __init__(self, aim: Callable[[Observation], Aim], noise: float, generator: np.random.Generator):
        """`noise` is the standard deviation of the Gaussian action noise."""
        self._aim, self._noise, self._generator = aim, noise, generator

    def begin(self, observation: Observation) -> None:
        """Do nothing: the controller has no state."""

    def action(self, observation: Observation) -> np.ndarray:
        """The noisy action [4] for an observation, float32 in [-1, 1]."""
        way, fingers = self._aim(observation)
        wanted = np.clip(np.append(GAIN * way, fingers), -1.0, 1.0)
        noise = self._generator.normal(0.0, self._noise, size=4)
        return np.clip(wanted + noise, -1.0, 1.0).astype(np.float32)
