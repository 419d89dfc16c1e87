"""Fetch of gymnasium-robotics: termination at the goal, and the scripted controller that collects its data.

According to gymnasium-robotics' documentation an observation begins with the position of the gripper, of the block, of
the block relative to the gripper, and the opening of each finger. An action is three displacements of the gripper, 1 is
5 cm, and the opening of the fingers, -1 closes them. The reward is 0 within 5 cm of the goal and -1 otherwise.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any, ClassVar, cast

import gymnasium
import mujoco
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


# Sites of the gripper and of the block.
GRIPPER, BLOCK = "robot0:grip", "object0"

# Smallest cosine of the second Euler angle for which the first and third are defined.
SMALLEST_COSINE = 4 * np.finfo(np.float64).eps


class FastFetch(gymnasium.Wrapper):
    """Fetch that terminates at its goal; resets are those of gymnasium-robotics.

    States, observations and rewards are bitwise those of gymnasium-robotics, which looks up every joint of the robot by
    its name to observe two of them: a quarter of the time of a step.
    """

    def __init__(self, environment: gymnasium.Env):
        super().__init__(environment)
        self._fetch = cast(Any, environment.unwrapped)
        model = self._model = self._fetch.model
        self._data = self._fetch.data
        self._low, self._high = self._fetch.action_space.low, self._fetch.action_space.high
        self._step_time = self._fetch.n_substeps * model.opt.timestep
        joints = [name for name in self._fetch._model_names.joint_names if name.startswith("robot")]
        fingers = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in joints[-2:]]
        self._finger_positions, self._finger_velocities = model.jnt_qposadr[fingers], model.jnt_dofadr[fingers]
        self._gripper = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, GRIPPER)
        self._block = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, BLOCK) if self._fetch.has_object else None
        # Jacobians of a site's position and rotation, overwritten by every step.
        self._position_jacobian, self._rotation_jacobian = np.zeros((2, 3, model.nv))

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action [4] in [-1, 1]; never truncates."""
        fetch = self._fetch
        fetch._set_action(np.minimum(np.maximum(action, self._low), self._high))
        mujoco.mj_step(self._model, self._data, nstep=fetch.n_substeps)
        fetch._step_callback()
        numbers, achieved = self._observed()
        goal = fetch.goal
        observation = {"observation": numbers, "achieved_goal": achieved, "desired_goal": goal.copy()}
        reward = fetch.compute_reward(achieved, goal, {})
        success = fetch._is_success(achieved, goal)
        return observation, reward, bool(success), False, {"is_success": success}

    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        """The observation without the goals, and the achieved goal [3]."""
        data, step_time = self._data, self._step_time
        gripper = data.site_xpos[self._gripper].copy()
        velocity = self._velocity(self._gripper)
        fingers = data.qpos[self._finger_positions]
        finger_velocities = data.qvel[self._finger_velocities] * step_time
        if self._block is None:
            return np.concatenate([gripper, fingers, velocity, finger_velocities]), gripper
        block = data.site_xpos[self._block].copy()
        mujoco.mj_jacSite(self._model, data, self._position_jacobian, self._rotation_jacobian, self._block)
        block_velocity = self._position_jacobian @ data.qvel * step_time - velocity
        block_rotation = self._rotation_jacobian @ data.qvel * step_time
        angles = euler_angles(data.site_xmat[self._block])
        parts = [
            gripper, block, block - gripper, fingers, angles, block_velocity, block_rotation, velocity,
            finger_velocities,
        ]  # fmt: skip
        return np.concatenate(parts), block

    def _velocity(self, site: int) -> np.ndarray:
        """The displacement [3] of a site in one step."""
        mujoco.mj_jacSite(self._model, self._data, self._position_jacobian, None, site)
        return self._position_jacobian @ self._data.qvel * self._step_time


def euler_angles(matrix: np.ndarray) -> np.ndarray:
    """The Euler angles [3] of a rotation matrix [9], as `mat2euler` of gymnasium-robotics gives them."""
    cosine = sqrt(matrix[8] * matrix[8] + matrix[5] * matrix[5])
    if cosine > SMALLEST_COSINE:
        return -np.arctan2((matrix[5], -matrix[2], matrix[1]), (matrix[8], cosine, matrix[0]))
    return np.array([0.0, -np.arctan2(-matrix[2], cosine), -np.arctan2(-matrix[3], matrix[4])])


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


class MisdirectedArm(ScriptedArm):
    """Heads for the goal of the episode before in a fraction of the episodes, whatever the goal of the task."""

    name: ClassVar[str] = "misdirected arm"

    def __init__(
        self,
        aim: Callable[[Observation], Aim],
        noise: float,
        generator: np.random.Generator,
        misdirected: float,
    ):
        """`misdirected` is the probability that an episode heads for the earlier goal; the first one never does."""
        super().__init__(aim, noise, generator)
        self._misdirected = misdirected
        self._last: np.ndarray | None = None
        self._target = np.full(3, np.nan)

    def begin(self, observation: Observation) -> None:
        """Choose the target of the episode."""
        goal = observation["desired_goal"]
        wrong = self._generator.random() < self._misdirected
        self._target = self._last if wrong and self._last is not None else goal
        self._last = goal

    def action(self, observation: Observation) -> np.ndarray:
        """The noisy action [4] towards the target of the episode, float32 in [-1, 1]."""
        return super().action({**observation, "desired_goal": self._target})
