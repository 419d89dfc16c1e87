"""OGBench's npz files are converted to checked Minari datasets or refused with one line."""

import json
import zipfile

import numpy as np
import pytest

from algorithms.floors import return_to_go
from harness.data.card import card_arrays, dataset_card
from harness.data.dataset import load_dataset
from harness.data.files import dataset_folder, missing_ids
from harness.data.hosting import download_sets, take_sets
from harness.errors import UserError
from harness.tasks.ogbench import OGBENCH
from tests.support.command_line import call_here
from tests.support.ogbench_files import NEEDS_OGBENCH, STEPS, cube_file, pointmaze_file, puzzle_file

pytestmark = NEEDS_OGBENCH

MAZE = OGBENCH["pointmaze-medium-navigate-singletask-task1-v0"].task
CUBE = OGBENCH["cube-single-play-singletask-task2-v0"].task
PUZZLE = OGBENCH["puzzle-3x3-play-singletask-task4-v0"].task


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of downloads."""
    folder = tmp_path_factory.mktemp("downloads")
    pointmaze_file(folder), cube_file(folder), puzzle_file(folder)
    return folder


@pytest.fixture(autouse=True)
def minari_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def maze_file(files):
    return files / "pointmaze-medium-navigate-v0.npz"


def changed(files, folder, **changes):
    """Write the maze's file with some arrays replaced, or left out where None."""
    with np.load(maze_file(files)) as archive:
        arrays = {**archive, **changes}
    np.savez(folder / maze_file(files).name, **{name: array for name, array in arrays.items() if array is not None})
    return folder / maze_file(files).name


def test_a_trajectory_is_cut_after_each_step_from_the_goal(files):
    take_sets(MAZE, maze_file(files))
    dataset = load_dataset(MAZE)
    # The second trajectory passes through the goal, the third ends there; each has 30 steps.
    assert dataset.rows.lengths.tolist() == [30, 7, *[1] * 9, 14, 27, 1, 1, 1]
    ends = np.cumsum(dataset.rows.lengths) - 1
    assert dataset.rows.terminated[ends].tolist() == [False, *[True] * 10, False, *[True] * 4]
    assert (dataset.rows.terminated.sum(), dataset.rows.truncated.sum()) == (14, 2)
    np.testing.assert_array_equal(dataset.rows.rewards, np.where(dataset.rows.terminated, 5.0, -5.0))
    assert dataset.repairs == (
        f"{MAZE.data.ids[0]}: 3 trajectories cut after each of 14 steps from a state that solves the task",
    )


def test_transitions_match_the_file(files):
    take_sets(MAZE, files)
    rows = load_dataset(MAZE).rows
    with np.load(maze_file(files)) as archive:
        kept = ~archive["terminals"]
        np.testing.assert_array_equal(rows.table[:, :2], archive["observations"][kept])
        np.testing.assert_array_equal(rows.table[:, 2:4], archive["actions"][kept])
        np.testing.assert_array_equal(rows.table[:, 5:7], archive["observations"][np.roll(kept, 1)])


def test_rewards_and_masks_match_ogbench(files):
    """Transition by transition as `ogbench.make_env_and_datasets`, in its order."""
    import ogbench

    for task in (MAZE, CUBE, PUZZLE):
        take_sets(task, files)
        dataset = task.data.ids[0].removeprefix("ogbench/").replace("-singletask-task", "-task")
        path = files / f"{dataset[: dataset.index('-task')]}-v0.npz"
        path.with_name(path.stem + "-val.npz").write_bytes(path.read_bytes())
        _, loaded, _ = ogbench.make_env_and_datasets(task.name, dataset_path=str(path))
        rows = load_dataset(task).rows
        np.testing.assert_array_equal(rows.rewards, loaded["rewards"] * task.reward_scale + task.reward_bias)
        np.testing.assert_array_equal(rows.terminated, loaded["masks"] == 0)
        np.testing.assert_array_equal(rows.table[:, : rows.observation_dim], loaded["observations"])
        np.testing.assert_array_equal(rows.table[:, -rows.observation_dim - 1 : -1], loaded["next_observations"])
        path.with_name(path.stem + "-val.npz").unlink()


def test_returns_of_the_maze_by_hand(files):
    take_sets(MAZE, files)
    card = dataset_card(MAZE, dataset := load_dataset(MAZE), arrays := card_arrays(MAZE, dataset))
    assert (card["episodes"], card["transitions"], card["observation_dim"], card["action_dim"]) == (16, 90, 2, 2)
    assert card["success_share"] == 14 / 16
    assert arrays.returns.tolist() == [-150, -25, *[5] * 9, -70, -125, 5, 5, 5]
    floor = arrays.floors["failure_rule"]
    # Truncated before the goal: a failure. At the goal: 5. Six steps before it: 6 times -5, then 5, discounted.
    np.testing.assert_allclose(floor[:30], -500.0)
    np.testing.assert_allclose(floor[37:46], 5.0)
    np.testing.assert_allclose(floor[30], -5 * (1 - 0.99**6) / 0.01 + 5 * 0.99**6, rtol=1e-6)


