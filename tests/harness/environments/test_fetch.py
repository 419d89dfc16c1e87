"""The scripted controller of the robot arm, and episodes that end at their goal."""

from dataclasses import replace

import numpy as np
import pytest

from harness.data.collection import CONTROLLERS
from harness.data.dataset import ensure_dataset
from harness.environments.environment import Environment, gymnasium_environment
from harness.environments.families import family, view_of
from harness.environments.fetch import (
    CLOSED,
    GAIN,
    OPEN,
    TRAVEL_HEIGHT,
    FastFetch,
    MisdirectedArm,
    ScriptedArm,
    euler_angles,
    pick_and_place,
    push,
    reach,
)
from harness.tasks.registry import DEMO, FETCH, PAPER

TASKS = [f"fetch-{name}" for name in FETCH]


def with_block(gripper, block, goal, fingers=0.1):
    """An observation with a block, whose fingers are so far apart."""
    gripper, block = np.array(gripper, float), np.array(block, float)
    half = np.full(2, fingers / 2)
    return {
        "observation": np.concatenate((gripper, block, block - gripper, half, np.zeros(14))),
        "achieved_goal": block,
        "desired_goal": np.array(goal, float),
    }


def test_reaching_goes_straight_to_the_goal():
    way, _ = reach({"achieved_goal": np.array([1.0, 2.0, 3.0]), "desired_goal": np.array([1.5, 2.0, 2.0])})
    assert way.tolist() == [0.5, 0.0, -1.0]


@pytest.mark.parametrize(
    ("gripper", "way"),
    [
        # The block lies at the origin, its goal 0.2 ahead in x. Behind it and low: 5 cm beyond its middle.
        ((-0.08, 0.01, 0.0), (0.13, -0.01, 0.0)),
        # Above the place behind it: down.
        ((-0.08, 0.0, 0.07), (0.0, 0.0, -0.07)),
        # Low before it or beside it: up.
        ((0.06, 0.0, 0.0), (0.0, 0.0, TRAVEL_HEIGHT)),
        ((-0.05, 0.06, 0.01), (0.0, 0.0, TRAVEL_HEIGHT - 0.01)),
        # High and elsewhere: to above the place behind it.
        ((0.1, 0.1, 0.1), (-0.18, -0.1, TRAVEL_HEIGHT - 0.1)),
    ],
)
def test_pushing_goes_around_the_block(gripper, way):
    action, fingers = push(with_block(gripper, (0, 0, 0), (0.2, 0, 0)))
    assert action == pytest.approx(way)
    assert fingers == CLOSED


def test_a_push_ends_at_the_goal():
    way, _ = push(with_block((-0.05, 0, 0), (0, 0, 0), (0.02, 0, 0)))
    assert way == pytest.approx((0.07, 0.0, 0.0))


@pytest.mark.parametrize(
    ("gripper", "fingers", "way", "does"),
    [
        # Elsewhere: above the block, open. Above it: down. Around it: close. Closed on it: to the goal.
        ((0.1, 0.0, 0.2), 0.0, (-0.1, 0.0, TRAVEL_HEIGHT - 0.2), OPEN),
        ((0.005, 0.0, 0.07), 0.1, (-0.005, 0.0, -0.07), OPEN),
        ((0.0, 0.0, 0.005), 0.1, (0.0, 0.0, -0.005), CLOSED),
        ((0.0, 0.0, 0.005), 0.05, (0.1, 0.2, 0.3), CLOSED),
    ],
)
def test_picking_and_placing_step_by_step(gripper, fingers, way, does):
    action, pushes = pick_and_place(with_block(gripper, (0, 0, 0), (0.1, 0.2, 0.3), fingers))
    assert action == pytest.approx(way)
    assert pushes == does


