"""The environment compared with Gymnasium's wrappers and with cases computed by hand."""

import dataclasses
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from harness.environments.environment import Environment, gymnasium_environment
from harness.environments.families import View, family
from harness.environments.mazes import WayPointController
from harness.errors import UserError
from harness.settings import Task


def random_actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(steps, 2)).astype(np.float32)


def goal_actions(task: Task, seed: int) -> list[np.ndarray]:
    """Actions that lead from the start of `seed` to its goal, the last one reaching it."""
    environment = gymnasium_environment(task)
    controller = WayPointController(environment, 0.0, np.random.default_rng(0))
    observation, _ = environment.reset(seed=seed)
    controller.begin(observation)
    actions, terminated = [], False
    while not terminated:
        actions.append(controller.action(observation))
        observation, _, terminated, truncated, _ = environment.step(actions[-1])
        assert not truncated
    return actions


def test_dimensions_and_float32(tiny_task):
    environment = Environment(tiny_task)
    first = environment.reset(0)
    assert (environment.observation_dim, environment.action_dim) == (6, 2)
    assert first.shape == (6,)
    assert first.dtype == np.float32
    observation, reward, terminated, truncated = environment.step(np.zeros(2, np.float32))
    assert observation.dtype == np.float32
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)


def test_flat_observation_is_state_then_goal():
    observation = {
        "achieved_goal": np.array([1.0, 2.0]),
        "desired_goal": np.array([5.0, 6.0]),
        "observation": np.array([1.0, 2.0, 3.0, 4.0]),
    }
    assert View().flat(observation).tolist() == [1, 2, 3, 4, 5, 6]
    block = {name: np.stack([part, part + 10]) for name, part in observation.items()}
    assert View().flat(block).tolist() == [[1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16]]
    assert View().flat(np.array([0.5, 1.5])).dtype == np.float32


@pytest.mark.parametrize("size", ["UMaze", "Medium", "Large"])
def test_reset_depends_on_the_seed_only(tiny_task, size):
    task = dataclasses.replace(tiny_task, environment=f"PointMaze_{size}-v3")
    fresh, used = Environment(task), Environment(task)
    used.reset(1)
    for action in random_actions(100):
        if used.step(action)[2]:
            break
    used.reset(2)
    used.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(used.reset(7), fresh.reset(7))
    for action in random_actions(50, seed=1):
        one, other = used.step(action), fresh.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
        if one[2]:
            break
    assert not np.array_equal(fresh.reset(8)[4:], used.reset(7)[4:]), "another seed has another goal"


def test_reset_depends_on_the_seed_only_after_reaching_the_goal(tiny_task):
    used = Environment(tiny_task)
    first = used.reset(5)
    for action in goal_actions(tiny_task, seed=5):
        used.step(action)
    assert used.success
    np.testing.assert_array_equal(used.reset(5), first)
    assert not used.success


@pytest.mark.parametrize("horizon", [7, 300])
def test_steps_like_the_wrapped_environment(tiny_task, horizon):
    task = dataclasses.replace(tiny_task, horizon=horizon)
    environment, wrapped = Environment(task), gymnasium_environment(task)
    for seed in range(5):
        observation, _ = wrapped.reset(seed=seed)
        np.testing.assert_array_equal(environment.reset(seed), View().flat(observation))
        over = False
        for action in goal_actions(tiny_task, seed):
            observation, reward, terminated, truncated, info = wrapped.step(action)
            flat, *outcome = environment.step(action)
            np.testing.assert_array_equal(flat, View().flat(observation))
            assert outcome[0] == reward - 1.0
            assert (*outcome[1:], environment.success) == (terminated, truncated, info["success"])
            over = terminated or truncated
            if over:
                break
        assert over


def test_goal_at_the_horizon_is_terminal_and_cut_like_the_wrapped_one(tiny_task):
    actions = goal_actions(tiny_task, seed=0)
    task = dataclasses.replace(tiny_task, horizon=len(actions))
    environment, wrapped = Environment(task), gymnasium_environment(task)
    environment.reset(0)
    wrapped.reset(seed=0)
    for action in actions:
        flags, wrapped_flags = environment.step(action)[2:], wrapped.step(action)[2:4]
    assert flags == wrapped_flags == (True, True)


def test_goal_ends_the_episode_with_the_mapped_reward(tiny_task):
    task = dataclasses.replace(tiny_task, reward_scale=10.0, reward_bias=-5.0, failure_reward=-5.0)
    environment = Environment(task)
    environment.reset(4)
    *way, last = goal_actions(task, seed=4)
    for action in way:
        assert environment.step(action)[1:] == (-5.0, False, False)
        assert not environment.success
    observation, reward, terminated, truncated = environment.step(last)
    assert (reward, terminated, truncated) == (5.0, True, False)
    assert environment.success
    assert np.linalg.norm(observation[:2] - observation[4:]) <= 0.45


