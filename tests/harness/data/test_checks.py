"""Damaged Minari datasets are one-line errors that name dataset, episode and damage."""

import dataclasses
import json
import re
import shutil

import h5py
import numpy as np
import pytest

from harness.data.dataset import dataset_id, ensure_dataset, load_dataset
from harness.errors import UserError


@pytest.fixture
def folder(tiny_task, minari_folder, tmp_path, monkeypatch):
    """A copy of the tiny dataset's folder that a test may damage."""
    ensure_dataset(tiny_task)
    shutil.copytree(minari_folder / dataset_id(tiny_task), tmp_path / dataset_id(tiny_task))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path / dataset_id(tiny_task)


def replace(episode: h5py.Group, name: str, change) -> None:
    """Store `change(array)` in place of an array."""
    array = change(episode[name][:])
    del episode[name]
    episode[name] = array


def with_value(row: int, value):
    def change(array):
        array[row] = value
        return array

    return change


def remove(name: str):
    def damage(episode):
        del episode[name]

    return damage


def changed(name: str, change):
    return lambda episode: replace(episode, name, change)


def without_last_observation(episode):
    for part in list(episode["observations"]):
        replace(episode, f"observations/{part}", lambda array: array[:-1])


def without_steps(episode):
    for part in list(episode["observations"]):
        replace(episode, f"observations/{part}", lambda array: array[:1])
    for name in ("actions", "rewards", "terminations", "truncations"):
        replace(episode, name, lambda array: array[:0])


STATE = "observations/observation"

# Damage to episode 2, and the expected message.
DAMAGE = {
    "no terminations": (remove("terminations"), "cannot be read (object 'terminations' doesn't exist)"),
    "no rewards": (remove("rewards"), "cannot be read (object 'rewards' doesn't exist)"),
    "no observations": (remove("observations"), "cannot be read (object 'observations' doesn't exist)"),
    "no goal": (remove("observations/desired_goal"), "observations[desired_goal] are missing"),
    "empty terminations": (changed("terminations", lambda array: array[:0]), "terminations have shape (0,); "),
    "short terminations": (changed("terminations", lambda array: array[1:]), "terminations have shape ("),
    "short truncations": (changed("truncations", lambda array: array[1:]), "truncations have shape ("),
    "T observations": (without_last_observation, "observations[observation] for "),
    "T goals": (changed("observations/desired_goal", lambda array: array[:-1]), "observations[desired_goal] for "),
    "T - 1 observations": (changed(STATE, lambda array: array[:-2]), "observations[observation] have shape ("),
    "wide observations": (changed(STATE, lambda array: np.hstack([array, array])), ", 8); ("),
    "integer observations": (changed(STATE, lambda array: array.astype(int)), "are int64; floating numbers"),
    "NaN observation": (changed(STATE, with_value(5, np.nan)), "[observation] contain NaN or infinity in row 5"),
    "infinite goal": (changed("observations/desired_goal", with_value(0, np.inf)), "contain NaN or infinity in row 0"),
    "NaN action": (changed("actions", with_value(3, np.nan)), "actions contain NaN or infinity in row 3"),
    "narrow actions": (changed("actions", lambda array: array[:, :1]), ", 1); ("),
    "big action": (
        changed("actions", with_value(4, (0.5, -1.5))),
        "action 4 is [0.5, -1.5], outside the action box [-1.0, -1.0] to [1.0, 1.0]",
    ),
    "bigger action": (
        changed("actions", with_value(4, (1.5, 0.5))),
        "action 4 is [1.5, 0.5], outside the action box [-1.0, -1.0] to [1.0, 1.0]",
    ),
    "infinite in float32": (
        changed(STATE, lambda array: with_value((5, 1), -1e39)(array.astype(float))),
        "observations[observation] contain -1e+39, too large for float32, in row 5",
    ),
    "reward infinite in float32": (
        changed("rewards", lambda array: with_value(1, 1e39)(array.astype(float))),
        "rewards contain 1e+39, too large for float32, in row 1",
    ),
    "complex rewards": (
        changed("rewards", lambda array: array.astype(complex)),
        "rewards are complex128; floating or integer numbers are needed",
    ),
    "NaN reward": (changed("rewards", with_value(1, np.nan)), "rewards contain NaN or infinity in row 1"),
    "infinite reward": (changed("rewards", with_value(1, np.inf)), "rewards contain NaN or infinity in row 1"),
    "rewards as text": (changed("rewards", lambda array: array.astype("S8")), "rewards are |S8; floating or integer"),
    "integer actions": (
        changed("actions", lambda array: array.astype(int)),
        "actions are int64; floating numbers",
    ),
    "short rewards": (changed("rewards", lambda array: array[1:]), "rewards have shape ("),
    "terminations as numbers": (changed("terminations", lambda array: array.astype(float)), "are float64; bool"),
    "early terminal": (changed("terminations", with_value(0, True)), "after the termination at step 0"),
    "early truncation": (changed("truncations", with_value(0, True)), "after the truncation at step 0"),
    "no steps": (without_steps, "has no steps; at least one is needed"),
}


def load_error(task) -> str:
    with pytest.raises(UserError) as error:
        load_dataset(task)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"dataset {dataset_id(task)}: ")
    return str(error.value).removeprefix(f"dataset {dataset_id(task)}: ")


def test_an_intact_dataset_passes(tiny_task, folder):
    assert load_dataset(tiny_task).transitions >= 400


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_episode(tiny_task, folder, case):
    damage, message = DAMAGE[case]
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        damage(file["episode_2"])
    line = load_error(tiny_task)
    assert line.startswith("episode 2: ")
    assert message in line


