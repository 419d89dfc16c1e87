"""The bare physics of PointMaze: to the bit the steps of gymnasium-robotics."""

from dataclasses import replace

import numpy as np
import pytest

from harness.environments.environment import gymnasium_environment
from harness.environments.pointmaze_physics import BarePointMaze


@pytest.fixture(params=["UMaze", "Medium", "Large", "UMazeDense"])
def pair(request, tiny_task):
    """Two environments of one maze, the second with bare physics."""
    task = replace(tiny_task, environment=f"PointMaze_{request.param}-v3")
    own = [gymnasium_environment(task, time_limit=False) for _ in range(2)]
    return own[0], BarePointMaze(own[1])


def assert_equal_steps(theirs, ours):
    for name, numbers in theirs[0].items():
        assert numbers.dtype == ours[0][name].dtype
        np.testing.assert_array_equal(numbers, ours[0][name])
    assert theirs[1:] == ours[1:]


def test_steps_are_equal_to_the_bit(pair):
    generator = np.random.default_rng(0)
    contacts = 0
    for episode in range(6):
        for environment in pair:
            environment.reset(seed=episode)
        for step in range(300):
            if step % 25 == 0:
                action = generator.uniform(-1.0, 1.0, 2).astype(np.float32)
            theirs, ours = (environment.step(action) for environment in pair)
            assert_equal_steps(theirs, ours)
            contacts += pair[0].unwrapped.data.ncon > 0
            if theirs[2]:
                break
    assert contacts > 100


def test_the_highest_speed_is_kept(pair):
    action = np.array([1.0, -1.0], np.float32)
    for environment in pair:
        environment.reset(seed=3)
        environment.unwrapped.data.qvel[:] = (9.0, -7.0)
    theirs, ours = (environment.step(action) for environment in pair)
    assert_equal_steps(theirs, ours)
    assert 4.9 < ours[0]["observation"][2] < 5.3


def test_the_goal_ends_the_episode(pair):
    for environment in pair:
        environment.reset(seed=1)
        environment.unwrapped.data.qpos[:2] = environment.unwrapped.goal + np.full(2, 0.2)
    theirs, ours = (environment.step(np.zeros(2, np.float32)) for environment in pair)
    assert_equal_steps(theirs, ours)
    assert ours[2:] == (True, False, {"success": True})
    assert ours[1] == (1.0 if pair[0].unwrapped.reward_type == "sparse" else pytest.approx(1.0, abs=0.4))


def test_observations_are_copies(pair):
    bare = pair[1]
    bare.reset(seed=0)
    first = bare.step(np.ones(2, np.float32))[0]
    kept = {name: numbers.copy() for name, numbers in first.items()}
    bare.step(np.ones(2, np.float32))
    for name, numbers in kept.items():
        np.testing.assert_array_equal(first[name], numbers)
