"""From a task to checked trajectories: reproducible, collected once, with one-line errors."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import minari
import numpy as np
import pytest

from harness.data.card import dataset_card
from harness.data.dataset import dataset_exists, dataset_id, ensure_dataset, load_dataset
from harness.environments.environment import Environment
from harness.errors import UserError
from harness.settings import DataSettings, Task

# Run by tests in a separate process, with the fields of the tiny task as JSON in the first argument.
PRELUDE = """
import json, os, resource, signal, sys
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.settings import DataSettings, Task
fields = json.loads(sys.argv[1])
task = Task(**{**fields, "data": DataSettings(**fields["data"])})
"""


def start(code: str, task: Task, folder) -> subprocess.Popen:
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(folder)}
    command = [sys.executable, "-c", PRELUDE + code, json.dumps(dataclasses.asdict(task))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def dataset(tiny_task):
    return ensure_dataset(tiny_task)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def test_the_id_names_the_task_and_hashes_its_settings(tiny_task):
    assert re.fullmatch(r"floorbench/tiny-[0-9a-f]{8}-v0", dataset_id(tiny_task))
    same = dataclasses.replace(tiny_task, reward_scale=2.0, reward_bias=0.0, failure_reward=None, discount=0.9)
    assert dataset_id(same) == dataset_id(tiny_task)
    others = [
        dataclasses.replace(tiny_task, environment="PointMaze_Medium-v3"),
        dataclasses.replace(tiny_task, horizon=299),
        dataclasses.replace(tiny_task, data=DataSettings(transitions=401, action_noise=0.3, seed=3)),
        dataclasses.replace(tiny_task, data=DataSettings(transitions=400, action_noise=0.2, seed=3)),
        dataclasses.replace(tiny_task, data=DataSettings(transitions=400, action_noise=0.3, seed=4)),
    ]
    assert len({dataset_id(task) for task in [tiny_task, *others]}) == 6


def test_shapes_and_types(dataset):
    assert dataset.transitions == sum(len(trajectory) for trajectory in dataset.trajectories) >= 400
    assert (dataset.observation_dim, dataset.action_dim) == (6, 2)
    for trajectory in dataset.trajectories:
        steps = len(trajectory)
        assert trajectory.observations.shape == (steps + 1, 6)
        assert trajectory.actions.shape == (steps, 2)
        for array in (trajectory.observations, trajectory.actions, trajectory.rewards):
            assert array.dtype == np.float32
        for array in (trajectory.rewards, trajectory.terminated, trajectory.truncated):
            assert array.shape == (steps,)
        assert trajectory.terminated.dtype == trajectory.truncated.dtype == np.bool_


def test_rewards_are_mapped_on_loading(tiny_task, dataset):
    for trajectory in dataset.trajectories:
        assert trajectory.rewards.tolist() == [-1.0] * (len(trajectory) - 1) + [0.0]
    scaled = load_dataset(dataclasses.replace(tiny_task, reward_scale=10.0, reward_bias=-5.0, failure_reward=-5.0))
    assert scaled.trajectories[0].rewards[[0, -1]].tolist() == [-5.0, 5.0]
    assert scaled.content_hash == dataset.content_hash, "the hash covers the stored content, not how it is read"


def test_the_environment_replays_the_dataset(tiny_task, dataset):
    """Replaying seed and actions of an episode gives bit-identical observations, rewards and flags."""
    storage = minari.load_dataset(dataset.id).storage
    seeds = [metadata["seed"] for metadata in storage.get_episode_metadata(range(len(dataset.trajectories)))]
    environment = Environment(tiny_task)
    for seed, trajectory in zip(seeds, dataset.trajectories, strict=True):
        np.testing.assert_array_equal(environment.reset(seed), trajectory.observations[0])
        for step, action in enumerate(trajectory.actions):
            observation, reward, terminated, truncated = environment.step(action)
            np.testing.assert_array_equal(observation, trajectory.observations[step + 1])
            assert np.float32(reward) == trajectory.rewards[step]
            assert (terminated, truncated) == (trajectory.terminated[step], trajectory.truncated[step])


def test_the_same_task_gives_the_same_content(tiny_task, dataset, empty_folder):
    again = ensure_dataset(tiny_task)
    assert (empty_folder / dataset.id).is_dir()
    assert again.content_hash == dataset.content_hash
    assert len(again.content_hash) == 64
    other = dataclasses.replace(tiny_task, data=dataclasses.replace(tiny_task.data, seed=4))
    assert ensure_dataset(other).content_hash != dataset.content_hash


def test_ensure_does_not_collect_again(tiny_task, dataset):
    def no_progress(done, total):
        raise AssertionError("collected a dataset that is there")

    assert ensure_dataset(tiny_task, no_progress).content_hash == dataset.content_hash


def test_a_missing_dataset_names_the_command(tiny_task, empty_folder):
    assert not dataset_exists(tiny_task)
    with pytest.raises(
        UserError, match=f"dataset {dataset_id(tiny_task)}: .*create it with: floorbench data tiny --data-seed 3$"
    ):
        load_dataset(tiny_task)


def test_no_controller_for_other_environments(empty_folder):
    with pytest.raises(UserError, match="task pendulum: no controller for Pendulum-v1"):
        ensure_dataset(Task(name="pendulum", environment="Pendulum-v1", horizon=10))


def test_two_processes_collect_once(tiny_task, dataset, tmp_path):
    code = """
