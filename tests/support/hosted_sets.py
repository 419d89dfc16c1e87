"""Small Minari datasets with the structure and the defects of the hosted ones, from the real environments."""

import warnings
from typing import Any

import gymnasium
import gymnasium_robotics
import minari
import numpy as np

from harness.environments.environment import gymnasium_environment
from harness.environments.mazes import WayPointController, maze_map
from harness.settings import Task

gymnasium.register_envs(gymnasium_robotics)

# Where the hosted sets' data of the U-shaped maze walk, and what they name for evaluation: the same turned half around.
DATA_MAP = ("#####", "#g..#", "###.#", "#r..#", "#####")
EVALUATION_MAP = ("#####", "#..r#", "#.###", "#..g#", "#####")

# Row and column of the cells between them.
CORRIDOR = ((3, 2), (3, 3), (2, 3), (1, 3), (1, 2))


def antmaze_set(
    set_id: str, version: str = "v4", evaluation_rows=EVALUATION_MAP, horizon: int = 12, terminates: bool = False
):
    """Two episodes of an ant that is carried along the corridor to its goal and left there; a third without a carrier.

    Nothing ever terminates, unless it `terminates`: at the goal it collects +1 a step up to the horizon.
    """
    environment = _make(
        f"AntMaze_UMaze-{version}", horizon, maze_map=maze_map(DATA_MAP), continuing_task=not terminates
    )
    collector = minari.DataCollector(environment, record_infos=True, step_data_callback=_SuccessAlone)
    generator = np.random.default_rng(0)
    for seed in range(3):
        observation, _ = collector.reset(seed=seed)
        ant = environment.unwrapped.ant_env
        corridor = [environment.unwrapped.maze.cell_rowcol_to_xy(cell) for cell in CORRIDOR]
        stations = [*corridor, *[observation["desired_goal"]] * horizon]
        for station in stations[:horizon]:
            if seed < 2:
                ant.set_state(np.concatenate((station, ant.data.qpos[2:])), ant.data.qvel * 0.0)
            *_, terminated, _, _ = collector.step(generator.uniform(-0.1, 0.1, 8).astype(np.float32))
            if terminated:
                break
    evaluation = gymnasium.spec(f"AntMaze_UMaze-{version}")
    evaluation.kwargs["maze_map"] = maze_map(evaluation_rows)
    _create(collector, set_id, eval_env=evaluation)


def pointmaze_set(set_id: str, steps: int = 400):
    """A ball that goes on from goal to goal; an episode ends at each by truncation, and the next begins where it is."""
    environment = _make("PointMaze_UMaze-v3", 10 * steps, continuing_task=True, reset_target=True)
    collector = minari.DataCollector(environment, record_infos=True, step_data_callback=_TruncatedAtTheGoal)
    generator = np.random.default_rng(0)
    controller = WayPointController(environment, 0.2, generator)
    observation, _ = collector.reset(seed=0)
    controller.begin(observation)
    goal = observation["desired_goal"]
    for _ in range(steps):
        observation, *_ = collector.step(controller.action(observation))
        if not np.array_equal(goal, observation["desired_goal"]):
            goal = observation["desired_goal"]
            controller.begin(observation)
    _create(collector, set_id)


def adroit_set(set_id: str, seeds=range(3), horizon: int = 10, record_infos: bool = True, data_format: str = "hdf5"):
    """A hand that holds the pen as it is wanted from the fifth step on, except in the first episode."""
    environment = _make("AdroitHandPen-v1", horizon)
    collector = minari.DataCollector(
        environment, record_infos=record_infos, step_data_callback=_SuccessAlone, data_format=data_format
    )
    generator = np.random.default_rng(0)
    hand = environment.unwrapped
    for number, seed in enumerate(seeds):
        collector.reset(seed=seed)
        for step in range(horizon):
            if number and step == 4:
                # The target takes on the pen's orientation.
                hand.model.body_quat[hand.target_obj_body_id] = hand.data.xquat[hand.obj_body_id]
            collector.step(generator.uniform(-0.05, 0.05, 24).astype(np.float32))
    _create(collector, set_id)


def kitchen_set(set_id: str, subtasks=("microwave", "kettle", "light switch", "slide cabinet"), horizon: int = 10):
    """Two episodes: subtasks are put in order one a step from the third on; in the second the last one is left out.

    As in the hosted sets rewards count what is done, and nothing terminates.
    """
    from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_INDICES

    environment = _make(
        "FrankaKitchen-v1", horizon, tasks_to_complete=list(subtasks),
        remove_task_when_completed=False, terminate_on_tasks_completed=False,
    )  # fmt: skip
    collector = minari.DataCollector(environment)
    kitchen = environment.unwrapped
    for seed in range(2):
        collector.reset(seed=seed)
        done = list(subtasks)[: len(subtasks) - seed]
        for step in range(horizon):
            for subtask in done[: max(step - 1, 0)]:
                kitchen.data.qpos[OBS_ELEMENT_INDICES[subtask]] = kitchen.goal[subtask]
            collector.step(np.zeros(9))
    _create(collector, set_id)


def random_set(set_id: str, task: Task, episodes: int = 3):
    """Some episodes of random actions in a task's own environment."""
    environment = gymnasium_environment(task)
    collector = minari.DataCollector(environment, record_infos=True, step_data_callback=_SuccessAlone)
    generator = np.random.default_rng(0)
    for seed in range(episodes):
        collector.reset(seed=seed)
        over = False
        while not over:
            action = generator.uniform(-1, 1, environment.action_space.shape).astype(environment.action_space.dtype)
            *_, terminated, truncated, _ = collector.step(action)
            over = terminated or truncated
    _create(collector, set_id)


class _SuccessAlone(minari.StepDataCallback):
    """Records the one info that the hosted sets of hands have."""

    def __call__(self, env, **seen: Any) -> Any:
        data = super().__call__(env, **seen)
        data["info"] = {"success": bool(data["info"].get("success", False))}
        return data


class _TruncatedAtTheGoal(_SuccessAlone):
    def __call__(self, env, **seen: Any) -> Any:
        data = super().__call__(env, **seen)
        data["truncated"] = data["info"]["success"] if seen.get("action") is not None else None
        return data


def _make(environment: str, horizon: int, **options: Any) -> gymnasium.Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gymnasium.make(environment, max_episode_steps=horizon, disable_env_checker=True, **options)


def _create(collector: minari.DataCollector, set_id: str, **more: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collector.create_dataset(set_id, ref_min_score=0.0, ref_max_score=1.0, **more)
    collector.close()
