"""Known defects of hosted data, each shown in a small dataset, and their repairs."""

import dataclasses

import gymnasium
import minari
import numpy as np
import pytest

from harness.data.dataset import load_dataset
from harness.data.repairs import REPAIRS
from harness.environments.environment import gymnasium_environment
from harness.environments.mazes import maze_map
from harness.errors import UserError
from harness.settings import HostedData, RepairName
from harness.tasks.hosted import HOSTED
from tests.support.hosted_sets import DATA_MAP, EVALUATION_MAP, adroit_set, antmaze_set, kitchen_set, pointmaze_set

ANTMAZE = HOSTED["antmaze-umaze-diverse"].task
POINTMAZE = HOSTED["pointmaze-umaze-hosted"].task
KITCHEN = HOSTED["kitchen-complete"].task
PEN = HOSTED["pen-binary"].task


@pytest.fixture(scope="module", autouse=True)
def sets(tmp_path_factory):
    """Small datasets under the names of the hosted ones, in a separate folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("hosted")))
        antmaze_set("D4RL/antmaze/umaze-diverse-v1")
        pointmaze_set("D4RL/pointmaze/umaze-v2")
        kitchen_set("D4RL/kitchen/complete-v2")
        adroit_set("D4RL/pen/human-v2")
        adroit_set("D4RL/pen/cloned-v2", seeds=range(3, 5))
        yield


def stored(task):
    return [episode for name in task.data.ids for episode in minari.load_dataset(name)]


def without_repairs(task):
    return dataclasses.replace(task, data=HostedData(task.data.ids))


def test_every_name_has_its_function():
    assert tuple(REPAIRS) == RepairName.__args__


def test_ant_episodes_continue_at_the_goal():
    """The defect: returns are many times the 1 of a success, and nothing terminates."""
    episodes = stored(ANTMAZE)
    assert [episode.rewards.sum() for episode in episodes] == [7.0, 7.0, 0.0]
    assert not any(episode.terminations.any() for episode in episodes)
    with pytest.raises(UserError, match="no episode terminates"):
        load_dataset(without_repairs(ANTMAZE))

    repaired = load_dataset(ANTMAZE)
    assert [len(trajectory) for trajectory in repaired.trajectories] == [6, 6, 12]
    assert [trajectory.rewards.tolist() for trajectory in repaired.trajectories] == [
        [-5.0] * 5 + [5.0], [-5.0] * 5 + [5.0], [-5.0] * 12,
    ]  # fmt: skip
    assert [trajectory.terminated.any() for trajectory in repaired.trajectories] == [True, True, False]
    for trajectory, episode in zip(repaired.trajectories, episodes, strict=True):
        steps = len(trajectory)
        # T + 1 observations: position, the ant's 27 numbers, goal.
        assert trajectory.observations.shape == (steps + 1, 31)
        np.testing.assert_array_equal(
            trajectory.observations[:, :2], episode.observations["achieved_goal"][: steps + 1].astype(np.float32)
        )
    assert repaired.repairs == (
        "without_contact_forces: not needed",
        "cut_at_success: 2 of 3 episodes, 12 transitions dropped",
        "terminal_at_success: 2 of 3 episodes",
        "walls_of_the_data: in place of those of its evaluation map",
    )


def test_the_evaluation_map_contradicts_the_data():
    """The defect: in the map that the set names, positions from the data lie inside walls."""
    positions = np.concatenate([episode.observations["achieved_goal"] for episode in stored(ANTMAZE)])
    theirs = minari.load_dataset(ANTMAZE.data.ids[0]).recover_environment(eval_env=True)
    repaired = gymnasium_environment(ANTMAZE)
    assert theirs.unwrapped.maze.maze_map == maze_map(EVALUATION_MAP)

    def in_walls(environment):
        maze = environment.unwrapped.maze
        return [maze.maze_map[row][column] == 1 for row, column in map(maze.cell_xy_to_rowcol, positions)]

    assert any(in_walls(theirs))
    assert not any(in_walls(repaired))

    def depth_in_walls(environment, position):
        ant = environment.unwrapped.ant_env
        environment.reset(seed=0)
        ant.set_state(np.concatenate((position, ant.init_qpos[2:])), ant.data.qvel * 0.0)
        return min((contact.dist for contact in ant.data.contact), default=0.0)

    inside = positions[in_walls(theirs).index(True)]
    assert depth_in_walls(theirs, inside) < -0.1
    assert depth_in_walls(repaired, inside) > -0.1


def test_data_of_another_maze_are_refused():
    turned = dataclasses.replace(ANTMAZE, maze=EVALUATION_MAP)
    with pytest.raises(UserError, match=r"umaze-diverse-v1: its walls \(##### #g..# ###.#"):
        load_dataset(turned)


def test_an_intact_dataset_is_unchanged():
    """A newer version: the goal terminates, and the evaluation map has the walls of the data."""
    task = dataclasses.replace(ANTMAZE, data=HostedData(("tests/newer-v2",), ANTMAZE.data.repairs))
    antmaze_set("tests/newer-v2", evaluation_rows=DATA_MAP, terminates=True)
    dataset = load_dataset(task)
    assert set(dataset.repairs) == {
        "without_contact_forces: not needed", "cut_at_success: not needed", "terminal_at_success: not needed",
        "walls_of_the_data: not needed",
    }  # fmt: skip
    for trajectory, episode in zip(dataset.trajectories, stored(task), strict=True):
        np.testing.assert_array_equal(trajectory.actions, episode.actions)
        np.testing.assert_array_equal(trajectory.terminated, episode.terminations)


def test_v5_ants_have_78_additional_observations():
    """The defect: 105 numbers for the 27 of the environment. The first 27 are the same in the same state."""
    task = dataclasses.replace(ANTMAZE, data=HostedData(("tests/v5-v1",), ANTMAZE.data.repairs))
    antmaze_set("tests/v5-v1", version="v5")
    wide = stored(task)[0].observations["observation"]
    assert wide.shape[1] == 105
    unrepaired = HostedData(("tests/v5-v1",), ("cut_at_success", "terminal_at_success"))
    with pytest.raises(UserError, match=r"recorded in AntMaze_UMaze-v5, but task .* uses AntMaze_UMaze-v4"):
        load_dataset(dataclasses.replace(task, data=unrepaired))

    repaired = load_dataset(task)
    assert repaired.repairs[0] == "without_contact_forces: 3 of 3 episodes"
    assert repaired.observation_dim == 31
    np.testing.assert_array_equal(repaired.trajectories[0].observations[:, 2:29], wide[:7, :27].astype(np.float32))
    environments = [
        gymnasium.make(f"AntMaze_UMaze-{version}", disable_env_checker=True).unwrapped for version in ("v4", "v5")
    ]
    generator = np.random.default_rng(0)
    position, speed = generator.normal(size=15) * 0.1 + [0, 0, 0.75, 1, *[0] * 11], generator.normal(size=14) * 0.1
    seen = []
    for environment in environments:
        environment.reset(seed=0)
        environment.ant_env.set_state(position, speed)
        seen.append(environment._get_obs(environment.ant_env._get_obs())["observation"])
    assert [len(numbers) for numbers in seen] == [27, 105]
    np.testing.assert_array_equal(seen[0], seen[1][:27])


def test_ball_episodes_start_with_the_previous_goal():
    """The defect: the goal of the first observation is the ball's position, and successes do not terminate."""
    episodes = stored(POINTMAZE)
    later = [episode for episode in episodes[1:] if len(episode) > 1]
    assert len(later) >= 3
    for episode in later:
        goals, position = episode.observations["desired_goal"], episode.observations["achieved_goal"][0]
        assert not np.array_equal(goals[0], goals[1])
        assert np.linalg.norm(goals[0] - position) <= 0.45
        assert (goals[1:] == goals[1]).all()
    assert not any(episode.terminations.any() for episode in episodes)
    assert all(episode.truncations[-1] for episode in episodes[:-1])
    with pytest.raises(UserError, match="no episode terminates"):
        load_dataset(without_repairs(POINTMAZE))

    repaired = load_dataset(POINTMAZE)
    for trajectory, episode in zip(repaired.trajectories, episodes, strict=True):
        own_goal = episode.observations["desired_goal"][-1].astype(np.float32)
        assert (trajectory.observations[:, 4:] == own_goal).all()
        reached = bool(episode.rewards[-1] == 1.0)
        assert (trajectory.terminated[-1], trajectory.truncated[-1]) == (
            reached,
            not reached and episode.truncations[-1],
        )
        assert trajectory.rewards.tolist() == [-5.0] * (len(trajectory) - reached) + [5.0] * reached
    assert repaired.repairs[:2] == (
        f"goal_of_first_observation: {len(later)} of {len(episodes)} episodes",
        f"terminal_at_success: {len(episodes) - 1} of {len(episodes)} episodes",
    )


