"""Status, cancel and doctor with a real queue, and without SLURM."""

import getpass
import time

import pytest

from ablations.commands.control import cancel_runs
from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.watching.overview import overview
from slurm import doctor
from slurm.submissions import Array, Submission
from slurm.watching import QueueView, queued_runs
from tests.slurm.test_submissions import write
from tests.support.slurm.jobs import job, submit, wait_for_state
from tests.support.waiting import wait_until

RUNS = runs_of("smoke")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "no_data"))
    root = tmp_path / "root"
    commit(RUNS, root)
    return root


def submitted(root, job_id, name="n-0"):
    """A submission of the grid: its first two runs in one array task, the others in one each."""
    ids = [run.id for run in RUNS]
    array = Array(name, (((ids[0], ids[1]),), ((ids[2],),), ((ids[3],),)), 1, job_id=job_id)
    user, now = getpass.getuser(), time.time()
    write(root, Submission("s", "smoke", user, "login", now, {"time_minutes": 5}, "0" * 16, (array,)))


def test_without_slurm_states_come_from_the_folders(root, monkeypatch):
    submitted(root, "7")
    monkeypatch.setenv("PATH", str(root))
    view = QueueView(root)
    assert view.now() == {}
    assert view.remarks == ["squeue not found; is SLURM installed?; SLURM's queue is unknown"]
    assert [row.state for row in overview(root, RUNS, view.now())] == ["planned"] * 4
    assert doctor.slurm().verdict == "note"


def test_a_root_without_submissions_makes_no_request(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    view = QueueView(root)
    assert (view.now(), view.remarks) == ({}, [])


@pytest.mark.slurm
def test_queued_and_cancelled_runs(cluster, root, monkeypatch, capfd):
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    assert doctor.slurm().verdict == "ok"
    assert "with accounting" in doctor.slurm().text
    job_id = submit(cluster, root, "sleep 60", "--job-name=n-0", "--array=0-2%1")
    submitted(root, job_id)
    wait_for_state(cluster, f"{job_id}_0", "RUNNING")
    rows = overview(root, RUNS, queued_runs(root))
    assert [(row.state, row.job) for row in rows] == [
        ("queued", f"{job_id}_0"), ("queued", f"{job_id}_0"), ("queued", f"{job_id}_1"), ("queued", f"{job_id}_2"),
    ]  # fmt: skip
    assert rows[0].reason == "its job is running and will compute it"
    assert rows[0].node in cluster.nodes
    assert rows[3].reason == "JobArrayTaskLimit"
    # One run of a shared array task, and one that is alone in its task.
    cancel_runs([RUNS[0], RUNS[2]], root, yes=True)
    assert f"removed from SLURM's queue: {job_id}_1\n" in capfd.readouterr().err
    wait_until(lambda: set(queued_runs(root)) == {RUNS[0].id, RUNS[1].id, RUNS[3].id})
    assert [RunFolder.of(root, run).status()["state"] for run in RUNS] == ["cancelled", "planned"] * 2
    assert job(cluster, f"{job_id}_0")["JobState"] == "RUNNING"
    # A job with another name has the id: it is ignored.
    submitted(root, job_id, name="another")
    assert queued_runs(root) == {}
    cluster.run("scancel", job_id)


@pytest.mark.slurm
def test_a_cluster_without_accounting_is_noted(cluster_without_accounting, root, monkeypatch):
    for name, value in cluster_without_accounting.variables.items():
        monkeypatch.setenv(name, value)
    submitted(root, "7")
    view = QueueView(root)
    assert view.now() == {}
    assert len(view.remarks) == 1
    assert view.remarks[0].endswith("costs are estimated from the runs' own records")
    finding = doctor.slurm()
    assert finding.verdict == "note"
    assert "no accounting" in finding.text