def test_observations_are_counted_in_the_message(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        steps = len(file["episode_0/actions"])
        without_last_observation(file["episode_0"])
    assert load_error(tiny_task) == (
        f"episode 0: has {steps} observations[observation] for {steps} actions; {steps + 1} are needed, "
        "one after the last action"
    )


def test_no_terminal_at_all(tiny_task, folder):
    """As in the hosted sets, where reaching the goal is recorded as a truncation."""
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        for episode in file.values():
            episode["truncations"][-1] = True
            episode["terminations"][-1] = False
    assert load_error(tiny_task).startswith("no episode terminates: ")
    dense = dataclasses.replace(tiny_task, failure_reward=None)
    assert not any(trajectory.terminated.any() for trajectory in load_dataset(dense).trajectories)


def test_empty_dataset(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        for name in list(file):
            del file[name]
    metadata = json.loads((folder / "data/metadata.json").read_text())
    (folder / "data/metadata.json").write_text(json.dumps({**metadata, "total_episodes": 0, "total_steps": 0}))
    assert load_error(tiny_task) == "empty; at least one episode is needed"


def test_missing_episode(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        del file["episode_1"]
    assert "episode 1: cannot be read (object 'episode_1' doesn't exist)" in load_error(tiny_task)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(tiny_task, folder, share):
    file = folder / "data/main_data.hdf5"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    line = load_error(tiny_task)
    assert re.match(
        r"data/main_data\.hdf5: cannot be read \(.+\); delete .+ "
        r"and create it again with: floorbench data tiny --data-seed 3$",
        line,
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE html><html'"),
        (b"version https://git-lfs", "begins with b'version https://git-'"),
    ],
)
def test_a_file_that_is_no_hdf5(tiny_task, folder, content, why):
    """As a page in place of a download, or the pointer of a large file."""
    (folder / "data/main_data.hdf5").write_bytes(content)
    line = load_error(tiny_task)
    assert line.startswith(f"data/main_data.hdf5: cannot be read (an HDF5 file is needed, but it {why}); delete ")


def test_overwritten_file(tiny_task, folder):
    file = folder / "data/main_data.hdf5"
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + b"\xa5" * (len(content) - middle))
    assert "cannot be read (" in load_error(tiny_task)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON: it ends at line 1, column 1"),
        (
            "{\n nothing",
            "not JSON: expecting property name enclosed in double quotes at line 2, column 2, found 'nothing'",
        ),
        ("[]", "a JSON object is needed, not []"),
        ("{}", "observation_space is None; text is needed"),
    ],
)
def test_broken_metadata(tiny_task, folder, text, why):
    (folder / "data/metadata.json").write_text(text)
    assert load_error(tiny_task).startswith(f"data/metadata.json: cannot be read ({why})")


def test_metadata_of_another_set(tiny_task, folder):
    metadata = json.loads((folder / "data/metadata.json").read_text())
    (folder / "data/metadata.json").write_text(json.dumps({**metadata, "dataset_id": "mine/other-v0"}))
    assert "(dataset_id is 'mine/other-v0': this is another set)" in load_error(tiny_task)


def test_metadata_that_count_fewer_episodes(tiny_task, folder):
    metadata = json.loads((folder / "data/metadata.json").read_text())
    count = metadata["total_episodes"]
    (folder / "data/metadata.json").write_text(json.dumps({**metadata, "total_episodes": count - 1}))
    why = f"(it holds {count} episodes, but metadata.json says {count - 1})"
    assert f"data/main_data.hdf5: cannot be read {why}" in load_error(tiny_task)


def test_a_duplicate_episode(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        del file["episode_3"]
        file.copy("episode_1", "episode_3")
        file["episode_3"].attrs["id"] = 3
    assert load_error(tiny_task) == "episode 3: repeats episode 1"


def test_episodes_whose_keys_are_mixed_up(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        file.move("episode_0", "aside")
        file.move("episode_2", "episode_0")
        file.move("aside", "episode_2")
    assert load_error(tiny_task) == "episode 0: stored as episode 2: the keys of the set are mixed up"


def test_parts_whose_keys_are_mixed_up(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        parts = file["episode_1/observations"]
        parts.move("observation", "aside")
        parts.move("desired_goal", "observation")
        parts.move("aside", "desired_goal")
    assert "episode 1: observations[observation] have shape (" in load_error(tiny_task)


def test_goal_and_position_swapped(tiny_task, folder):
    """Both have two dimensions; only the dynamics distinguish them."""
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        parts = file["episode_1/observations"]
        parts.move("achieved_goal", "aside")
        parts.move("desired_goal", "achieved_goal")
        parts.move("aside", "desired_goal")
    assert load_error(tiny_task) == (
        "episode 1: its desired goals move and its achieved goals do not: the keys of the set are mixed up"
    )


def test_wrong_step_counts(tiny_task, folder):
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        steps = len(file["episode_2/actions"])
        file["episode_2"].attrs["total_steps"] = steps + 1
    assert load_error(tiny_task) == f"episode 2: has {steps} actions, but its metadata say {steps + 1} steps"


@pytest.mark.parametrize("other", ["PointMaze_UMaze-v2", "AntMaze_UMaze-v4"])
def test_another_environment(tiny_task, folder, other):
    file = folder / "data/metadata.json"
    file.write_text(file.read_text().replace("PointMaze_UMaze-v3", other))
    assert load_error(tiny_task) == f"recorded in {other}, but task tiny uses PointMaze_UMaze-v3"


def test_episodes_of_different_width(tiny_task, folder):
    """All have the same width except the last."""
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        last = len(file) - 1
        replace(file[f"episode_{last}"], STATE, lambda array: array[:, :3])
    assert load_error(tiny_task).startswith(f"episode {last}: observations[observation] have shape (")
