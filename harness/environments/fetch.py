"""The Fetch arm of gymnasium-robotics: episodes that end at their goal, and the scripted arm that collects its data.

By gymnasium-robotics' documentation the numbers of an observation begin with the gripper's position, the block's, the
block's relative to the gripper's, and how far each finger is open; an action is three shifts of the gripper, 1 for up
to 5 cm, and the fingers' push, -1 closes them. A step is worth 0 where the goal is within 5 cm, else -1.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from harness.environments.families import View

# Families of environments.
REACH, PUSH, PICK_AND_PLACE = "FetchReach", "FetchPush", "FetchPickAndPlace"
FETCH = (REACH, PUSH, PICK_AND_PLACE)

# The middle of what the gripper reaches, in metres. As they come the numbers of positions vary by a tenth of their size
# and less; in decimetres from there a policy that copies 50,000 transitions of pushing (noise 0.2) gets as far
# after 3,000 updates as otherwise after 12,000 (three seeds).
MIDDLE = (1.34, 0.75, 0.5)
PER_DECIMETRE = 10.0


def _view(positions: int, others: int) -> View:
    """Of observations that begin with so many positions and end with the goal's, as of `View`."""
    return View(centre=(*MIDDLE * positions, *(0.0,) * others, *MIDDLE), factor=PER_DECIMETRE)


# Gripper, fingers and velocities; with a block: its position, and nineteen numbers of how it lies and moves.
FETCH_VIEWS = {REACH: _view(1, 7), PUSH: _view(2, 19), PICK_AND_PLACE: _view(2, 19)}

# Part of the largest shift per metre that the gripper still has to go.
GAIN = 10.0
# Metres above the block at which the gripper travels, and below which it would hit it on its way.
TRAVEL_HEIGHT, LOW = 0.07, 0.03
# Metres behind the block, seen from its goal, at which a push begins, and off the line to the goal at which it ends.
BEHIND, ASIDE = 0.08, 0.02
# Metres around the block's middle within which the fingers close on it, across and along their height.
ACROSS, ALONG = 0.02, 0.015
# Metres between fingers that hold the block, which is 5 cm wide.
HELD = 0.052
OPEN, CLOSED = 1.0, -1.0

Observation = Mapping[str, np.ndarray]

# Where the gripper is to go from here, [3] in metres, and what the fingers are to do.
Aim = tuple[np.ndarray, float]


class EndsAtGoal(gymnasium.Wrapper, RecordConstructorArgs):
    """Terminates an episode at its first success, where the environment alone would go on to its time limit."""

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, _, truncated, info = self.env.step(action)
        return observation, reward, bool(info["is_success"]), truncated, info


def reach(observation: Observation) -> Aim:
    """Straight to the goal."""
    return observation["desired_goal"] - observation["achieved_goal"], 0.0


def push(observation: Observation) -> Aim:
    """Down behind the block, then with it to the goal; up and around where the block is not ahead."""
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
    """Above the block, down, close the fingers, and with it to the goal; all over again where it slips."""
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
    """Goes where an aim says, with noise on all four numbers of an action; remembers nothing."""

    name: ClassVar[str] = "scripted arm"
    packages: ClassVar[tuple[str, ...]] = ("floorbench", "gymnasium", "gymnasium-robotics", "mujoco", "numpy")

    def __init__(self, aim: Callable[[Observation], Aim], noise: float, generator: np.random.Generator):
        """`noise` is the standard deviation of the Gaussian action noise."""
        self._aim, self._noise, self._generator = aim, noise, generator

    def begin(self, observation: Observation) -> None:
        """Nothing: what is to be done can be seen."""

    def action(self, observation: Observation) -> np.ndarray:
        """The noisy action [4] for an observation, float32 in [-1, 1]."""
        way, fingers = self._aim(observation)
        wanted = np.clip(np.append(GAIN * way, fingers), -1.0, 1.0)
        noise = self._generator.normal(0.0, self._noise, size=4)
        return np.clip(wanted + noise, -1.0, 1.0).astype(np.float32)
