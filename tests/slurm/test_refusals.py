"""SLURM refuses an array, or does not answer, in the middle of a submission: what it has taken stays, the rest follows.

On a cluster of the tests' own, whose arrays have two tasks at most: six runs become three arrays.
"""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.launching.planner import plan
from slurm import submission, submissions
from slurm.queue import job_named, queue
from slurm.submissions import Array
from slurm.watching import queued_runs
from tests.support.slurm import grids
from tests.support.testcluster import processes
from tests.support.testcluster.cluster import Cluster
from tests.support.testcluster.configuration import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm

RUNS = grids.forty()[:6]


@pytest.fixture(scope="module")
def small_arrays(installed, tmp_path_factory) -> Iterator[Cluster]:
    """The cluster; SLURM's commands speak to it."""
    with (
        Cluster(tmp_path_factory.mktemp("small"), Settings(max_array_size=2)) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in cluster.variables.items():
            patch.setenv(name, value)
        yield cluster


def submit(root: Path) -> None:
    """Submit what is left of the runs; no task begins before it is let go."""
    grids.submit(root, RUNS, runs_per_pack=1, sbatch={"hold": True})


def before_the_second_array(monkeypatch, happens: Callable[[], object]) -> None:
    """Have something happen in the middle of the next submission."""
    own = submission.submit_array

    def submit_array(root, submission, number, *more):
        if number == 1:
            happens()
        return own(root, submission, number, *more)

    monkeypatch.setattr(submission, "submit_array", submit_array)


def refusal(root: Path, capfd) -> str:
    """The one line that a submission ends with."""
    capfd.readouterr()
    with pytest.raises(UserError) as caught:
        submit(root)
    assert "sbatch" not in "".join(capfd.readouterr())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def arrays(root: Path) -> list[Array]:
    """All arrays that were ever drafted, in their order."""
    return [array for each in submissions.submissions(root) for array in each.arrays]


def assert_all_wait_once(root: Path) -> None:
    """Every run waits in the queue, in a task of its own."""
    assert set(queued_runs(root)) == {run.id for run in RUNS}
    assert len(queue()) == len(RUNS)


def take_out_all(cluster: Cluster, root: Path) -> None:
    """Cancel what was submitted."""
    cluster.run("scancel", *(array.job_id for array in arrays(root) if array.job_id))
    grids.wait_for_end(root)


def test_a_limit_has_room_for_the_first_array_only(small_arrays, tmp_path, capfd):
    limit = ("sacctmgr", "--immediate", "modify", "account", "research", "set")
    small_arrays.run(*limit, "GrpSubmitJobs=3")
    try:
        told = "sbatch: AssocGrpSubmitJobsLimit; {} arrays were submitted: submit again for what is left"
        assert refusal(tmp_path, capfd) == told.format("1 of 3")
        first, *others = arrays(tmp_path)
        assert (first.dropped, [array.dropped for array in others]) == (None, ["AssocGrpSubmitJobsLimit"] * 2)
        assert {task.id for task in queue()} == {f"{first.job_id}_0", f"{first.job_id}_1"}
        # Nothing is doubled by trying again too early.
        assert refusal(tmp_path, capfd) == told.format("0 of 2")
        assert len(queue()) == 2
    finally:
        small_arrays.run(*limit, "GrpSubmitJobs=-1")
    submit(tmp_path)
    assert [array.dropped is None for array in arrays(tmp_path)] == [True, *[False] * 4, True, True]
    assert_all_wait_once(tmp_path)
    take_out_all(small_arrays, tmp_path)


def test_a_partition_goes_out_of_service(small_arrays, tmp_path, capfd, monkeypatch):
    partition = ("scontrol", "update", "partitionname=gpu")
    with monkeypatch.context() as patch:
        before_the_second_array(patch, lambda: small_arrays.run(*partition, "state=inactive"))
        told = refusal(tmp_path, capfd)
    reason = "Required partition not available (inactive or drain)"
    assert told == f"sbatch: {reason}; 1 of 3 arrays were submitted: submit again for what is left"
    # Not even tried out.
    assert reason in refusal(tmp_path, capfd)
    assert len(arrays(tmp_path)) == 3
    small_arrays.run(*partition, "state=up")
    submit(tmp_path)
    assert_all_wait_once(tmp_path)
    take_out_all(small_arrays, tmp_path)


@contextlib.contextmanager
def hanging(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """A way to make the controller hang until the end of the context: it then does what it was asked for meanwhile."""
    (controller,) = (found.number for found in processes.of_cluster(cluster.folder) if found.daemon == "slurmctld")
    try:
        yield lambda: os.kill(controller, signal.SIGSTOP)
    finally:
        os.kill(controller, signal.SIGCONT)


def test_the_controller_answers_too_late(small_arrays, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch, hanging(small_arrays) as hang:
        before_the_second_array(patch, hang)
        told = refusal(tmp_path, capfd)
    (given_up,) = submissions.submissions(tmp_path)
    _, second, third = given_up.arrays
    assert re.fullmatch(
        rf"sbatch: Socket timed out .*; 1 of 3 arrays were submitted, and SLURM may have {second.job_name} too: "
        "submit again for what is left",
        told,
    )
    assert (second.job_id, second.dropped) == (None, None)
    assert "timed out" in third.dropped
    # The request lay there all the while.
    wait_until(lambda: job_named(second.job_name, given_up.submitted) is not None, 60.0)
    submit(tmp_path)
    assert f"{second.job_name}: SLURM has it as job " in capfd.readouterr().err
    assert_all_wait_once(tmp_path)
    small_arrays.wait_until_idle()
    # Its tasks know what to do, though it was taken behind the submitter's back.
    (adopted,) = (array for array in arrays(tmp_path) if array.job_name == second.job_name)
    small_arrays.run("scontrol", "release", adopted.job_id)
    runs = [run for run in RUNS for task in adopted.tasks if (run.id,) in task]
    wait_until(lambda: plan(runs, tmp_path).counts() == {"done": 2}, grids.PATIENCE)
    take_out_all(small_arrays, tmp_path)
    grids.assert_each_task_was_done_once(tmp_path, adopted)
    assert grids.metrics(runs, tmp_path) == grids.compute_here(runs, tmp_path / "here")
