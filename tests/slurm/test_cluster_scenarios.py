"""Scenarios that disturb the whole cluster: a grid still ends with the metrics of the local pool, byte for byte.

They run one after the other, and each repairs what it breaks.
"""

from dataclasses import replace

import pytest

from harness.launching.planner import plan
from tests.support.slurm import grids
from tests.support.slurm.grids import (
    assert_each_task_was_done_once,
    shared_attempts,
    submit,
    tasks_in_queue,
    wait_for_checkpoint,
    wait_for_end,
)
from tests.support.slurm.jobs import job, wait_until_saved
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm


def test_cluster_without_accounting(cluster_without_accounting, grid, reference, tmp_path, monkeypatch):
    for name, value in cluster_without_accounting.variables.items():
        monkeypatch.setenv(name, value)
    submission = submit(tmp_path, grid.runs, account=None, runs_per_pack=grid.pack, array_limit=3)
    wait_for_end(tmp_path)
    assert len(submission.arrays[0].tasks) == len(grid.runs) // grid.pack
    assert grids.metrics(grid.runs, tmp_path) == reference


def test_accounting_down(at_this_cluster, cluster, grid, reference, tmp_path):
    cluster.kill("slurmdbd")
    try:
        submit(tmp_path, grid.runs)
        wait_for_end(tmp_path)
    finally:
        cluster.start("slurmdbd")
    assert grids.metrics(grid.runs, tmp_path) == reference


def test_controller_restart(at_this_cluster, cluster, grid, reference, tmp_path):
    job_id = submit(tmp_path, grid.runs).arrays[0].job_id
    wait_for_checkpoint(tmp_path, grid.runs)
    wait_until_saved(cluster, job_id)
    cluster.restart("slurmctld")
    wait_for_end(tmp_path)
    assert shared_attempts(tmp_path, grid.runs) == [(job_id, 0, "done")]
    assert grids.metrics(grid.runs, tmp_path) == reference
    grids.wait_for_nodes()


def test_node_set_down_and_resumed(at_this_cluster, cluster, grid, reference, tmp_path):
    job_id = submit(tmp_path, grid.runs).arrays[0].job_id
    wait_for_checkpoint(tmp_path, grid.runs)
    node = job(cluster, job_id)["NodeList"]
    cluster.set_down(node)
    wait_for_end(tmp_path)
    cluster.resume(node)
    cluster.wait_until_idle()
    assert shared_attempts(tmp_path, grid.runs) == [(job_id, 0, "interrupted"), (job_id, 1, "done")]
    assert grids.metrics(grid.runs, tmp_path) == reference


@pytest.mark.slow
def test_node_daemon_killed_while_its_array_task_keeps_running(at_this_cluster, cluster, grid, reference, tmp_path):
    job_id = submit(tmp_path, grid.runs, setup=(grids.SLOW,)).arrays[0].job_id
    wait_for_checkpoint(tmp_path, grid.runs)
    node = job(cluster, job_id)["NodeList"]
    cluster.kill(f"slurmd.{node}")
    # The restarted task waits for the first start, which still runs without knowing that SLURM gave it up.
    wait_until(lambda: job(cluster, job_id)["Restarts"] == "1" and job(cluster, job_id)["JobState"] == "RUNNING", 120)
    print(plan(grid.runs, tmp_path).counts())
    wait_for_end(tmp_path)
    cluster.start(f"slurmd.{node}")
    cluster.wait_until_idle()
    assert shared_attempts(tmp_path, grid.runs) == [(job_id, 0, "done")]
    assert grids.metrics(grid.runs, tmp_path) == reference


def test_more_tasks_than_fit_into_one_array(at_this_cluster, cluster, grid, reference, tmp_path):
    """1,200 held array tasks; those at the ends of both arrays contain the grid's runs and are released."""
    half, quarter = 600, len(grid.runs) // 4
    others = [replace(grid.runs[0], seed=seed) for seed in range(1_000, 1_000 + 2 * half * grid.pack)]
    kept = half * grid.pack - 2 * quarter
    runs = [
        *grid.runs[:quarter], *others[:kept], *grid.runs[quarter : 3 * quarter], *others[kept : 2 * kept],
        *grid.runs[3 * quarter :],
    ]  # fmt: skip
    submission = submit(tmp_path, runs, runs_per_pack=grid.pack, array_limit=5, sbatch={"hold": True})
    assert [(len(array.tasks), array.limit) for array in submission.arrays] == [(half, 2), (half, 3)]
    waiting = tasks_in_queue(submission)
    assert len(waiting) == 2 * half
    assert {task.state for task in waiting} == {"PENDING"}
    ends = [*range(quarter // grid.pack), *range(half - quarter // grid.pack, half)]
    for array in submission.arrays:
        for task in ends:
            cluster.run("scontrol", "release", array.task_id(task))
    wait_until(lambda: plan(grid.runs, tmp_path).counts() == {"done": len(grid.runs)}, grids.TIMEOUT)
    cluster.run("scancel", *(array.job_id for array in submission.arrays))
    wait_for_end(tmp_path)
    for array in submission.arrays:
        assert_each_task_was_done_once(tmp_path, array, ends)
    assert grids.metrics(grid.runs, tmp_path) == reference
