"""Scenarios that disturb array tasks: a grid still ends with the metrics of the local pool, byte for byte.

They do not disturb each other and run at the same time, each in its own root.
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

Scenario = Callable[[Cluster, Path, Grid], None]
# The root and the result of every scenario.
Futures = dict[Scenario, tuple[Path, Future]]

# Maximum number of runs of all scenarios at the same time.
RUNS_AT_ONCE = 120


def clean(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Nothing happens, except that the grid is submitted again while it runs and afterwards."""
    all_in_one = {"runs_per_pack": 2 * grid.pack, "packs_per_task": len(grid.runs), "workers": 2, "cpus_per_task": 2}
    first = submit(root, grid.runs, **all_in_one)
    assert [len(array.tasks) for array in first.arrays] == [1]
    assert submit(root, grid.runs) == first
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(first.arrays[0].job_id, 0, "done")]
    assert submit(root, grid.runs) == first


def two_at_once(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Many array tasks, of which two may run at once."""
    submission = submit(root, grid.runs, runs_per_pack=grid.pack, array_limit=2)
    most = 0
    while waiting := tasks_in_queue(submission):
        most = max(most, sum(task.state == "RUNNING" for task in waiting))
        time.sleep(0.2)
    assert most == 2
    assert len(submission.arrays[0].tasks) == len(grid.runs) // grid.pack
    assert_each_task_was_done_once(root, submission.arrays[0])


def warned(cluster: Cluster, root: Path, grid: Grid) -> None:
    """SLURM announces the time limit, and the task requeues itself."""
    job_id = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    cluster.run("scancel", job_id, "--signal=SIGTERM")
    cluster.run("scancel", job_id, "--signal=USR2")
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(job_id, 0, "interrupted"), (job_id, 1, "done")]


def requeued(cluster: Cluster, root: Path, grid: Grid) -> None:
    """An administrator requeues the task."""
    job_id = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    cluster.run("scontrol", "requeue", job_id)
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(job_id, 0, "interrupted"), (job_id, 1, "done")]


def out_of_time(cluster: Cluster, root: Path, grid: Grid) -> None:
    """The limit is one minute: SLURM, which checks twice a minute, signals the task in time, and it resumes later.

    This process owns one of its runs until then, so that there is work left.
    """
    job_id = submit(root, grid.runs, time_minutes=1, signal_seconds=5).arrays[0].job_id
    held = RunFolder.of(root, grid.runs[-1])
    assert held.begin_attempt(attempt_details())
    held.write_status("running")
    wait_until(lambda: int(job(cluster, job_id)["Restarts"]) > 0, grids.TIMEOUT)
    held.write_status("interrupted")
    held.end_attempt("interrupted: by the test")
    wait_for_end(root)
    for run in grid.runs:
        *before, last = RunFolder.of(root, run).provenance()["attempts"]
        assert (last["slurm"]["job"], last["reason"]) == (job_id, "done")
        assert {attempt["reason"].split(":")[0] for attempt in before} <= {"interrupted"}


def killed(cluster: Cluster, root: Path, grid: Grid) -> None:
    """All processes of a task are killed; its runs are lost until they are submitted again."""
    first = submit(root, grid.runs).arrays[0].job_id
    wait_for_checkpoint(root, grid.runs)
    kill(cluster, first)
    wait_for_end(root)
    wait_until(lambda: plan(grid.runs, root).counts() == {"lost": len(grid.runs)})
    second = submit(root, grid.runs).arrays[0].job_id
    wait_for_end(root)
    assert shared_attempts(root, grid.runs) == [(first, 0, "lost"), (second, 0, "done")]


def cancelled(cluster: Cluster, root: Path, grid: Grid) -> None:
    """One of several tasks is cancelled and submitted again; the others continue."""
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


# Code with which a submitter kills itself: before it submits the array, after sbatch has answered but before submitit's
# files are in place, and before the job id is recorded.
INTERRUPTIONS = (
    "import os, slurm.submission as s; s.submit_array = lambda *_: os.kill(os.getpid(), 9)",
    "import os; from submitit.core.utils import JobPaths; "
    "JobPaths.move_temporary_file = lambda *_, **__: os.kill(os.getpid(), 9)",
    "import os, slurm.submission as s; s.with_array = lambda *_, **__: os.kill(os.getpid(), 9)",
)


def interrupted_submissions(cluster: Cluster, root: Path, grid: Grid) -> None:
    """Three submitters are killed half-way; the fourth finds out whether SLURM has their arrays."""
    fields = {"runs_per_pack": grid.pack}
    half = f"{grid.name}()[:{len(grid.runs) // 2}]"
    for code, runs in zip(INTERRUPTIONS, (f"{grid.name}()", half, f"{grid.name}()"), strict=True):
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


SCENARIOS = (clean, two_at_once, warned, requeued, out_of_time, killed, cancelled, interrupted_submissions)


@pytest.fixture(scope="module")
def scenarios(cluster, at_this_cluster, grid, reference, tmp_path_factory) -> Iterator[Futures]:
    """All scenarios, started together."""
    roots = {scenario: tmp_path_factory.mktemp(scenario.__name__) for scenario in SCENARIOS}
    with ThreadPoolExecutor(RUNS_AT_ONCE // len(grid.runs)) as pool:
        yield {scenario: (root, pool.submit(scenario, cluster, root, grid)) for scenario, root in roots.items()}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_run_finishes_once(scenario, scenarios, grid, reference):
    root, future = scenarios[scenario]
    try:
        future.result()
    finally:
        print(grids.report(grid.runs, root))
    assert grids.metrics(grid.runs, root) == reference
