"""OGBench's environments: rewards, terminations and reproducible episodes."""

import sys

import numpy as np
import pytest

from harness.environments import ogbench
from harness.environments.environment import Environment
from harness.environments.families import SingleTask, single_task
from harness.environments.ogbench import is_single_task
from harness.errors import UserError
from harness.settings import with_settings
from harness.tasks.ogbench import DEFAULTS, FAMILIES, OGBENCH
from harness.tasks.registry import base_run
from tests.harness.tasks.test_hosted import episode
from tests.support.ogbench_files import NEEDS_OGBENCH

pytestmark = NEEDS_OGBENCH

# Numbers of an observation and of an action, by OGBench's documentation.
SIZES = {
    "pointmaze": (2, 2), "antmaze": (29, 8), "humanoidmaze": (69, 21), "antsoccer": (42, 8),
    "cube-single": (28, 5), "cube-double": (37, 5), "scene": (40, 5), "puzzle-3x3": (55, 5), "puzzle-4x4": (83, 5),
}  # fmt: skip

# One task for each kind of environment, since those of the arm take seconds to build.
EXAMPLES = [name for name in DEFAULTS if "-large-" not in name and "-giant-" not in name]


def test_names_behind_a_single_task():
    assert single_task("puzzle-3x3-play-singletask-task4-v0") == SingleTask(
        "puzzle-3x3-singletask-task4-v0", "puzzle-3x3-play-v0"
    )
    assert single_task("scene-noisy-singletask-v0") == SingleTask("scene-singletask-v0", "scene-noisy-v0")
    for other in ("scene-play-v0", "antmaze-umaze", "scene-play-singletask-task6-v0", "pointmaze-medium"):
        assert single_task(other) is None
    assert is_single_task("scene-singletask-v0")
    assert not is_single_task("AntMaze_UMaze-v4")


def test_without_the_package_the_error_names_the_installation_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ogbench.locomaze", None)
    ogbench._register.cache_clear()
    with pytest.raises(UserError, match=r"ogbench: cannot be imported .*install it with: pip install") as error:
        Environment(OGBENCH[DEFAULTS[0]].task)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_episodes_depend_on_their_seed_only(name):
    environment = Environment(OGBENCH[name].task)
    before = np.random.get_state()[1].copy()
    first = episode(environment, 3)
    size = next(size for prefix, size in SIZES.items() if name.startswith(prefix))
    assert (first[0].shape[1], environment.action_dim) == size
    assert first[0].dtype == np.float32
    episode(environment, 4)
    for again in (episode(environment, 3), episode(Environment(OGBENCH[name].task), 3)):
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] == again[1]
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("name", EXAMPLES)
def test_rewards_are_within_the_number_of_subtasks(name):
    task, family = OGBENCH[name].task, FAMILIES[name[: name.index("-singletask")]]
    _, steps = episode(Environment(task), 5)
    for reward, terminated, _, success, score in steps:
        assert -family.subtasks <= (reward - task.reward_bias) / task.reward_scale < 0
        assert (terminated, success, score) == (False, False, 0.0)
        if task.failure_reward is not None:
            assert reward == task.failure_reward


def test_the_step_after_the_goal_is_reached_succeeds_and_ends_the_episode():
    """As in the data, the state before the action decides: the step that arrives still has the reward of failure."""
    environment = Environment(OGBENCH["pointmaze-medium-navigate-singletask-task1-v0"].task)
    environment.reset(0)
    raw = environment._environment.unwrapped
    raw.set_xy(raw.cur_goal_xy - np.array([1.1, 0.0]))
    right = np.array([1.0, 0.0], np.float32)
    steps = [(*environment.step(right)[1:], environment.success, environment.score) for _ in range(2)]
    assert steps == [(-5.0, False, False, False, 0.0), (5.0, True, False, True, 1.0)]


def test_the_horizon_truncates():
    task = with_settings(base_run(EXAMPLES[0], "paper", 0), {"task.horizon": 3}).task
    environment = Environment(task)
    environment.reset(0)
    assert [environment.step(np.zeros(2))[2:] for _ in range(3)] == [(False, False), (False, False), (False, True)]
