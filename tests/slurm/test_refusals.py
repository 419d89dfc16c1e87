"""SLURM refuses an array, or does not answer, in the middle of a submission: submitting again completes it.

The cluster of these tests allows two tasks per array, so that six runs become three arrays.
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
    """The cluster, selected for SLURM's commands."""
    with (
        Cluster(tmp_path_factory.mktemp("small"), Settings(max_array_size=2)) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in cluster.variables.items():
            patch.setenv(name, value)
        yield cluster


def submit(root: Path) -> None:
    """Submit the remaining runs; their array tasks are held."""
    grids.submit(root, RUNS, runs_per_pack=1, sbatch={"hold": True})


def before_the_second_array(monkeypatch, action: Callable[[], object]) -> None:
    """Call a function in the middle of the next submission."""
    original = submission.submit_array

    def submit_array(root, submission, number, *more):
        if number == 1:
            action()
        return original(root, submission, number, *more)

    monkeypatch.setattr(submission, "submit_array", submit_array)


def refusal(root: Path, capfd) -> str:
    """The error of a submission, in one line."""
    capfd.readouterr()
    with pytest.raises(UserError) as caught:
        submit(root)
    assert "sbatch" not in "".join(capfd.readouterr())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def arrays(root: Path) -> list[Array]:
    """The arrays of all submissions, in order."""
    return [array for item in submissions.submissions(root) for array in item.arrays]


def assert_all_queued_once(root: Path) -> None:
    """Every run is queued in one array task."""
    assert set(queued_runs(root)) == {run.id for run in RUNS}
    assert len(queue()) == len(RUNS)


def cancel_all(cluster: Cluster, root: Path) -> None:
    """Cancel all submitted arrays."""
    cluster.run("scancel", *(array.job_id for array in arrays(root) if array.job_id))
    grids.wait_for_end(root)


def test_limit_that_only_fits_the_first_array(small_arrays, tmp_path, capfd):
    limit = ("sacctmgr", "--immediate", "modify", "account", "research", "set")
    small_arrays.run(*limit, "GrpSubmitJobs=3")
    try:
        message = "sbatch: AssocGrpSubmitJobsLimit; {} arrays were submitted; submit again for the rest"
        assert refusal(tmp_path, capfd) == message.format("1 of 3")
        first, *others = arrays(tmp_path)
        assert (first.dropped, [array.dropped for array in others]) == (None, ["AssocGrpSubmitJobsLimit"] * 2)
        assert {task.id for task in queue()} == {f"{first.job_id}_0", f"{first.job_id}_1"}
        # Submitting again too early changes nothing.
        assert refusal(tmp_path, capfd) == message.format("0 of 2")
        assert len(queue()) == 2
    finally:
        small_arrays.run(*limit, "GrpSubmitJobs=-1")
    submit(tmp_path)
    assert [array.dropped is None for array in arrays(tmp_path)] == [True, *[False] * 4, True, True]
    assert_all_queued_once(tmp_path)
    cancel_all(small_arrays, tmp_path)


def test_partition_out_of_service(small_arrays, tmp_path, capfd, monkeypatch):
    partition = ("scontrol", "update", "partitionname=gpu")
    with monkeypatch.context() as patch:
        before_the_second_array(patch, lambda: small_arrays.run(*partition, "state=inactive"))
        message = refusal(tmp_path, capfd)
    reason = "Required partition not available (inactive or drain)"
    assert message == f"sbatch: {reason}; 1 of 3 arrays were submitted; submit again for the rest"
    # Refused by the check of the profile.
    assert reason in refusal(tmp_path, capfd)
    assert len(arrays(tmp_path)) == 3
    small_arrays.run(*partition, "state=up")
    submit(tmp_path)
    assert_all_queued_once(tmp_path)
    cancel_all(small_arrays, tmp_path)


@contextlib.contextmanager
def hanging(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """A function that suspends the controller until the end of the context; it then processes pending requests."""
    (controller,) = (
        process.number for process in processes.of_cluster(cluster.folder) if process.daemon == "slurmctld"
    )
    try:
        yield lambda: os.kill(controller, signal.SIGSTOP)
    finally:
        os.kill(controller, signal.SIGCONT)


def test_controller_that_answers_too_late(small_arrays, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch, hanging(small_arrays) as hang:
        before_the_second_array(patch, hang)
        message = refusal(tmp_path, capfd)
    (given_up,) = submissions.submissions(tmp_path)
    _, second, third = given_up.arrays
    assert re.fullmatch(
        rf"sbatch: Socket timed out .*; 1 of 3 arrays were submitted, and {second.job_name} may have been; "
        "submit again for the rest",
        message,
    )
    assert (second.job_id, second.dropped) == (None, None)
    assert "timed out" in third.dropped
    # The controller still had the request.
    wait_until(lambda: job_named(second.job_name, given_up.submitted) is not None, 60.0)
    submit(tmp_path)
    assert f"{second.job_name}: found in SLURM as job " in capfd.readouterr().err
    assert_all_queued_once(tmp_path)
    small_arrays.wait_until_idle()
    # The tasks of the adopted array find their files.
    (adopted,) = (array for array in arrays(tmp_path) if array.job_name == second.job_name)
    small_arrays.run("scontrol", "release", adopted.job_id)
    runs = [run for run in RUNS for task in adopted.tasks if (run.id,) in task]
    wait_until(lambda: plan(runs, tmp_path).counts() == {"done": 2}, grids.TIMEOUT)
    cancel_all(small_arrays, tmp_path)
    grids.assert_each_task_was_done_once(tmp_path, adopted)
    assert grids.metrics(runs, tmp_path) == grids.compute_here(runs, tmp_path / "here")
