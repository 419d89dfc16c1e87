"""The environment of a task: flat observations, mapped rewards, the task's horizon."""

import contextlib
import copy
import functools
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsFloat, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from harness.environments.families import FETCH, KITCHEN, MAZES, POINTMAZE, WINDING_ROAD, View, family, view_of
from harness.environments.fetch import EndsAtGoal, FastFetch
from harness.environments.mazes import FastPointMaze, maze_map
from harness.environments.ogbench import is_single_task, make_single_task
from harness.errors import UserError, one_line, reason
from harness.settings import Task

# Subtasks of the Franka kitchen, a robot arm.
SUBTASKS = (
    "bottom burner", "top burner", "light switch", "slide cabinet", "hinge cabinet", "microwave", "kettle",
)  # fmt: skip


class Environment:
    """One environment of a task.

    It counts the horizon itself, because Gymnasium's wrappers cost as much time as PointMaze's physics.

    Attributes:
        observation_dim: S, dimension of a flat observation.
        action_dim: A, dimension of an action.
        success: whether the last step succeeded: by the task's success reward, else as the environment reports it, else
            whether it terminated.
        score: score of the episode so far, 1 is best: its return relative to the task's reference returns, else the
            fraction of subtasks completed, else its success.
    """

    def __init__(self, task: Task, rendered: bool = False):
        """Make the environment, with `rendered` so that `frame` works.

        An unknown id or unsupported spaces raise a UserError.
        """
        if task.reference_returns is not None and task.reference_returns[0] >= task.reference_returns[1]:
            raise UserError(f"task.reference_returns = {list(task.reference_returns)}: the second must be the larger")
        environment = gymnasium_environment(task, time_limit=False, rendered=rendered)
        if isinstance(environment, gymnasium.wrappers.OrderEnforcing):
            environment = environment.env
        if family(task) == POINTMAZE:
            environment = FastPointMaze(environment)
        elif family(task) in FETCH:
            environment = FastFetch(environment)
        self._environment = environment
        self._task = task
        self._view = view_of(task)
        action_box = cast(Box, environment.action_space)
        self._low, self._high = action_box.low, action_box.high
        # Set if steps can do without observations as mappings, which take a quarter of the time.
        self._point_maze: FastPointMaze | None = None
        if isinstance(environment, FastPointMaze) and self._view == View():
            self._point_maze = environment
        self._horizon = task.horizon
        self._steps = 0
        self._return = 0.0
        self._over = True
        self.observation_dim = sum(box.shape[0] for box in observation_boxes(task, environment).values())
        self.action_dim = action_box.shape[0]
        self.success = False
        self.score = 0.0

    @property
    def point_maze(self) -> FastPointMaze | None:
        """The PointMaze whose positions, velocities and goals are the observations; None for other environments."""
        return self._point_maze

    def twin(self) -> "Environment":
        """Another environment of the task, whose episodes are independent of those of this one; without pictures."""
        if not isinstance(self._environment, FastPointMaze):
            return Environment(self._task)
        other = copy.copy(self)
        environment = self._environment.twin()
        other._environment, other._over = environment, True
        other._point_maze = None if self._point_maze is None else environment
        return other

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode of a seed, independent of earlier ones; returns its first observation [S], float32."""
        observation, _ = self._environment.reset(seed=seed)
        self._steps = 0
        self._return = 0.0
        self._over = False
        self.success = False
        self.score = 0.0
        return self._view.flat(observation)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Take an action [A], clipped to the action box.

        Returns the observation [S] (float32), the mapped reward, and whether the episode terminated or was truncated
        at the horizon (both can be true at once, as with Gymnasium's time limit).
        """
        if self._over:
            raise RuntimeError("no episode in progress: call reset first")
        task = self._task
        reward: SupportsFloat
        info: dict[str, Any]
        if self._point_maze is not None:
            reward, terminated = self._point_maze.advance(action)
            observation, truncated, info = self._point_maze.flat(), False, {"success": terminated}
        else:
            action = np.minimum(np.maximum(action, self._low), self._high)
            observation, reward, terminated, truncated, info = self._environment.step(action)
            observation = self._view.flat(observation)
        reward = float(reward) if task.reward == "environment" else binary_rewards(_reported_success(task, info))
        self._steps += 1
        self._return += reward
        terminated = bool(terminated)
        if task.success_reward is None:
            self.success = bool(info.get("success", terminated))
        else:
            self.success = reward >= task.success_reward
            terminated |= self.success
        if task.reference_returns is None:
            self.score = max(self.score, float(info.get("fraction_done", self.success)))
        else:
            zero, one = task.reference_returns
            self.score = (self._return - zero) / (one - zero)
        truncated = bool(truncated) or self._steps >= self._horizon
        self._over = terminated or truncated
        mapped = reward * task.reward_scale + task.reward_bias
        return observation, mapped, terminated, truncated

    def frame(self) -> np.ndarray:
        """A picture of the present state, uint8 [H, W, 3]; a UserError if it cannot be rendered here."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture = self._environment.render()
        except Exception as error:
            name = self._task.environment
            raise UserError(f"{name}: cannot be rendered here ({one_line(error)}); MuJoCo needs EGL or OSMesa "
                            "(packages libegl1 or libosmesa6) and MUJOCO_GL=egl or osmesa") from None  # fmt: skip
        assert isinstance(picture, np.ndarray)
        return picture

    @property
    def frames_per_second(self) -> int:
        """The speed at which frames of consecutive steps are meant to be shown."""
        return int(self._environment.metadata.get("render_fps", 30))


class SubtaskFraction(gymnasium.Wrapper):
    """Reports with every step the fraction of the subtasks completed in the episode so far, which is D4RL's score."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; `info["fraction_done"]` is the fraction, 0 to 1."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        fraction = len(info["episode_task_completions"]) / len(self.get_wrapper_attr("goal"))
        return observation, reward, terminated, truncated, {**info, "fraction_done": fraction}


