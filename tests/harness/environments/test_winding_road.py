"""The winding road's dynamics by hand, and its scripted behaviour."""

import dataclasses

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from harness.data.collection import collect
from harness.environments.environment import Environment, gymnasium_environment
from harness.environments.families import WINDING_ROAD
from harness.environments.winding_road import HEADING_BIAS, LAST_START, ROAD, Road, Traveller, WindingRoad
from harness.tasks.registry import base_run

CALM = Road(speed=0.1, gust=0.0)


def calm_step(position: float, action: float) -> tuple[float, float, bool]:
    environment = WindingRoad(CALM)
    environment.reset(seed=0, options={"position": position})
    observation, reward, terminated, truncated, _ = environment.step(np.array([action], np.float32))
    assert not truncated
    return float(observation[0]), reward, terminated


def test_the_road_winds_a_quarter_turn_to_both_sides():
    positions = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(ROAD.direction(positions), [0.0, 0.5, 0.0, -0.5, 0.0], atol=1e-15)


@pytest.mark.parametrize(
    ("position", "action", "expected"),
    [
        # At 0.25 the road heads 0.5, a quarter of a turn: along it, across it, against it, and 60 degrees off it.
        (0.25, 0.5, 0.35),
        (0.25, 0.0, 0.25),
        (0.25, 1.0, 0.25),
        (0.25, -0.5, 0.15),
        (0.25, 0.5 - 1 / 3, 0.3),
        # At 0.5 it heads 0; both ends of the action box lead back.
        (0.5, 0.0, 0.6),
        (0.5, -1.0, 0.4),
        (0.5, 1.0, 0.4),
        # The wall.
        (0.0, 1.0, 0.0),
    ],
)
def test_progress_is_the_cosine_of_the_angle_to_the_road(position, action, expected):
    reached, reward, terminated = calm_step(position, action)
    assert reached == pytest.approx(expected, abs=1e-6)
    assert (reward, terminated) == (0.0, False)


def test_a_step_has_the_bits_of_the_dynamics_on_arrays():
    """The environment computes with numbers, the exact values and earlier versions with arrays."""
    environment, seeds = WindingRoad(), np.random.default_rng(0)
    for episode in range(20):
        environment.reset(seed=episode)
        drawn = np.random.default_rng(episode)
        position = np.array([drawn.uniform(0.0, LAST_START)])
        for action in seeds.uniform(-1.0, 1.0, (50, 1)).astype(np.float32):
            position = np.clip(ROAD.aim(position, action.astype(np.float64)) + ROAD.gust * drawn.normal(), 0.0, 1.0)
            assert environment.step(action)[0].tobytes() == position.astype(np.float32).tobytes()


def test_arrival_pays_and_terminates():
    # At 0.95 the road heads half of sin(0.95 turns), -0.1545.
    assert calm_step(0.95, -0.1545) == (1.0, 1.0, True)


def test_gusts_are_normal_and_unbiased():
    environment = WindingRoad(Road(speed=0.0, gust=0.03))
    steps = []
    for seed in range(2000):
        environment.reset(seed=seed, options={"position": 0.5})
        steps.append(environment.step(np.zeros(1, np.float32))[0][0] - 0.5)
    # Standard error of the mean 0.0007, of the standard deviation 0.0005.
    assert np.mean(steps) == pytest.approx(0.0, abs=0.0028)
    assert np.std(steps) == pytest.approx(0.03, abs=0.002)


def test_rounded_observations_do_not_move_the_dynamics():
    """Steps of 1e-9 would never leave the middle in float32, whose numbers are 6e-8 apart there."""
    environment = WindingRoad(Road(speed=1e-9, gust=0.0))
    environment.reset(seed=0, options={"position": 0.5})
    for _ in range(1000):
        observation = environment.step(np.zeros(1, np.float32))[0]
    assert observation.dtype == np.float32
    assert float(observation[0]) == pytest.approx(0.5 + 1e-6, abs=3e-8)


def test_starts_are_uniform_in_the_first_half_and_follow_the_seed():
    environment = WindingRoad()
    starts = [float(environment.reset(seed=seed)[0][0]) for seed in range(500)]
    assert min(starts) < 0.02
    assert 0.48 < max(starts) < LAST_START
    assert np.mean(starts) == pytest.approx(0.25, abs=0.03)
    assert float(environment.reset(seed=3)[0][0]) == starts[3]


def test_is_a_proper_gymnasium_environment(road_task):
    gymnasium_environment(road_task)
    check_env(gymnasium.make(WINDING_ROAD).unwrapped, skip_render_check=True)


def test_the_harness_sees_mapped_rewards_and_a_horizon(road_task):
    environment = Environment(dataclasses.replace(road_task, horizon=3))
    assert environment.reset(0).shape == (1,)
    assert (environment.observation_dim, environment.action_dim) == (1, 1)
    assert [environment.step(np.ones(1, np.float32))[1:] for _ in range(3)] == [
        (-1.0, False, False),
        (-1.0, False, False),
        (-1.0, False, True),
    ]


def test_the_traveller_is_biased_noisy_and_bounded(road_task):
    traveller = Traveller(WindingRoad(), 0.1, np.random.default_rng(0))
    actions = np.array([traveller.action(np.array([0.5], np.float32)) for _ in range(4000)])
    assert (actions.dtype, actions.shape) == (np.float32, (4000, 1))
    assert actions.mean() == pytest.approx(HEADING_BIAS, abs=0.007)
    assert actions.std() == pytest.approx(0.1, abs=0.005)
    wild = Traveller(WindingRoad(), 5.0, np.random.default_rng(0))
    extremes = np.array([wild.action(np.array([0.5], np.float32)) for _ in range(100)])
    assert (extremes.min(), extremes.max()) == (-1.0, 1.0)


def test_the_traveller_without_noise_heads_off_the_road_by_the_bias():
    traveller = Traveller(WindingRoad(), 0.0, np.random.default_rng(0))
    assert traveller.action(np.array([0.75], np.float32)) == pytest.approx(HEADING_BIAS - 0.5, abs=1e-6)


def test_collected_episodes_end_at_the_goal(road_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collect(road_task, "floorbench/road-v0")
    dataset = minari.load_dataset("floorbench/road-v0")
    assert "traveller" in dataset.storage.metadata["description"]
    assert not any("mujoco" in requirement for requirement in dataset.storage.metadata["requirements"])
    for episode in dataset.iterate_episodes():
        assert episode.observations.shape == (len(episode) + 1, 1)
        assert episode.rewards.tolist() == [0.0] * (len(episode) - 1) + [1.0]
        assert episode.terminations.tolist() == [False] * (len(episode) - 1) + [True]


@pytest.mark.parametrize("scale", ["demo", "paper"])
def test_the_traveller_nearly_always_arrives_within_the_horizon(scale):
    """Exact values have no horizon, so truncation must not matter: over 99.9 % of 20,000 episodes reach the goal."""
    task = base_run("winding-road", scale, seed=0).task
    generator = np.random.default_rng(0)
    positions = generator.uniform(0.0, LAST_START, size=20_000)
    for _ in range(task.horizon):
        headings = ROAD.direction(positions) + HEADING_BIAS
        actions = np.clip(headings + task.data.action_noise * generator.normal(size=len(positions)), -1.0, 1.0)
        positions = np.maximum(ROAD.aim(positions, actions) + ROAD.gust * generator.normal(size=len(positions)), 0.0)
        positions = positions[positions < 1.0]
    assert len(positions) <= 20