def test_robot_arm_rewards_count_unsolved_subtasks(files):
    take_sets(PUZZLE, files)
    rows = load_dataset(PUZZLE).rows
    assert rows.lengths.tolist() == [30, 21, 9, 30]
    assert rows.rewards.tolist() == [-1] * 30 + [-2] * 20 + [0] + [-2] * 9 + [-3] * 30
    # Without the failure rule, a truncated piece has the plain sum.
    floor = return_to_go(*map(torch_column, (rows.rewards[:30], rows.terminated[:30])), PUZZLE.discount)
    np.testing.assert_allclose(floor[0], -(1 - 0.99**30) / 0.01, rtol=1e-6)
    take_sets(CUBE, files)
    assert load_dataset(CUBE).rows.lengths.tolist() == [30, 30, 11, *[1] * 19]


def torch_column(array):
    import torch

    return torch.from_numpy(np.array(array))


def test_five_tasks_share_a_file(files):
    """With another goal the same transitions have other rewards."""
    other = OGBENCH["pointmaze-medium-navigate-singletask-task5-v0"].task
    take_sets(MAZE, files)
    take_sets(other, files)
    first, second = load_dataset(MAZE), load_dataset(other)
    assert first.content_hash != second.content_hash
    np.testing.assert_array_equal(first.rows.table[:, :4], second.rows.table[:, :4])
    assert second.rows.lengths.tolist() == [7, *[1] * 9, 14, STEPS, STEPS]


def test_a_converted_set_is_copied_like_any_other(files, tmp_path, monkeypatch):
    take_sets(MAZE, files)
    content_hash = load_dataset(MAZE).content_hash
    converted = dataset_folder(MAZE)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "other"))
    take_sets(MAZE, converted)
    assert load_dataset(MAZE).content_hash == content_hash


def test_the_command_converts_checks_and_prints_a_card(files, capsys):
    done = call_here(capsys, "data", MAZE.name, "--from", files, "--json")
    card = json.loads(done.stdout)[0]
    assert (card["task"], card["id"], card["episodes"]) == (MAZE.name, MAZE.data.ids[0], 16)
    assert missing_ids(MAZE) == ()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"qpos": None}, "not a readable OGBench file .*qpos"),
        ({"actions": np.array([{}] * 93, dtype=object)}, "not a readable OGBench file .*allow_pickle=False"),
        ({"terminals": np.zeros(93, bool)}, "the last trajectory has no end"),
        ({"terminals": np.ones(93, bool)}, "a trajectory has no step"),
        ({"terminals": np.full(93, np.nan)}, "terminals contain nan; one flag, 0 or 1, per state is needed"),
        ({"qpos": np.zeros((93, 15), np.float32)}, r"qpos have the shape \(93, 15\), but \(93, 2\) is needed"),
        ({"actions": np.full((93, 2), np.nan, np.float32)}, "actions are not finite numbers"),
        ({"observations": np.zeros((92, 2), np.float32)}, "observations have the shape"),
    ],
)
def test_an_unsuitable_file_is_a_one_line_error_and_leaves_nothing(files, tmp_path, changes, line):
    path = changed(files, tmp_path, **changes)
    with pytest.raises(UserError, match=line) as error:
        take_sets(MAZE, path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert missing_ids(MAZE) == MAZE.data.ids
    assert not list((tmp_path / "minari/ogbench").iterdir())


def test_a_damaged_file_is_refused(files, tmp_path):
    path = tmp_path / maze_file(files).name
    for content in (maze_file(files).read_bytes()[:500], b"no archive", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a readable OGBench file"):
            take_sets(MAZE, path)


def test_a_flipped_byte_is_detected(files, tmp_path):
    path = tmp_path / maze_file(files).name
    content = bytearray(maze_file(files).read_bytes())
    with zipfile.ZipFile(maze_file(files)) as archive:
        content[archive.getinfo("qpos.npy").header_offset + 200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable OGBench file"):
        take_sets(MAZE, path)


def test_a_file_of_another_dataset_is_ignored(files, minari_folder):
    with pytest.raises(UserError, match=r"does not contain .* or pointmaze-medium-navigate-v0.npz; contains no "):
        take_sets(MAZE, files / "cube-single-play-v0.npz")


def test_a_missing_file_names_its_download_page(minari_folder):
    with pytest.raises(UserError) as error:
        download_sets(MAZE)
    assert str(error.value) == (
        f"dataset {MAZE.data.ids[0]}: not found in {minari_folder}; download https://rail.eecs.berkeley.edu/datasets/"
        "ogbench/pointmaze-medium-navigate-v0.npz and convert it with: "
        f"floorbench data {MAZE.name} --from pointmaze-medium-navigate-v0.npz"
    )
