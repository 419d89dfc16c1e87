"""Status, cancel and doctor with a real queue, and without SLURM."""

import getpass
import time

import pytest

from ablations.commands.control import cancel_runs, retry_runs
from ablations.commands.logs import show_logs
from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.folders.usage import Known
from harness.launching.planner import commit
from harness.watching.overview import overview
from slurm import doctor
from slurm.submissions import Array, Submission
from slurm.watching import QueueView, ended_tasks, queued_runs
from tests.slurm.test_submissions import write
from tests.support.slurm import grids
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
    # A user's preferences that would hide pending tasks, and keep scancel from cancelling them.
    hostile = {"SQUEUE_STATES": "RUNNING", "SQUEUE_PARTITION": "none", "SCANCEL_STATE": "RUNNING"}
    for name, value in {**cluster.variables, **hostile}.items():
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


def test_a_task_that_ended_before_its_runs_began(root, monkeypatch):
    """Status names the job, how it ended and its log; a run of a task that began it says so itself."""
    submitted(root, "7")
    ids = [run.id for run in RUNS]
    folder = RunFolder(root / ids[0])
    folder.begin_attempt({"slurm": {"job": "7_0", "node": "n1"}})
    folder.end_attempt("interrupted")
    folder.write_status("interrupted", reason="stopped by SIGTERM")
    log = root / "submissions/s/jobs/7_1_0_log.out"
    log.parent.mkdir()
    log.write_text("slurm_script: line 9: module: command not found\n")
    monkeypatch.setattr("slurm.watching.SETTLED", -1.0)
    costs = {ids[2]: Known(tasks={"7_1": "FAILED, exit code 7:0"})}
    ended = ended_tasks(root, {}, costs)
    assert sorted(ended) == sorted(ids)
    rows = {row.run: row for row in overview(root, RUNS, {}, ended=ended)}
    assert (rows[ids[0]].state, rows[ids[0]].reason) == ("interrupted", "stopped by SIGTERM")
    for outcome, reason in {
        "OUT_OF_MEMORY, exit code 0:125": "; its array task 7_0 ended as OUT_OF_MEMORY, exit code 0:125",
        "NODE_FAIL": "; its array task 7_0 ended as NODE_FAIL",
        "COMPLETED": "",
        "RUNNING": "",
    }.items():
        (row,) = overview(root, RUNS[:1], {}, known={ids[0]: Known(tasks={"7_0": outcome})})
        assert row.reason == f"stopped by SIGTERM{reason}"
    assert (rows[ids[2]].state, rows[ids[2]].job) == ("lost", "7_1")
    assert rows[ids[2]].reason == f"its array task 7_1 ended as FAILED, exit code 7:0 before the run began; log: {log}"
    assert rows[ids[2]].log_tail == "slurm_script: line 9: module: command not found"
    assert rows[ids[3]].reason.startswith("its array task 7_2 left the queue before the run began; without a log (")
    assert ended_tasks(root, ids, costs) == {}
    monkeypatch.undo()
    assert ended_tasks(root, {}, costs) == {}


@pytest.mark.slurm
def test_a_job_that_dies_before_python_starts(at_cluster, tmp_path, capfd, monkeypatch):
    """A line of `setup` fails: status and doctor say so, logs shows the output, and retry starts the runs again."""
    monkeypatch.setattr("slurm.watching.SETTLED", 0.0)
    submission = grids.submit(tmp_path, RUNS, setup=("module load nothing", "exit 7"))
    job_id = submission.arrays[0].job_id
    wait_until(lambda: not QueueView(tmp_path).now(), 60)
    wait_until(lambda: "7:0" in (_rows(tmp_path)[0].reason or ""), 90)
    rows = _rows(tmp_path)
    assert {(row.state, row.job) for row in rows} == {("lost", job_id)}
    assert rows[0].reason.startswith(
        f"its array task {job_id} ended as FAILED, exit code 7:0 before the run began; log:"
    )
    assert "module: command not found" in rows[0].log_tail
    assert "did not begin" in doctor.jobs(tmp_path).text
    capfd.readouterr()
    show_logs(RUNS[0].id, tmp_path, follow=False)
    assert "module: command not found" in capfd.readouterr().out
    retry_runs(RUNS, tmp_path, 1, 4, None, "retry")
    assert {row.state for row in _rows(tmp_path)} == {"done"}


def _rows(root):
    view = QueueView(root)
    queued = view.now()
    return overview(root, RUNS, queued, ended=view.ended)
