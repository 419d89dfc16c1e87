"""Arms that share a prefix on a cluster: they wait for it, start from it, and fail with it."""

from dataclasses import replace

import pytest

from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder
from harness.settings import prefix_of, with_settings
from slurm.queue import ask
from slurm.submissions import submissions
from tests.support.slurm import grids
from tests.support.slurm.grids import compute_here, submit, tasks_in_queue, wait_for_checkpoint, wait_for_end
from tests.support.slurm.jobs import job
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm

ONLINE = ({"arm": "plain"}, {"arm": "sac", "online.alpha": 0.0})


@pytest.fixture(scope="module")
def runs(installed, minari_folder):
    """Two arms with two seeds."""
    arms = [with_settings(grids.smoke()[0], online) for online in ONLINE]
    ensure_dataset(arms[0].task)
    return [replace(arm, seed=seed) for arm in arms for seed in (0, 1)]


def prefixes_of(root, runs):
    return [RunFolder.of(root, prefix) for prefix in dict.fromkeys(map(prefix_of, runs))]


def test_arms_wait_for_their_prefix_and_end_with_the_same_metrics(at_this_cluster, cluster, runs, tmp_path):
    first, then = submit(tmp_path, runs, runs_per_pack=2, setup=(grids.SLOW,)).arrays
    assert [len(task) for task in (*first.tasks, *then.tasks)] == [1, 1, 1]
    submission = submissions(tmp_path)[-1]
    wait_until(lambda: "Dependency" in [task.reason for task in tasks_in_queue(submission)], 60.0)
    wait_for_checkpoint(tmp_path, [folder.run() for folder in prefixes_of(tmp_path, runs)])
    # A requeued prefix has not ended: its arms go on waiting.
    ask("scontrol", "requeue", first.job_id)
    wait_for_end(tmp_path)
    assert job(cluster, first.job_id)["Restarts"] == "1"
    assert [folder.state for folder in prefixes_of(tmp_path, runs)] == ["done"] * 2
    assert grids.metrics(runs, tmp_path) == compute_here(runs, tmp_path / "here")
    histories = [RunFolder.of(tmp_path, run).provenance()["attempts"] for run in runs]
    assert [[attempt["reason"] for attempt in history] for history in histories] == [["done"]] * 4


def test_arms_fail_with_their_prefix_until_they_are_submitted_again(at_this_cluster, runs, tmp_path):
    first, then = submit(tmp_path, runs, runs_per_pack=4, sbatch={"hold": True}).arrays
    for folder in prefixes_of(tmp_path, runs):
        folder.write_status("failed", reason="it broke")
    ask("scontrol", "release", first.job_id)
    ask("scontrol", "release", then.job_id)
    wait_for_end(tmp_path)
    reasons = [RunFolder.of(tmp_path, run).status()["reason"] for run in runs]
    assert reasons == [f"its prefix {prefix_of(run).id} failed: it broke" for run in runs]
    submit(tmp_path, runs, retry_failed=True)
    wait_for_end(tmp_path)
    assert grids.metrics(runs, tmp_path) == compute_here(runs, tmp_path / "here")
