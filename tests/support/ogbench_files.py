"""Small npz files in OGBench's layout, recorded in OGBench's environments as by its scripts."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

# Steps of a trajectory; as in OGBench's files, the state after the last one is recorded with an action that leads
# nowhere.
STEPS = 30

Prepare = Callable[[Any, int, int], None]


# For `pytestmark`: skips a module's tests where OGBench is not installed.
NEEDS_OGBENCH = pytest.mark.skipif(
    find_spec("ogbench") is None,
    reason="OGBench is not installed: pip install -c requirements.lock -e '.[ogbench]'",
)


def register() -> None:
    """Register OGBench's environments with Gymnasium."""
    import ogbench.locomaze
    import ogbench.manipspace  # noqa: F401


def make(environment_id: str, **options: Any) -> gymnasium.Env:
    """Make an environment of OGBench."""
    register()
    return gymnasium.make(environment_id, disable_env_checker=True, **options)


def pointmaze_file(folder: Path, name: str = "pointmaze-medium-navigate-v0.npz") -> Path:
    """Three trajectories of a point: through the goal of task 5, through that of task 1, and one that ends at this.

    The point moves 0.2 a step (0.12 in the last one); the radius of a goal is 1. It is at the goal in its states 6 to
    15, and from state 26 on in the last trajectory.
    """
    environment = make("pointmaze-medium-v0", terminate_at_goal=False, max_episode_steps=STEPS + 1)
    goals = [np.array(environment.unwrapped.ij_to_xy(cell)) for cell in ((1, 1), (6, 6), (6, 6))]
    speed = (-1.0, 1.0, 0.6)

    def prepare(raw: Any, trajectory: int, step: int) -> None:
        if step == 0:
            raw.set_xy(goals[trajectory] - np.array([(-2.05, 2.05, 4.05)[trajectory], 0.0]))

    def action(trajectory: int, generator: np.random.Generator) -> np.ndarray:
        return np.array([speed[trajectory], 0.0])

    return record(folder / name, environment, prepare, action)


def cube_file(folder: Path, name: str = "cube-single-play-v0.npz") -> Path:
    """Three trajectories of an arm; in the last one the cube lies at the goal of task 2 from the eleventh state on."""
    environment = make("cube-single-v0", terminate_at_goal=False, mode="data_collection", max_episode_steps=STEPS + 1)
    goal = make("cube-single-singletask-task2-v0").unwrapped.task_infos[1]["goal_xyzs"][0]

    def prepare(raw: Any, trajectory: int, step: int) -> None:
        if trajectory == 2 and step >= 10:
            qpos = raw.data.qpos.copy()
            qpos[14:17] = goal
            raw.set_state(qpos, np.zeros_like(raw.data.qvel))

    return record(folder / name, environment, prepare, _gentle)


def puzzle_file(folder: Path, name: str = "puzzle-3x3-play-v0.npz") -> Path:
    """Three trajectories of an arm above nine buttons, which are as task 4 wants them at step 20 of the second."""
    environment = make("puzzle-3x3-v0", terminate_at_goal=False, mode="data_collection", max_episode_steps=STEPS + 1)
    wanted = make("puzzle-3x3-singletask-task4-v0").unwrapped.task_infos[3]["goal_button_states"]

    def prepare(raw: Any, trajectory: int, step: int) -> None:
        states = np.array(wanted)
        if (trajectory, step) != (1, 20):
            states[: 1 + trajectory] ^= 1
        raw.set_state(raw.data.qpos.copy(), raw.data.qvel.copy(), states)

    return record(folder / name, environment, prepare, _gentle)


def record(
    path: Path,
    environment: gymnasium.Env,
    prepare: Prepare,
    action: Callable[[int, np.random.Generator], np.ndarray],
    trajectories: int = 3,
) -> Path:
    """Record trajectories as OGBench's `data_gen_scripts` do; `prepare` may change a state before it is recorded."""
    generator = np.random.default_rng(0)
    columns: dict[str, list] = {name: [] for name in ("observations", "actions", "terminals", "qpos", "qvel")}
    raw: Any = environment.unwrapped
    for trajectory in range(trajectories):
        np.random.seed(trajectory)
        environment.reset(seed=trajectory)
        done, step = False, 0
        while not done:
            prepare(raw, trajectory, step)
            observation = raw.get_ob() if hasattr(raw, "get_ob") else raw.compute_observation()
            taken = action(trajectory, generator).astype(np.float32)
            *_, terminated, truncated, info = environment.step(taken)
            done = terminated or truncated
            step += 1
            row = {
                "observations": observation, "actions": taken, "terminals": done,
                "qpos": info["prev_qpos"], "qvel": info["prev_qvel"],
            }  # fmt: skip
            if "prev_button_states" in info:
                row["button_states"] = info["prev_button_states"]
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    environment.close()
    types = {"terminals": bool, "button_states": np.int64}
    np.savez_compressed(path, **{name: np.array(v, dtype=types.get(name, np.float32)) for name, v in columns.items()})
    return path


def _gentle(trajectory: int, generator: np.random.Generator) -> np.ndarray:
    return generator.uniform(-0.2, 0.2, 5)