def test_horizon_cuts_the_episode(tiny_task):
    environment = Environment(dataclasses.replace(tiny_task, horizon=3))
    environment.reset(0)
    flags = [environment.step(np.zeros(2, np.float32))[2:] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]
    assert not environment.success
    with pytest.raises(RuntimeError, match="call reset"):
        environment.step(np.zeros(2, np.float32))


def test_step_needs_a_reset(tiny_task):
    with pytest.raises(RuntimeError, match="call reset"):
        Environment(tiny_task).step(np.zeros(2, np.float32))


def test_actions_are_clipped_to_the_box():
    # Pendulum's torque is bounded by 2.
    task = Task(name="pendulum", environment="Pendulum-v1", horizon=10)
    one, other = Environment(task), Environment(task)
    one.reset(0)
    other.reset(0)
    outside, inside = one.step(np.array([9.0])), other.step(np.array([2.0]))
    np.testing.assert_array_equal(outside[0], inside[0])
    assert outside[1:] == inside[1:]


def test_actions_in_a_maze_are_clipped_and_goals_may_be_unobserved(tiny_task):
    """PointMaze has steps of its own; without the goal in the observation they are Gymnasium's."""
    outside, inside = Environment(tiny_task), Environment(tiny_task)
    without_goal = Environment(dataclasses.replace(tiny_task, observes_goal=False))
    for environment in (outside, inside, without_goal):
        environment.reset(0)
    for action in np.random.default_rng(0).uniform(-3.0, 3.0, size=(40, 2)).astype(np.float32):
        observation, *outcome = outside.step(action)
        for other, width in ((inside, 6), (without_goal, 4)):
            its_observation, *its_outcome = other.step(np.clip(action, -1.0, 1.0))
            np.testing.assert_array_equal(its_observation, observation[:width])
            assert its_outcome == outcome


def test_plain_box_environment():
    task = Task(name="pendulum", environment="Pendulum-v1", horizon=4, reward_scale=0.5, reward_bias=2.0)
    environment, wrapped = Environment(task), gymnasium_environment(task)
    assert (environment.observation_dim, environment.action_dim) == (3, 1)
    observation, _ = wrapped.reset(seed=1)
    np.testing.assert_array_equal(environment.reset(1), observation)
    for _ in range(4):
        observation, raw, terminated, truncated, _ = wrapped.step(np.array([0.5], np.float32))
        flat, reward, *flags = environment.step(np.array([0.5], np.float32))
        np.testing.assert_array_equal(flat, observation)
        assert reward == raw * 0.5 + 2.0
        assert flags == [terminated, truncated]
    assert flags == [False, True]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ("PointMaze_UMaze-v3", "PointMaze"),
        ("PointMaze_Large_Diverse_GR-v3", "PointMaze"),
        ("floorbench/WindingRoad-v0", "floorbench/WindingRoad"),
        ("Pendulum-v1", "Pendulum"),
    ],
)
def test_family(environment, name):
    assert family(Task(name="any", environment=environment, horizon=5)) == name


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("PointMaze_Huge-v3", "task.environment = 'PointMaze_Huge-v3'.*doesn't exist"),
        ("PointMaze_UMaze-v99", "task.environment = 'PointMaze_UMaze-v99'.*v99"),
        ("no_such_package:Maze-v0", "task.environment = 'no_such_package:Maze-v0'"),
        ("not an id", "task.environment = 'not an id'"),
        ("CartPole-v1", "task.environment = 'CartPole-v1': unsupported actions Discrete"),
        ("Blackjack-v1", "task.environment = 'Blackjack-v1': unsupported observations Tuple"),
    ],
)
def test_an_unsupported_environment_is_a_one_line_error(tiny_task, environment, message):
    with pytest.raises(UserError, match=message) as error:
        Environment(dataclasses.replace(tiny_task, environment=environment))
    assert "\n" not in str(error.value)


def test_importing_prints_nothing():
    code = (
        "from harness.environments.environment import Environment; from harness.settings import Task;"
        "Environment(Task(name='maze', environment='PointMaze_UMaze-v3', horizon=5)).reset(0);"
        "import sys; print('still heard', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "still heard\n")


def test_leaves_no_maze_files(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = Environment(tiny_task)
    environment.reset(0)
    environment.step(np.zeros(2, np.float32))
    assert list(tmp_path.iterdir()) == []