calls = []
print(ensure_dataset(task, lambda done, total: calls.append(done)).content_hash, bool(calls))
"""
    processes = [start(code, tiny_task, tmp_path) for _ in range(2)]
    answers = []
    for process in processes:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert errors == ""
        answers.append(output.split())
    assert [content_hash for content_hash, _ in answers] == [dataset.content_hash] * 2
    assert sorted(collected for _, collected in answers) == ["False", "True"]


def test_killed_collection_leaves_nothing_that_loads(tiny_task, dataset, tmp_path, monkeypatch):
    code = "ensure_dataset(task, lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 200 else None)"
    process = start(code, tiny_task, tmp_path)
    process.communicate(timeout=300)
    assert process.returncode == -9
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert not dataset_exists(tiny_task)
    assert ensure_dataset(tiny_task).content_hash == dataset.content_hash


def test_collection_stopped_while_moving_files_starts_over(tiny_task, dataset, minari_folder, empty_folder):
    """Minari moves its two files into place one after the other; a dataset with only one of them is incomplete."""
    (empty_folder / dataset.id / "data").mkdir(parents=True)
    shutil.copy(minari_folder / dataset.id / "data/metadata.json", empty_folder / dataset.id / "data")
    assert not dataset_exists(tiny_task)
    assert ensure_dataset(tiny_task).content_hash == dataset.content_hash


def test_interrupt_cleans_up(tiny_task, empty_folder):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_dataset(tiny_task, interrupt)
    assert [path.name for path in empty_folder.iterdir()] == [".floorbench.lock"]


def test_an_unwritable_folder_is_a_one_line_error(tiny_task, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "datasets"))
    with pytest.raises(UserError, match=f"^Minari folder {tmp_path}/file/datasets: cannot be created") as error:
        ensure_dataset(tiny_task)
    assert "\n" not in str(error.value)


def test_a_folder_without_write_permission_is_a_one_line_error(tiny_task, monkeypatch):
    # Not even root can create files in /proc.
    monkeypatch.setenv("MINARI_DATASETS_PATH", "/proc/self")
    with pytest.raises(UserError, match=r"^Minari folder /proc/self: cannot be written") as error:
        ensure_dataset(tiny_task)
    assert "\n" not in str(error.value)


def test_too_little_space_is_reported_before_collecting(tiny_task, empty_folder):
    task = dataclasses.replace(tiny_task, data=DataSettings(transitions=10**12))
    with pytest.raises(UserError, match=r"cannot be written \(700000000 MB needed, \d+ MB free\)"):
        ensure_dataset(task)
    assert list(empty_folder.iterdir()) == []


def test_a_disk_that_fills_up_is_a_one_line_error(tiny_task, tmp_path):
    """A file size limit makes a write fail half-way."""
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    ensure_dataset(task)
except UserError as error:
    print(error)
"""
    output, errors = start(code, tiny_task, tmp_path).communicate(timeout=300)
    assert output.startswith(f"Minari folder {tmp_path}: cannot be written (file too large)"), output + errors
    assert output.count("\n") == 1


def test_card_by_hand(tiny_task, dataset):
    card = dataset_card(tiny_task, dataset)
    lengths = sorted(len(trajectory) for trajectory in dataset.trajectories)
    assert json.loads(json.dumps(card)) == card
    assert (card["id"], card["content_hash"]) == (dataset.id, dataset.content_hash)
    assert (card["episodes"], card["transitions"]) == (len(lengths), sum(lengths))
    assert (card["success_share"], card["truncated_share"]) == (1.0, 0.0)
    spread = {name: card["episode_length"][name] for name in ("min", "q50", "max", "mean")}
    assert spread == {"min": lengths[0], "q50": np.median(lengths), "max": lengths[-1], "mean": np.mean(lengths)}
    # An episode of T steps that ends at the goal: -1 for all but the last step.
    assert card["episode_return"]["mean"] == pytest.approx(-(np.mean(lengths) - 1))
    assert card["floors"]["failure_rule"]["max"] == 0.0
    assert card["floors"]["failure_rule"]["min"] == pytest.approx(-(1 - 0.99 ** (lengths[-1] - 1)) / 0.01, rel=1e-5)


def test_card_counts_failures(tiny_task, empty_folder):
    """With a horizon of 40 steps some episodes fail, and each of their steps is worth -1 / (1 - 0.99)."""
    task = dataclasses.replace(tiny_task, horizon=40)
    dataset = ensure_dataset(task)
    failed = sum(not trajectory.terminated[-1] for trajectory in dataset.trajectories)
    card = dataset_card(task, dataset)
    assert 0 < failed < len(dataset.trajectories)
    assert card["truncated_share"] == pytest.approx(failed / len(dataset.trajectories))
    assert card["success_share"] == pytest.approx(1 - failed / len(dataset.trajectories))
    assert card["floors"]["failure_rule"]["min"] == pytest.approx(-100.0)
