"""OGBench's single tasks match OGBench's registry, and complete runs work on small files."""

import gymnasium
import pytest

from harness.data.dataset import load_dataset
from harness.data.hosting import take_sets
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.tasks.ogbench import FAMILIES, OGBENCH
from harness.tasks.registry import base_run
from harness.training.training import train_pack
from tests.harness.tasks.test_hosted_runs import TINY
from tests.support.ogbench_files import NEEDS_OGBENCH, cube_file, make, pointmaze_file, register

pytestmark = NEEDS_OGBENCH


@pytest.mark.parametrize("name", OGBENCH)
def test_horizon_and_names_match_ogbench(name):
    task = OGBENCH[name].task
    register()
    spec = gymnasium.spec(task.environment)
    assert task.horizon == spec.max_episode_steps
    assert spec.kwargs["success_timing"] == "pre"
    splits = name.split("-")
    place = splits.index("singletask")
    # Names of environments and files as in ogbench.utils.
    assert task.environment == "-".join(splits[: place - 1] + splits[place:])
    assert task.data.ids == (f"ogbench/{name}",)
    assert OGBENCH[name].schedule.evaluation_episodes == 50


@pytest.mark.parametrize("dataset", FAMILIES)
def test_default_tasks_match_ogbench(dataset):
    """The environment without a task number chooses the default when it is made."""
    environment = "-".join(dataset.split("-")[:-1])
    raw = make(f"{environment}-singletask-v0").unwrapped
    assert raw._reward_task_id == FAMILIES[dataset].default


def test_settings_match_the_published_tables():
    assert len(OGBENCH) == 12 * 5
    giant = OGBENCH["antmaze-giant-navigate-singletask-task2-v0"]
    assert giant.task.environment == "antmaze-giant-singletask-task2-v0"
    assert (giant.task.discount, giant.task.reward_scale, giant.task.reward_bias) == (0.995, 10.0, 5.0)
    assert giant.task.failure_reward == -5.0
    assert (giant.algorithm.batch_size, giant.algorithm.alpha, giant.algorithm.lagrange) == (256, 5.0, False)
    assert giant.algorithm.policy_hidden == giant.algorithm.critic_hidden == (512, 512, 512, 512)
    assert giant.schedule.offline_steps == giant.schedule.online_steps == 1_000_000
    cube = OGBENCH["cube-single-play-singletask-task2-v0"].task
    assert (cube.reward_scale, cube.reward_bias, cube.failure_reward) == (1.0, 0.0, -1.0)
    assert OGBENCH["scene-play-singletask-task2-v0"].task.failure_reward is None


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("pointmaze-medium-navigate-singletask-task1-v0", pointmaze_file),
        ("cube-single-play-singletask-task2-v0", cube_file),
    ],
)
def test_offline_and_online_phase(name, write, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    base = base_run(name, "paper", seed=0)
    take_sets(base.task, write(tmp_path))
    dataset = load_dataset(base.task)
    folders = []
    for floor in ("none", "monte_carlo", "learned"):
        run = with_settings(base, {**TINY, "arm": floor, "floor.base": floor})
        folders.append(RunFolder.of(tmp_path / "runs", run))
        folders[-1].create(run)
    train_pack(folders)
    for folder in folders:
        assert folder.status()["state"] == "done", folder.status()
        rows = folder.metrics()
        assert [(row["phase"], row["online_step"]) for row in rows] == [("offline", 0), ("offline", 0), ("online", 30)]
        assert all(row["q_data"] is not None and row["score"] == 0.0 for row in rows)
        assert folder.provenance()["dataset"] == dataset.content_hash
        assert folder.provenance()["repairs"] == list(dataset.repairs)
