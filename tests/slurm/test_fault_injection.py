"""One grid in many tasks, and one mishap after another."""

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
    # A task that has ended meanwhile is nothing to be forgotten.
    with contextlib.suppress(UserError):
        wait_until_saved(cluster, raw_id(cluster, task))
    cluster.restart("slurmctld")
    grids.wait_for_nodes()


def set_its_node_down(cluster: Cluster, task: QueuedTask) -> None:
    cluster.set_down(task.node)
    time.sleep(10)
    cluster.resume(task.node)


def raw_id(cluster: Cluster, task: QueuedTask) -> str:
    """The id that SLURM counts a task of an array by."""
    return job(cluster, task.id)["JobId"]


MISHAPS: tuple[Callable[[Cluster, QueuedTask], object], ...] = (
    # To its step: for a job that then waits in the queue again, scancel of SLURM 22.05 tries on for a minute.
    lambda cluster, task: cluster.run("scancel", "--signal=USR2", f"{raw_id(cluster, task)}.0"),
    lambda cluster, task: cluster.run("scontrol", "requeue", task.id),
    lambda cluster, task: cluster.run("scancel", task.id),
    lambda cluster, task: kill(cluster, raw_id(cluster, task)),
    restart_the_controller,
    set_its_node_down,
)


def another_at_work(root: Path, struck: Container[str]) -> QueuedTask:
    """Wait for a task that computes a run and is none of those that were struck."""
    found: list[QueuedTask] = []

    def is_there() -> bool:
        places = submissions.places(root).items()
        computing = {place.task_id for run, place in places if RunFolder(root / run).status()["state"] == "running"}
        tasks = [task for task in grids.queue() if task.state == "RUNNING" and task.id in computing]
        found[:] = [task for task in tasks if task.id not in struck]
        return bool(found)

    wait_until(is_there, grids.PATIENCE)
    return found[0]


@pytest.mark.parametrize("grid", [pytest.param(grids.FORTY, id="forty")], indirect=True)
def test_one_mishap_after_another(at_this_cluster, cluster, grid, reference, tmp_path):
    fields = {
        "runs_per_pack": 2, "packs_per_task": 2, "array_limit": 2, "setup": (grids.SLOWLY,), "retry_failed": True,
    }  # fmt: skip
    submit(tmp_path, grid.runs, **fields)
    struck: set[str] = set()
    for mishap in MISHAPS:
        task = another_at_work(tmp_path, struck)
        struck.add(task.id)
        mishap(cluster, task)
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