def test_hand_rewards_are_binary():
    """The environment's dense rewards become -1 and 0; episodes end with their first success, failures are left out."""
    episodes = stored(PEN)
    assert len({float(reward) for episode in episodes for reward in episode.rewards}) > 20
    assert [episode.infos["success"][1:].sum() for episode in episodes] == [0, 6, 6, 0, 6]
    dataset = load_dataset(PEN)
    assert [trajectory.rewards.tolist() for trajectory in dataset.trajectories] == [[-5.0] * 4 + [5.0]] * 3
    assert [trajectory.terminated.tolist() for trajectory in dataset.trajectories] == [[False] * 4 + [True]] * 3
    assert dataset.repairs[:3] == (
        "successes_only: 2 of 5 episodes, 20 transitions dropped",
        "cut_at_success: 3 of 5 episodes, 15 transitions dropped",
        "terminal_at_success: 3 of 5 episodes",
    )


def test_hand_data_without_successes_are_refused():
    """Binary rewards cannot be derived from dense rewards alone."""
    task = dataclasses.replace(PEN, data=HostedData(("tests/silent-v0",)))
    adroit_set("tests/silent-v0", record_infos=False)
    with pytest.raises(UserError, match=r"tests/silent-v0: episode 0: infos\[success\] must hold 11 booleans"):
        load_dataset(task)


