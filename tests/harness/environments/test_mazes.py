"""The way-point controller, and the fast PointMaze against gymnasium-robotics."""

import dataclasses
from dataclasses import replace

import networkx
import numpy as np
import pytest

from harness.environments.environment import gymnasium_environment
from harness.environments.mazes import FastPointMaze, Wanderer, WayPointController, free_cells


def observation(position, goal, velocity=(0.0, 0.0)) -> dict[str, np.ndarray]:
    return {
        "achieved_goal": np.array(position, float),
        "desired_goal": np.array(goal, float),
        "observation": np.array([*position, *velocity], float),
    }


@pytest.fixture
def controller(tiny_task) -> WayPointController:
    """Without noise, in the U-shaped maze: cell (1, 1) lies at (-1, 1), cell (3, 1) at (-1, -1)."""
    return WayPointController(gymnasium_environment(tiny_task), 0.0, np.random.default_rng(0))


def test_free_cells_are_joined_to_free_neighbours():
    cells = free_cells([[0, 1, "g"], ["r", 0, 0], [1, 1, 0]])
    assert set(cells) == {(0, 0), (0, 2), (1, 0), (1, 1), (1, 2), (2, 2)}
    assert cells.number_of_edges() == 5
    assert networkx.shortest_path_length(cells, (0, 0), (2, 2)) == 4


def test_way_points_follow_the_corridor_and_end_at_the_goal(controller):
    controller.begin(observation(position=(-1.1, 0.9), goal=(-0.8, -1.2)))
    corridor = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1)])
    between, goal = np.array(controller.way_points[:-1]), controller.way_points[-1]
    assert between.shape == corridor.shape
    offsets = np.abs(between - corridor)
    assert offsets.max() <= 0.1
    assert offsets.min() > 0, "way-points are jittered"
    assert goal.tolist() == [-0.8, -1.2]


def test_push_is_gain_times_distance_less_velocity(controller):
    # In the goal's own cell: 10 * (0.03, -0.02) - (0.1, -0.5).
    at = observation(position=(-1, 1), goal=(-0.97, 0.98), velocity=(0.1, -0.5))
    controller.begin(at)
    assert controller.action(at) == pytest.approx([0.2, 0.3])
    assert controller.action(at).dtype == np.float32


def test_push_is_clipped(controller):
    at = observation(position=(-1.2, 1.2), goal=(-0.8, 0.8))
    controller.begin(at)
    assert controller.action(at).tolist() == [1.0, -1.0]


def test_next_way_point_once_the_first_is_near(controller):
    controller.begin(observation(position=(-1, 1), goal=(-1, -1)))
    first, second = controller.way_points[:2]
    controller.action(observation(position=np.add(first, (0.0, 0.11)), goal=(-1, -1)))
    assert controller.way_points[0] is first
    controller.action(observation(position=np.add(first, (0.0, 0.09)), goal=(-1, -1)))
    assert controller.way_points[0] is second


def test_noise_has_the_requested_standard_deviation(tiny_task):
    controller = WayPointController(gymnasium_environment(tiny_task), 0.2, np.random.default_rng(1))
    at = observation(position=(-1, 1), goal=(-1, 1))
    controller.begin(at)
    actions = np.array([controller.action(at) for _ in range(4000)])
    # Standard error of the mean 0.003, of the standard deviation 0.002.
    assert actions.mean(axis=0) == pytest.approx([0, 0], abs=0.012)
    assert actions.std(axis=0) == pytest.approx([0.2, 0.2], abs=0.01)
    assert np.abs(actions).max() <= 1.0


def test_a_wanderer_goes_on_to_another_cell(tiny_task):
    wanderer = Wanderer(gymnasium_environment(tiny_task), 0.0, np.random.default_rng(3))
    at = observation(position=(-1, 1), goal=(-1, -1))
    wanderer.begin(at)
    target = wanderer.way_points[-1]
    assert np.round(target).tolist() != [-1, 1], "another cell than its own"
    for place in wanderer.way_points[:-1]:
        wanderer.action(observation(position=place, goal=(-1, -1)))
    assert wanderer.way_points == [target]
    wanderer.action(observation(position=np.add(target, (0.11, 0.0)), goal=(-1, -1)))
    assert wanderer.way_points == [target]
    wanderer.action(observation(position=np.add(target, (0.09, 0.0)), goal=(-1, -1)))
    assert np.round(wanderer.way_points[-1]).tolist() != np.round(target).tolist()


@pytest.mark.parametrize(("size", "horizon"), [("UMaze", 300), ("Medium", 600), ("Large", 800)])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_reaches_every_goal(tiny_task, size, horizon, noise):
    task = dataclasses.replace(tiny_task, environment=f"PointMaze_{size}-v3", horizon=horizon)
    environment = gymnasium_environment(task)
    controller = WayPointController(environment, noise, np.random.default_rng(2))
    for seed in range(15):
        state, _ = environment.reset(seed=seed)
        controller.begin(state)
        terminated = truncated = False
        while not (terminated or truncated):
            state, _, terminated, truncated, _ = environment.step(controller.action(state))
        assert terminated, f"seed {seed}"


@pytest.fixture(params=["UMaze", "Medium", "Large", "UMazeDense"])
def pair(request, tiny_task):
    """Two environments of one maze, the second with bare physics."""
    task = replace(tiny_task, environment=f"PointMaze_{request.param}-v3")
    environments = [gymnasium_environment(task, time_limit=False) for _ in range(2)]
    return environments[0], FastPointMaze(environments[1])


def assert_equal_steps(theirs, ours):
    for name, numbers in theirs[0].items():
        assert numbers.dtype == ours[0][name].dtype
        np.testing.assert_array_equal(numbers, ours[0][name])
    assert theirs[1:] == ours[1:]


def test_steps_are_bit_identical(pair):
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


def test_the_speed_limit_is_kept(pair):
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
