"""Tasks of the papers: environments are reproducible, and rewards and settings match the published tables."""

import numpy as np
import pytest

from harness.environments.environment import Environment
from harness.tasks.hosted import HOSTED, LARGE_MAZE, MEDIUM_MAZE, U_MAZE

# Numbers of a flat observation and of an action, by family.
ANT, BALL = (2 + 27 + 2, 8), (4 + 2, 2)
SIZES = {
    "antmaze": ANT, "pointmaze": BALL, "kitchen": (59, 9),
    "pen": (45, 24), "door": (39, 28), "relocate": (39, 30),
    "halfcheetah": (17, 6), "hopper": (11, 3), "walker2d": (17, 6), "swimmer": (8, 2), "ant": (105, 8),
}  # fmt: skip


def episode(environment, seed, steps=12):
    """Observations, rewards and flags of some random actions, up to the end of the episode."""
    actions = np.random.default_rng(seed).uniform(-1.2, 1.2, size=(steps, environment.action_dim)).astype(np.float32)
    seen = [environment.reset(seed)]
    steps_taken = []
    for action in actions:
        observation, *step = environment.step(action)
        seen.append(observation)
        steps_taken.append((*step, environment.success, environment.score))
        if step[1] or step[2]:
            break
    return np.stack(seen), steps_taken


@pytest.mark.parametrize("name", HOSTED)
def test_episodes_depend_on_their_seed_only(name):
    """Evaluation and resuming within an episode rely on bit-identical replays."""
    environment = Environment(HOSTED[name].task)
    first = episode(environment, 3)
    assert first[0].dtype == np.float32
    assert (first[0].shape[1], environment.action_dim) == SIZES[name.split("-")[0]]
    episode(environment, 4)
    again = episode(environment, 3)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize("name", [name for name in HOSTED if HOSTED[name].task.failure_reward is not None])
def test_a_step_without_success_has_the_failure_reward(name):
    task = HOSTED[name].task
    _, steps_taken = episode(Environment(task), 5)
    for reward, terminated, _, success, score in steps_taken:
        assert (reward == task.failure_reward) == (not success)
        assert terminated == success
        assert score == float(success)


def test_settings_match_the_published_tables():
    assert len(HOSTED) == 6 + 3 + 3 + 4 + 14
    large = HOSTED["antmaze-large-diverse"]
    assert large.task.data.ids == ("D4RL/antmaze/large-diverse-v1",)
    assert (large.task.environment, large.task.horizon, large.task.maze) == ("AntMaze_Large-v4", 1000, LARGE_MAZE)
    assert (large.algorithm.alpha, large.algorithm.lagrange, large.algorithm.target_action_gap) == (5.0, True, 0.8)
    assert large.schedule.offline_steps == large.schedule.online_steps == 1_000_000
    pen = HOSTED["pen-binary"]
    assert pen.task.data.ids == ("D4RL/pen/human-v2", "D4RL/pen/cloned-v2")
    assert (pen.task.horizon, pen.schedule.offline_steps, pen.schedule.online_steps) == (100, 20_000, 200_000)
    assert (pen.algorithm.alpha, pen.algorithm.lagrange, pen.algorithm.policy_hidden) == (1.0, False, (512, 512))
    mixed = HOSTED["kitchen-mixed"]
    assert mixed.task.subtasks == ("microwave", "kettle", "bottom burner", "light switch")
    assert (mixed.schedule.offline_steps, mixed.schedule.online_steps) == (250_000, 500_000)
    assert not mixed.algorithm.importance_sampling
    for recipe in HOSTED.values():
        assert (recipe.schedule.evaluation_episodes, recipe.schedule.online_interval) == (20, 2_000)


@pytest.mark.parametrize("name", [name for name in HOSTED if HOSTED[name].task.failure_reward is not None])
def test_sparse_rewards_become_minus_and_plus_five(name):
    """Failure and success as the official code maps them: -5 and +5, so that a failure has the value -500."""
    task = HOSTED[name].task
    assert task.success_reward * task.reward_scale + task.reward_bias == 5.0
    assert (task.success_reward - 1.0) * task.reward_scale + task.reward_bias == task.failure_reward == -5.0
    assert task.failure_reward / (1 - task.discount) == pytest.approx(-500)


def test_kitchen_rewards_count_completed_subtasks():
    """Doors and knobs are set as subtasks require: each gives 1 per step, and all four end the episode."""
    environment = Environment(HOSTED["kitchen-complete"].task)
    environment.reset(0)
    kitchen = environment._environment.unwrapped
    goals, steps_taken = dict(kitchen.goal), []
    from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_INDICES

    for subtask in ("light switch", "slide cabinet", "microwave", "kettle"):
        kitchen.data.qpos[OBS_ELEMENT_INDICES[subtask]] = goals[subtask]
        _, reward, terminated, _ = environment.step(np.zeros(9, np.float32))
        steps_taken.append((reward, environment.score, environment.success, terminated))
    assert steps_taken == [
        (-3.0, 0.25, False, False), (-2.0, 0.5, False, False), (-1.0, 0.75, False, False), (0.0, 1.0, True, True),
    ]  # fmt: skip


def test_locomotion_scores_are_returns_between_the_reference_returns():
    task = HOSTED["hopper-expert"].task
    _, steps_taken = episode(environment := Environment(task), 0)
    zero, one = task.reference_returns
    rewards = [reward for reward, *_ in steps_taken]
    assert environment.score == pytest.approx((sum(rewards) - zero) / (one - zero))


@pytest.mark.parametrize(
    ("name", "maze"), [("umaze", U_MAZE), ("medium-play", MEDIUM_MAZE), ("large-play", LARGE_MAZE)]
)
def test_ants_start_and_finish_in_the_cells_of_the_maze(name, maze):
    """Start and goal are drawn within a quarter of a cell of 4 m around the centres of r and g."""
    environment = Environment(HOSTED[f"antmaze-{name}"].task)

    def centre(cell):
        row = next(number for number, cells in enumerate(maze) if cell in cells)
        column = maze[row].index(cell)
        return np.array([(column + 0.5 - len(maze[0]) / 2) * 4, (len(maze) / 2 - row - 0.5) * 4])

    for seed in range(3):
        first = environment.reset(seed)
        assert np.abs(first[:2] - centre("r")).max() <= 1.0 + 1e-6
        assert np.abs(first[-2:] - centre("g")).max() <= 1.0 + 1e-6