def test_kitchen_episodes_end_when_all_subtasks_are_completed():
    episodes = stored(KITCHEN)
    assert [episode.rewards.tolist() for episode in episodes] == [
        [0, 0, 1, 2, 3, 4, 4, 4, 4, 4], [0, 0, 1, 2, 3, 3, 3, 3, 3, 3],
    ]  # fmt: skip
    first, second = load_dataset(KITCHEN).trajectories
    assert first.rewards.tolist() == [-4, -4, -3, -2, -1, 0]
    assert first.terminated.tolist() == [False] * 5 + [True]
    assert second.rewards.tolist() == [-4, -4, -3, -2] + [-1] * 6
    assert not second.terminated.any()
    assert first.observations.shape == (7, 59)


@pytest.mark.parametrize("task", [ANTMAZE, POINTMAZE, PEN, KITCHEN], ids=lambda task: task.name)
def test_repairs_are_idempotent(task):
    """A repair returns data that it has repaired unchanged, as the same object."""
    for episode in stored(task):
        if task.reward == "binary":
            episode = dataclasses.replace(episode, rewards=episode.infos["success"][1:] - 1.0)
        for name in task.data.repairs:
            before = {key: np.copy(value) for key, value in vars(episode).items() if isinstance(value, np.ndarray)}
            once = REPAIRS[name](episode, task)
            for key, value in before.items():
                np.testing.assert_array_equal(getattr(episode, key), value)
            if once is None:
                break
            assert REPAIRS[name](once, task) is once
            episode = once


@pytest.mark.parametrize("task", [ANTMAZE, POINTMAZE, PEN, KITCHEN], ids=lambda task: task.name)
def test_reading_twice_gives_the_same_data(task):
    """The second time the rows that were read the first time are mapped."""
    first, second = load_dataset(task), load_dataset(task)
    np.testing.assert_array_equal(first.rows.table, second.rows.table)
    assert (first.content_hash, first.repairs) == (second.content_hash, second.repairs)