def test_actions_are_proportional_clipped_and_noisy():
    goal = {"achieved_goal": np.zeros(3), "desired_goal": np.array([0.05, -0.02, 0.3])}
    assert ScriptedArm(reach, 0.0, np.random.default_rng(0)).action(goal) == pytest.approx([0.5, -0.2, 1.0, 0.0])
    arm = ScriptedArm(reach, 0.2, np.random.default_rng(0))
    actions = np.array([arm.action(goal) for _ in range(2000)])
    assert actions.dtype == np.float32
    assert np.abs(actions).max() == 1.0
    # Standard errors of 0.0045 and 0.0032.
    assert actions[:, :2].mean(0) == pytest.approx([0.5, -0.2], abs=0.02)
    assert actions[:, 3].std() == pytest.approx(0.2, abs=0.015)


@pytest.mark.parametrize("name", TASKS)
def test_the_arm_reaches_its_goals_and_episodes_end_there(name):
    task = DEMO[name].task
    environment = gymnasium_environment(task)
    arm = CONTROLLERS[family(task)](environment, 0.0, np.random.default_rng(0))
    for seed in range(8):
        observation, _ = environment.reset(seed=seed)
        arm.begin(observation)
        over, rewards = False, []
        while not over:
            observation, reward, terminated, truncated, _ = environment.step(arm.action(observation))
            rewards.append(reward)
            over = terminated or truncated
        assert terminated, f"seed {seed}"
        assert rewards == [-1.0] * (len(rewards) - 1) + [0.0]
        assert np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"]) <= 0.05


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_depends_on_its_seed_only(name):
    environment = Environment(DEMO[name].task)
    numbers = 10 if name == "fetch-reach" else 25
    assert (environment.observation_dim, environment.action_dim) == (numbers + 3, 4)

    def episode(seed):
        actions = np.random.default_rng(seed).uniform(-1, 1, size=(20, 4)).astype(np.float32)
        first = environment.reset(seed)
        seen = [first]
        for action in actions:
            observation, reward, terminated, truncated = environment.step(action)
            assert reward == (0.0 if environment.success else -2.0)
            assert terminated == environment.success
            seen.append(observation)
            if terminated or truncated:
                break
        return np.stack(seen)

    first = episode(3)
    episode(4)
    np.testing.assert_array_equal(episode(3), first)


def test_an_episode_without_success_is_truncated_at_the_horizon():
    environment = Environment(DEMO["fetch-push"].task)
    environment.reset(1)
    flags = [environment.step(np.zeros(4, np.float32))[2:] for _ in range(50)]
    assert flags == [(False, False)] * 49 + [(False, True)]
    assert environment.score == 0.0


@pytest.mark.parametrize("name", TASKS)
def test_rewards_at_both_scales(name):
    """A failure has the values -200 and -500."""
    demo, paper = DEMO[name].task, PAPER[name].task
    assert (-1 * demo.reward_scale + demo.reward_bias, 0 * demo.reward_scale + demo.reward_bias) == (-2.0, 0.0)
    assert (-1 * paper.reward_scale + paper.reward_bias, 0 * paper.reward_scale + paper.reward_bias) == (-5.0, 5.0)
    assert (demo.failure_reward, paper.failure_reward) == (-2.0, -5.0)


def test_noisy_data_are_of_mixed_quality():
    task = DEMO["fetch-push"].task
    dataset = ensure_dataset(replace(task, data=replace(task.collected, transitions=800, seed=5)))
    ends = [bool(trajectory.terminated[-1]) for trajectory in dataset.trajectories]
    assert 0.2 < np.mean(ends) < 0.9
    for trajectory, reached in zip(dataset.trajectories, ends, strict=True):
        assert trajectory.rewards.tolist() == [-2.0] * (len(trajectory) - 1) + [0.0 if reached else -2.0]
        assert bool(trajectory.truncated[-1]) == (not reached)
        assert reached or len(trajectory) == 50


def test_a_misdirected_episode_heads_for_the_goal_of_the_episode_before():
    generator = np.random.default_rng(0)
    starts = [{"achieved_goal": np.zeros(3), "desired_goal": np.full(3, goal)} for goal in (0.01, 0.02, 0.03)]
    arm = MisdirectedArm(reach, 0.0, generator, misdirected=1.0)
    for start, target in zip(starts, (0.01, 0.01, 0.02), strict=True):
        arm.begin(start)
        assert arm.action(start)[:3] == pytest.approx(GAIN * target)


