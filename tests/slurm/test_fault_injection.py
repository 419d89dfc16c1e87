"""One grid in many array tasks, and one fault after the other."""

import contextlib
import time
from collections.abc import Callable, Container
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.launching.planner import plan
from slurm import submissions
from slurm.queue import QueuedTask
from tests.support.slurm import grids
from tests.support.slurm.grids import attempts, submit, wait_for_end
from tests.support.slurm.jobs import job, kill, wait_until_saved
from tests.support.testcluster.cluster import Cluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def restart_the_controller(cluster: Cluster, task: QueuedTask) -> None:
    # The task may have ended meanwhile; then its state need not be saved.
    with contextlib.suppress(UserError):
        wait_until_saved(cluster, raw_id(cluster, task))
    cluster.restart("slurmctld")
    grids.wait_for_nodes()


def set_its_node_down(cluster: Cluster, task: QueuedTask) -> None:
    cluster.set_down(task.node)
    time.sleep(10)
    cluster.resume(task.node)


def raw_id(cluster: Cluster, task: QueuedTask) -> str:
    """The raw job id of an array task."""
    return job(cluster, task.id)["JobId"]


FAULTS: tuple[Callable[[Cluster, QueuedTask], object], ...] = (
    # Signal the step: if the job is requeued meanwhile, scancel of SLURM 22.05 retries for a minute.
    lambda cluster, task: cluster.run("scancel", "--signal=USR2", f"{raw_id(cluster, task)}.0"),
    lambda cluster, task: cluster.run("scontrol", "requeue", task.id),
    lambda cluster, task: cluster.run("scancel", task.id),
    lambda cluster, task: kill(cluster, raw_id(cluster, task)),
    restart_the_controller,
    set_its_node_down,
)


def another_running_task(root: Path, struck: Container[str]) -> QueuedTask:
    """Wait for a task that trains a run and had no fault yet."""
    running: list[QueuedTask] = []

    def exists() -> bool:
        places = submissions.places(root).items()
        computing = {place.task_id for run, place in places if RunFolder(root / run).status()["state"] == "running"}
        tasks = [task for task in grids.queue() if task.state == "RUNNING" and task.id in computing]
        running[:] = [task for task in tasks if task.id not in struck]
        return bool(running)

    wait_until(exists, grids.TIMEOUT)
    return running[0]


@pytest.mark.parametrize("grid", [pytest.param(grids.FORTY, id="forty")], indirect=True)
def test_one_fault_after_the_other(at_this_cluster, cluster, grid, reference, tmp_path):
    fields = {
        "runs_per_pack": 2, "packs_per_task": 2, "array_limit": 2, "setup": (grids.SLOW,), "retry_failed": True,
    }  # fmt: skip
    submit(tmp_path, grid.runs, **fields)
    struck: set[str] = set()
    for fault in FAULTS:
        task = another_running_task(tmp_path, struck)
        struck.add(task.id)
        fault(cluster, task)
        for run in plan(grid.runs, tmp_path).in_state("failed"):
            print(RunFolder.of(tmp_path, run).status(), attempts(tmp_path, run.id))
        submit(tmp_path, grid.runs, **fields)
    for _ in range(3):
        wait_for_end(tmp_path)
        submit(tmp_path, grid.runs, **fields)
    wait_for_end(tmp_path)
    cluster.wait_until_idle()
    assert grids.metrics(grid.runs, tmp_path) == reference
    for run in grid.runs:
        print(run.id, attempts(tmp_path, run.id))
        assert [ending for _, _, ending in attempts(tmp_path, run.id)].count("done") == 1
