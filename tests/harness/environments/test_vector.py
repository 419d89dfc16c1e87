"""Environments stepped with one call have the episodes of those stepped one by one, to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from harness.environments.environment import Environment
from harness.environments.stepping import Environments
from harness.environments.vector import VectorEnvironment, indices
from harness.environments.winding_road import ROAD

PLACES = 7


def assert_as_alone(task, rounds, aim, seed=0):
    """Step random places with noisy actions around `aim` of the observations; all that ended begin again.

    Returns the numbers of finished and of successful episodes.
    """
    drawn = np.random.default_rng(seed)
    alone = [Environment(task) for _ in range(PLACES)]
    together = Environments(task, PLACES)
    assert isinstance(together._stepper, VectorEnvironment)
    records, ended = together.records, list(range(PLACES))
    finished = successes = 0
    for _ in range(rounds):
        seeds = drawn.integers(2**31, size=len(ended)).tolist()
        assert together.reset(ended, seeds) == {}
        for place, episode in zip(ended, seeds, strict=True):
            assert records.observations[place].tobytes() == alone[place].reset(episode).tobytes()
        # All places or some; some actions exceed the limits.
        chosen = sorted(drawn.choice(PLACES, drawn.choice([2, 5, PLACES]), replace=False).tolist())
        noise = drawn.uniform(-0.6, 0.6, (len(chosen), together.action_dim))
        actions = (aim(records.observations[chosen]) + noise).astype(np.float32)
        assert together.step(chosen, actions) == {}
        ended = []
        for place, action in zip(chosen, actions, strict=True):
            observation, reward, terminated, truncated = alone[place].step(action)
            assert records.observations[place].tobytes() == observation.tobytes()
            assert records.rewards[place] == reward
            assert (records.terminated[place], records.truncated[place]) == (terminated, truncated)
            if terminated or truncated:
                ended.append(place)
                successes += alone[place].success
                assert records.scores[place] == alone[place].score
                assert records.success[place] == alone[place].success
        finished += len(ended)
    return finished, successes


@pytest.mark.parametrize(
    "changes",
    [
        {"horizon": 25},
        {"horizon": 9, "success_reward": 1.0},
        # Every step is a success.
        {"success_reward": 0.0},
        {"horizon": 25, "reference_returns": (-2.0, 3.0), "reward_scale": 3.0, "reward_bias": 0.3},
    ],
)
def test_episodes_are_those_of_single_environments(road_task, changes):
    finished, successes = assert_as_alone(replace(road_task, **changes), 300, ROAD.direction)
    assert finished > successes > 0 or "success_reward" in changes
    assert finished > 10


@pytest.mark.parametrize("changes", [
    {"horizon": 25}, {"horizon": 60, "reference_returns": (0.0, 1.0), "reward_scale": 3.0, "success_reward": 1.0},
])  # fmt: skip
def test_episodes_of_mazes_are_those_of_single_environments(tiny_task, changes):
    # A goal next to the start.
    task = replace(tiny_task, maze=("#####", "#rg.#", "#####"), **changes)
    finished, successes = assert_as_alone(task, 150, lambda observations: observations[:, 4:] - observations[:, :2])
    assert successes > 0
    assert finished > successes or task.horizon > 25


def test_a_binary_reward_is_refused_as_by_a_single_environment(road_task):
    """The road does not report successes."""
    together = Environments(replace(road_task, reward="binary"), 1)
    together.reset([0], [1])
    (error,) = together.step([0], np.zeros((1, 1), np.float32)).values()
    assert "does not report successes" in str(error)


def test_only_places_without_an_episode_are_errors(road_task):
    together = Environments(replace(road_task, horizon=3), 3)
    together.reset([0, 2], [4, 5])
    steps = np.zeros((3, 1), np.float32)
    assert list(together.step([0, 1, 2], steps)) == [1]
    assert together._stepper._steps.tolist() == [1, 0, 1]
    assert together.step([0, 2], steps[:2]) == {}
    assert together.step([0, 2], steps[:2]) == {}
    assert together.records.truncated.tolist() == [True, False, True]
    assert list(together.step([0, 1, 2], steps)) == [0, 1, 2]


@pytest.mark.parametrize("places", [[], [4], [0, 1, 2], [2, 3, 6], range(3, 5)])
def test_indices_select_the_places(places):
    numbers = np.arange(8)
    assert numbers[indices(places)].tolist() == list(places)
    assert isinstance(indices([2, 3, 4]), slice)