def test_the_fraction_of_misdirected_episodes():
    generator = np.random.default_rng(0)
    arm = MisdirectedArm(reach, 0.0, generator, misdirected=0.3)
    misdirected = 0
    for goal in 0.001 * np.arange(1, 2_001):
        start = {"achieved_goal": np.zeros(3), "desired_goal": np.full(3, goal % 0.1)}
        arm.begin(start)
        misdirected += not np.isclose(arm.action(start)[0], GAIN * (goal % 0.1))
    # Four standard deviations of a binomial distribution: 0.04.
    assert misdirected / 2_000 == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("name", TASKS)
def test_positions_are_in_decimetres_from_the_centre(name):
    task = DEMO[name].task
    environment, raw = Environment(task), gymnasium_environment(task)
    seen, (observation, _) = environment.reset(5), raw.reset(seed=5)
    assert seen.dtype == np.float32
    assert seen.shape == (environment.observation_dim,) == (len(view_of(task).centre),)
    blocks = 0 if family(task) == "FetchReach" else 1
    for begin in range(1 + blocks):
        place = slice(3 * begin, 3 * begin + 3)
        expected = 10.0 * (observation["observation"][place] - (1.34, 0.75, 0.5))
        assert seen[place] == pytest.approx(expected, abs=1e-5)
    assert seen[-3:] == pytest.approx(10.0 * (observation["desired_goal"] - (1.34, 0.75, 0.5)), abs=1e-5)
    between = slice(3 * (1 + blocks), -3)
    assert seen[between] == pytest.approx(10.0 * observation["observation"][3 * (1 + blocks) :], abs=1e-5)


def test_data_and_environment_have_the_same_observations():
    """Raw gripper positions are 13 decimetres from the origin; the mapped ones are at most 4 from the middle."""
    task = DEMO["fetch-reach"].task
    dataset = ensure_dataset(replace(task, data=replace(task.collected, transitions=20)))
    for trajectory in dataset.trajectories:
        assert np.abs(trajectory.observations[:, :3]).max() < 4.0
        assert np.abs(trajectory.observations[:, -3:]).max() < 4.0


@pytest.mark.parametrize("name", TASKS)
def test_fast_steps_are_bit_identical(name):
    task = DEMO[name].task
    theirs, ours = gymnasium_environment(task, time_limit=False), FastFetch(gymnasium_environment(task, False))
    generator = np.random.default_rng(0)
    controller = CONTROLLERS[family(task)](theirs, 0.1, generator)
    ends = 0
    for seed in range(5):
        observation, _ = theirs.reset(seed=seed)
        ours.reset(seed=seed)
        for step in range(50):
            # The controller moves the block; larger actions than allowed are clipped.
            action = controller.action(observation) if step % 6 else generator.uniform(-2.0, 2.0, 4).astype(np.float32)
            observation, *others = theirs.step(action)
            ours_observation, *ours_others = ours.step(action)
            for part, numbers in observation.items():
                assert numbers.dtype == ours_observation[part].dtype
                np.testing.assert_array_equal(numbers, ours_observation[part], strict=True)
            assert others == ours_others
            if others[1]:
                ends += 1
                break
    assert ends


def test_angles_at_the_singularity_are_those_of_gymnasium_robotics():
    from gymnasium_robotics.utils.rotations import mat2euler

    generator = np.random.default_rng(1)
    upright = np.array([[0.6, -0.8, 0.0], [0.0, 0.0, -1.0], [0.8, 0.6, 0.0]])
    singular = np.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]])
    for matrix in (upright, singular, *np.linalg.qr(generator.normal(size=(200, 3, 3)))[0]):
        np.testing.assert_array_equal(euler_angles(matrix.ravel()), mat2euler(matrix))
