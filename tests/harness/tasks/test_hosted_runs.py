"""Complete runs, offline and online, for each family of hosted tasks, with small data and networks."""

import json

import pytest

from harness.data.dataset import load_dataset
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.tasks.registry import base_run
from harness.training.training import train_pack
from tests.support.hosted_sets import adroit_set, antmaze_set, kitchen_set, pointmaze_set, random_set

TINY = {
    "task.horizon": 12,
    "algorithm.policy_hidden": (16, 16),
    "algorithm.critic_hidden": (16, 16),
    "algorithm.batch_size": 16,
    "algorithm.n_actions": 2,
    "behaviour_value.hidden": (16, 16),
    "behaviour_value.max_steps": 50,
    "schedule.offline_steps": 20,
    "schedule.offline_interval": 20,
    "schedule.online_steps": 30,
    "schedule.online_interval": 30,
    "schedule.dense_steps": 0,
    "schedule.evaluation_episodes": 1,
    "schedule.probe_states": 16,
}


def hopper_set(set_id):
    random_set(set_id, base_run("hopper-medium", "paper", 0).task)


def pen_sets(set_id):
    adroit_set(set_id)
    adroit_set("D4RL/pen/cloned-v2", seeds=range(3, 5))


COLLECT = {
    "antmaze-umaze": antmaze_set,
    "kitchen-complete": kitchen_set,
    "pen-binary": pen_sets,
    "pointmaze-umaze-hosted": pointmaze_set,
    "hopper-medium": hopper_set,
}


@pytest.mark.parametrize("task", COLLECT)
def test_offline_and_online_phase(task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    base = base_run(task, "paper", seed=0)
    COLLECT[task](base.task.data.ids[0])
    floors = ("monte_carlo", "learned") if task in ("antmaze-umaze", "hopper-medium") else ("monte_carlo",)
    folders = []
    for floor in ("none", *floors):
        run = with_settings(base, {**TINY, "arm": floor, "floor.base": floor})
        folders.append(RunFolder.of(tmp_path / "runs", run))
        folders[-1].create(run)
    train_pack(folders)
    dataset = load_dataset(base.task)
    for folder in folders:
        assert folder.status()["state"] == "done", folder.status()
        rows = folder.metrics()
        assert [(row["phase"], row["online_step"]) for row in rows] == [("offline", 0), ("offline", 0), ("online", 30)]
        assert all(row["q_data"] is not None and row["score"] is not None for row in rows)
        # Random actions never reach the goal; the hopper's score is close to that of random actions.
        assert rows[-1]["score"] == pytest.approx(0.0, abs=0.05)
        assert folder.provenance()["repairs"] == list(dataset.repairs)
        assert folder.provenance()["dataset"] == dataset.content_hash
        assert json.loads((folder.path / "config.json").read_text())["task"]["data"]["ids"] == list(base.task.data.ids)