def _reported_success(task: Task, info: Mapping[str, Any]) -> bool:
    if "success" not in info:
        raise UserError(f"task.reward = 'binary': {task.environment} does not report successes")
    return bool(info["success"])


def binary_rewards(success: Any) -> Any:
    """0 for successes and -1 otherwise, for one step or an array."""
    return success * 1.0 - 1.0


def observation_boxes(task: Task, environment: gymnasium.Env) -> dict[str, Box]:
    """The boxes that make up the flat observations, by name; the name of a plain box is empty."""
    space = environment.observation_space
    if isinstance(space, Dict):
        return {name: cast(Box, space[name]) for name in view_of(task).parts}
    return {"": cast(Box, space)}


def gymnasium_environment(task: Task, time_limit: bool = True, rendered: bool = False) -> gymnasium.Env:
    """The Gymnasium environment of a task; mazes and Fetch terminate at the goal, which is fixed during an episode."""
    _register_environments()
    make = make_single_task if is_single_task(task.environment) else gymnasium.make
    options: dict[str, Any] = {"max_episode_steps": task.horizon if time_limit else -1, "disable_env_checker": True}
    if rendered:
        options["render_mode"] = "rgb_array"
    try:
        with warnings.catch_warnings():
            # A task uses the version of the environment with which its data were recorded.
            warnings.filterwarnings("ignore", message=".*is out of date")
            warnings.filterwarnings("ignore", message=".*not in the possible render_modes")
            environment = make(task.environment, **options, **_family_options(task))
    except TypeError:
        if not rendered:
            raise
        raise UserError(f"{task.environment}: cannot be rendered as pictures") from None
    except (gymnasium.error.Error, ImportError) as error:
        raise UserError(f"task.environment = {task.environment!r}: Gymnasium cannot make it: {reason(error)}") from None
    _check_spaces(task, environment)
    if family(task) in MAZES:
        # The environment has read this file, a temporary model, and would leave it behind.
        Path(cast(Any, environment.unwrapped).tmp_xml_file_path).unlink(missing_ok=True)
    if family(task) in FETCH:
        return EndsAtGoal(environment)
    return SubtaskFraction(environment) if family(task) == KITCHEN else environment


def _family_options(task: Task) -> dict[str, Any]:
    """Options of the family, beyond Gymnasium's."""
    options: dict[str, Any] = {}
    if family(task) in MAZES:
        options |= {"continuing_task": False, "reset_target": False}
        if task.maze is not None:
            options["maze_map"] = maze_map(task.maze)
    elif task.maze is not None:
        raise UserError(f"task.maze: {task.environment} has no maze; remove the setting")
    if family(task) == KITCHEN:
        options |= _kitchen_options(task.subtasks)
    elif task.subtasks:
        raise UserError(f"task.subtasks: {task.environment} has no subtasks; remove the setting")
    return options


def _kitchen_options(subtasks: Sequence[str]) -> dict[str, Any]:
    """Options of the kitchen: the reward of a step is the number of completed subtasks, as in the hosted data.

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


def _check_spaces(task: Task, environment: gymnasium.Env) -> None:
    observations, actions = environment.observation_space, environment.action_space
    parts = observations.keys() if isinstance(observations, Dict) else ()
    complete = set(view_of(task).parts) <= set(parts) or isinstance(observations, Box)
    if not complete or any(
        not isinstance(box, Box) or len(box.shape) != 1 for box in observation_boxes(task, environment).values()
    ):
        raise UserError(
            f"task.environment = {task.environment!r}: unsupported observations {observations}; "
            "a flat box or a goal observation of flat boxes is needed"
        )
    if not isinstance(actions, Box) or len(actions.shape) != 1:
        raise UserError(f"task.environment = {task.environment!r}: unsupported actions {actions}; a flat box is needed")


@functools.cache
def _register_environments() -> None:
    """Register the winding road and the environments of gymnasium-robotics, whose notices on stderr are suppressed."""
    gymnasium.register(WINDING_ROAD, entry_point="harness.environments.winding_road:WindingRoad")
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium_robotics
    gymnasium.register_envs(gymnasium_robotics)
