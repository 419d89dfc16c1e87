"""Whatever happens to its tasks on a cluster, a grid ends with the bytes that the local pool makes of it.

These stories disturb nobody else: they are begun together, each in a root of its own.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.folders.provenance import attempt_details
from harness.folders.run_folder import RunFolder
from harness.launching.planner import plan
from tests.support.slurm import grids
from tests.support.slurm.grids import (
    Grid,
    assert_each_task_was_done_once,
    shared_attempts,
    submit,
    tasks_in_queue,
    wait_for_checkpoint,
    wait_for_end,
)
from tests.support.slurm.jobs import job, kill
from tests.support.testcluster.cluster import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm

Story = Callable[[Cluster, Path, Grid], None]

# Runs of all stories that are told at the same time, at most.
RUNS_AT_ONCE = 120


def clean(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Nothing happens, but that it is submitted again while it runs, and afterwards."""
    all_in_one = {"runs_per_pack": 2 * grid.pack, "packs_per_task": len(grid.runs), "workers": 2, "cpus_per_task": 2}
    first = submit(root, grid.runs, **all_in_one)
    assert [len(array.tasks) for array in first.arrays] == [1]
    assert submit(root, grid.runs) == first
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(first.arrays[0].job_id, 0, "done")]
    assert submit(root, grid.runs) == first


def two_at_once(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Many tasks, of which two may run at once."""
    submission = submit(root, grid.runs, runs_per_pack=grid.pack, array_limit=2)
    most = 0
    while waiting := tasks_in_queue(submission):
        most = max(most, sum(task.state == "RUNNING" for task in waiting))
        time.sleep(0.2)
    assert most == 2
    assert len(submission.arrays[0].tasks) == len(grid.runs) // grid.pack
    assert_each_task_was_done_once(root, submission.arrays[0])


def told_to_end(cluster: Cluster, root: Path, grid: Grid) -> None:
    """SLURM announces the end, as submitit's `_interrupt` does it; the task puts itself back into the queue."""
    job_id = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    cluster.run("scancel", job_id, "--signal=SIGTERM")
    cluster.run("scancel", job_id, "--signal=USR2")
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(job_id, 0, "interrupted"), (job_id, 1, "done")]


def requeued(cluster: Cluster, root: Path, grid: Grid) -> None:
    """An administrator puts the task back into the queue."""
    job_id = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    cluster.run("scontrol", "requeue", job_id)
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(job_id, 0, "interrupted"), (job_id, 1, "done")]


def out_of_time(cluster: Cluster, root: Path, grid: Grid) -> None:
    """The limit is one minute: SLURM, which looks twice a minute, tells the task in time, and it goes on later.

    One of its runs is in the hands of this process until then, so that there is something left to do.
    """
    job_id = submit(root, grid.runs, time_minutes=1, signal_seconds=5).arrays[0].job_id
    held = RunFolder.of(root, grid.runs[-1])
    assert held.begin_attempt(attempt_details())
    held.write_status("running")
    wait_until(lambda: int(job(cluster, job_id)["Restarts"]) > 0, grids.PATIENCE)
    held.write_status("interrupted")
    held.end_attempt("interrupted: by the test")
    wait_for_end(root)
    for run in grid.runs:
        *before, last = RunFolder.of(root, run).provenance()["attempts"]
        assert (last["slurm"]["job"], last["reason"]) == (job_id, "done")
        assert {attempt["reason"].split(":")[0] for attempt in before} <= {"interrupted"}


def killed(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Every process of a task is killed; its runs are lost until they are submitted again."""
    first = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    kill(cluster, first)
    wait_for_end(root)
    wait_until(lambda: plan(grid.runs, root).counts() == {"lost": len(grid.runs)})
    second = submit(root, grid.runs).arrays[0].job_id
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(first, 0, "lost"), (second, 0, "done")]


def cancelled(cluster: Cluster, root: Path, grid: Grid) -> None:
    """One of several tasks is cancelled and submitted again; the others go on."""
    fields = {"runs_per_pack": 2 * grid.pack}
    first = submit(root, grid.runs, **fields).arrays[0]
    victims = grid.runs[: 2 * grid.pack]
    wait_for_checkpoint(root, victims)
    cluster.run("scancel", f"{first.job_id}_0")
    wait_until(lambda: f"{first.job_id}_0" not in [task.id for task in grids.queue()], 60)
    second = submit(root, grid.runs, **fields).arrays[0]
    assert second.tasks == first.tasks[:1]
    wait_for_end(root)
    assert_each_task_was_done_once(root, first, range(1, len(first.tasks)))
    assert shared_attempts(root, victims) == [(f"{first.job_id}_0", 0, "interrupted"), (second.job_id, 0, "done")]


# Code by which a submitter kills itself: before SLURM hears of the array, when sbatch has answered and the files that
# tell the tasks what to do do not lie there yet, and before the id is written down.
CUTS = (
    "import os, slurm.submission as s; s.submit_array = lambda *_: os.kill(os.getpid(), 9)",
    "import os; from submitit.core.utils import JobPaths; "
    "JobPaths.move_temporary_file = lambda *_, **__: os.kill(os.getpid(), 9)",
    "import os, slurm.submission as s; s.with_array = lambda *_, **__: os.kill(os.getpid(), 9)",
)


def cut_off(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Three submitters are killed half-way, and the fourth finds out what became of their arrays."""
    fields = {"runs_per_pack": grid.pack}
    half = f"{grid.name}()[:{len(grid.runs) // 2}]"
    for code, runs in zip(CUTS, (f"{grid.name}()", half, f"{grid.name}()"), strict=True):
        ended = grids.submit_elsewhere(root, {}, runs, code, **fields)
        assert ended.startswith("-9 "), ended
    last = submit(root, grid.runs, **fields)
    wait_for_end(root)
    first, second, third = (submission.arrays[0] for submission in grids.submissions.submissions(root))
    assert last.arrays[0] == third
    assert first.dropped == "interrupted before SLURM received it"
    assert [*second.tasks, *third.tasks] == [*first.tasks]
    for array in (second, third):
        assert_each_task_was_done_once(root, array)


STORIES = (clean, two_at_once, told_to_end, requeued, out_of_time, killed, cancelled, cut_off)


@pytest.fixture(scope="module")
def stories(cluster, at_this_cluster, grid, reference, tmp_path_factory) -> Iterator[dict[Story, tuple[Path, Future]]]:
    """The stories, begun together."""
    roots = {story: tmp_path_factory.mktemp(story.__name__) for story in STORIES}
    with ThreadPoolExecutor(RUNS_AT_ONCE // len(grid.runs)) as pool:
        yield {story: (root, pool.submit(story, cluster, root, grid)) for story, root in roots.items()}


@pytest.mark.parametrize("story", STORIES)
def test_nothing_is_lost_and_nothing_doubled(story, stories, grid, reference):
    root, told = stories[story]
    try:
        told.result()
    finally:
        print(grids.report(grid.runs, root))
    assert grids.metrics(grid.runs, root) == reference
