"""Collected datasets: complete raw episodes in Minari with metadata."""

import dataclasses
import json
from importlib.metadata import version

import minari
import numpy as np
import pytest

from harness.data.collection import CONTROLLERS, check_controller, collect
from harness.environments.families import family
from harness.errors import UserError
from harness.settings import Task
from harness.tasks.registry import DEMO


@pytest.mark.parametrize("name", DEMO)
def test_every_task_has_a_controller(name):
    check_controller(DEMO[name].task)
    assert family(DEMO[name].task) in CONTROLLERS


def test_other_environments_have_no_controller():
    with pytest.raises(UserError, match=r"no controller for Pendulum-v1; data can be collected in PointMaze"):
        check_controller(Task(name="pendulum", environment="Pendulum-v1", horizon=10))


def test_collects_a_minari_dataset_of_raw_episodes(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    calls = []
    collect(tiny_task, "floorbench/raw-v0", lambda done, total: calls.append((done, total)))
    dataset = minari.load_dataset("floorbench/raw-v0")
    episodes = list(dataset.iterate_episodes())
    lengths = [len(episode) for episode in episodes]
    assert 0 <= sum(lengths) - 400 < lengths[-1], "whole episodes until the transitions are reached"
    for episode in episodes:
        assert set(episode.observations) == {"observation", "achieved_goal", "desired_goal"}
        assert episode.observations["observation"].shape == (len(episode) + 1, 4)
        assert episode.actions.dtype == np.float32
        assert episode.rewards.tolist() == [0.0] * (len(episode) - 1) + [1.0], "rewards are not mapped"
        assert episode.terminations.tolist() == [False] * (len(episode) - 1) + [True]
        assert not episode.truncations.any()
        assert np.ptp(episode.observations["desired_goal"], axis=0).tolist() == [0.0, 0.0], "the goal stays"
    assert calls[-1] == (400, 400)
    assert [done for done, _ in calls] == np.minimum(np.cumsum(lengths), 400).tolist()


def test_a_horizon_too_short_truncates(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collect(dataclasses.replace(tiny_task, horizon=6), "floorbench/short-v0")
    episodes = list(minari.load_dataset("floorbench/short-v0").iterate_episodes())
    cut = [episode for episode in episodes if not episode.terminations[-1]]
    assert cut
    for episode in cut:
        assert episode.truncations.tolist() == [False] * 5 + [True]


def test_wandering_episodes_start_anywhere_and_have_one_length(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    maze = ("#####", "#r..#", "###.#", "#g..#", "#####")
    task = dataclasses.replace(
        tiny_task, maze=maze, data=dataclasses.replace(tiny_task.collected, wander_steps=40, transitions=1_000)
    )
    collect(task, "floorbench/wandering-v0")
    episodes = list(minari.load_dataset("floorbench/wandering-v0").iterate_episodes())
    starts = np.array([episode.observations["achieved_goal"][0] for episode in episodes])
    goals = np.array([episode.observations["desired_goal"][0] for episode in episodes])
    free = {(-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)}
    assert {tuple(place) for place in np.round(starts).astype(int)} == free - {(-1, -1)}, "not in the goal's cell"
    assert {tuple(place) for place in np.round(goals).astype(int)} == {(-1, -1)}
    for episode in episodes:
        reached = bool(episode.terminations[-1])
        assert len(episode) == 40 or reached
        assert episode.rewards[-1] == float(reached)
    assert 0 < sum(episode.terminations[-1] for episode in episodes) < len(episodes) / 2


def test_only_mazes_have_cells_to_wander_in():
    task = DEMO["fetch-reach"].task
    with pytest.raises(UserError, match=r"task.data.wander_steps: FetchReach-v4 has no cells to wander in; remove"):
        check_controller(dataclasses.replace(task, data=dataclasses.replace(task.collected, wander_steps=60)))


def test_only_an_arm_can_be_misdirected():
    task = DEMO["winding-road"].task
    with pytest.raises(UserError, match=r"task.data.misdirected: only episodes of FetchReach, .* remove the setting"):
        check_controller(dataclasses.replace(task, data=dataclasses.replace(task.collected, misdirected=0.5)))


def test_misdirected_episodes_rarely_reach_their_goal(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    task = DEMO["fetch-reach"].task
    successes = {}
    for misdirected in (0.0, 1.0):
        data = dataclasses.replace(task.collected, transitions=400, action_noise=0.1, misdirected=misdirected)
        name = f"floorbench/misdirected-{misdirected:.0f}-v0"
        collect(dataclasses.replace(task, data=data), name)
        ends = [episode.terminations[-1] for episode in minari.load_dataset(name).iterate_episodes()]
        successes[misdirected] = np.mean(ends)
    assert successes[0.0] == 1.0
    # Goals lie in a cube with edges of 30 cm, and success is within 5 cm.
    assert successes[1.0] < 0.5


def test_metadata_describe_the_collection(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collect(tiny_task, "floorbench/described-v0")
    metadata = json.loads((tmp_path / "floorbench/described-v0/data/metadata.json").read_text())
    assert metadata["dataset_id"] == "floorbench/described-v0"
    assert metadata["algorithm_name"] == "way-point controller"
    assert "PointMaze_UMaze-v3" in metadata["description"]
    assert "noise 0.3, seed 3" in metadata["description"]
    assert f"mujoco=={version('mujoco')}" in metadata["requirements"]
    assert f"floorbench=={version('floorbench')}" in metadata["requirements"]
    recovered = minari.load_dataset("floorbench/described-v0").recover_environment()
    assert recovered.spec.max_episode_steps == 300
    assert recovered.unwrapped.continuing_task is False


def test_prints_nothing_and_leaves_no_temporary_folder(tiny_task, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collect(tiny_task, "floorbench/quiet-v0")
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["floorbench"]
