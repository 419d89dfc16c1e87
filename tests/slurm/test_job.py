"""Array tasks: signals, runs of other processes, and runs without progress; without SLURM."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.provenance import LAUNCHER_VARIABLE, PROJECT
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.training.timing import Stop, Stopped
from slurm import job
from slurm.job import compute, folders_of, is_to_compute, makes_no_progress
from slurm.profile import Profile, profile_to_dict
from slurm.submissions import Array, Place, Submission
from tests.slurm.test_submissions import write

PROFILE = Profile(time_minutes=5)
RUN = with_settings(
    runs_of("smoke")[0],
    {"schedule.offline_steps": 20, "schedule.online_steps": 0, "schedule.evaluation_episodes": 1},
)


def submitted(root, *names):
    """The array tasks of several submissions of one run, whose folder exists."""
    commit([RUN], root)
    places = []
    for number, name in enumerate(names):
        array = Array(f"name-{name}", (((RUN.id,),),), 1, job_id="7")
        written = Submission(name, "smoke", "me", "login", float(number), profile_to_dict(PROFILE), "0" * 16, (array,))
        write(root, written)
        places.append(Place(root, written, 0, 0))
    return places


SIGNALS = """
import os, signal, subprocess, sys, time
from slurm.job import Signals
signals_of_slurm = Signals()
signals_of_slurm.install()
show = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
print(subprocess.run([sys.executable, "-c", show], capture_output=True, text=True).stdout.strip())
for name in sys.argv[1:]:
    os.kill(os.getpid(), signal.Signals[name])
    time.sleep(0.2)
print(signals_of_slurm.warned, signals_of_slurm.stop.reason)
"""


@pytest.mark.parametrize(
    ("signals", "meaning"),
    [
        ((), "False "),
        (("SIGTERM",), "False SIGTERM"),
        (("SIGUSR2",), "True SIGUSR2"),
        (("SIGTERM", "SIGUSR1"), "True SIGTERM"),
        (("SIGUSR2", "SIGUSR2", "SIGTERM"), "True SIGUSR2"),
    ],
)
def test_signals_request_a_stop_and_workers_block_warnings(signals, meaning):
    done = subprocess.run([sys.executable, "-c", SIGNALS, *signals], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "[<Signals.SIGUSR1: 10>, <Signals.SIGUSR2: 12>]",
        meaning.rstrip() if signals else meaning,
    ], done.stderr


def attempt(root, reason, launcher="slurm 7", checkpoint=""):
    """Record an attempt that started from a checkpoint and has ended."""
    folder = RunFolder.of(root, RUN)
    assert folder.begin_attempt({"launcher": launcher, "from": checkpoint})
    folder.write_status(reason.partition(":")[0], reason=reason)
    folder.end_attempt(reason)
    return folder


def test_three_restarts_without_progress_fail_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv(LAUNCHER_VARIABLE, "slurm 7")
    submitted(tmp_path, "first")
    for number in range(3):
        assert not makes_no_progress(RunFolder.of(tmp_path, RUN)), number
        folder = attempt(tmp_path, "interrupted: stopped by SIGUSR2")
    assert makes_no_progress(folder)
    status = folder.status()
    assert status["state"] == "failed"
    assert status["reason"].startswith("the last 3 restarts made no progress; the latest was interrupted: st")
    assert folder.provenance()["attempts"][-1]["reason"] == f"failed: {status['reason']}"
    # If it is run again, it has three starts again.
    assert not makes_no_progress(RunFolder.of(tmp_path, RUN))


def test_progress_and_other_launchers_reset_the_count(tmp_path):
    submitted(tmp_path, "first")
    folder = attempt(tmp_path, "interrupted: by x")
    attempt(tmp_path, "interrupted: by x", launcher="local pool")
    attempt(tmp_path, "interrupted: by x")
    assert not makes_no_progress(folder)
    for _ in range(2):
        attempt(tmp_path, "interrupted: by x")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "000000001-000000000-1.ckpt").touch()
    assert not makes_no_progress(folder)


def test_a_failed_run_is_computed_if_it_was_submitted_again_since(tmp_path):
    (place,) = submitted(tmp_path, "first")
    folder = attempt(tmp_path, "failed: it broke")
    assert not is_to_compute(folder, place.submission), "it failed after its submission"
    assert is_to_compute(folder, replace(place.submission, submitted=time.time() + 1.0))
    folder.finish({})
    assert not is_to_compute(folder, replace(place.submission, submitted=time.time() + 1.0))


def test_waits_for_runs_of_other_processes(tmp_path, monkeypatch):
    """As when the node's daemon was lost and an earlier start of the task still runs."""
    monkeypatch.setattr(job, "POLL_INTERVAL", 0.02)
    (place,) = submitted(tmp_path, "first")
    orphan = RunFolder.of(tmp_path, RUN)
    assert orphan.begin_attempt({"launcher": "slurm 7"})
    orphan.write_status("running")

    def finish_later():
        time.sleep(0.2)
        orphan.finish({})
        orphan.end_attempt("done")

    thread = threading.Thread(target=finish_later)
    thread.start()
    compute(place, PROFILE, Stop())
    thread.join()
    assert orphan.status()["state"] == "done"
    assert len(orphan.provenance()["attempts"]) == 1


def test_waiting_can_be_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "POLL_INTERVAL", 0.02)
    (place,) = submitted(tmp_path, "first")
    orphan = RunFolder.of(tmp_path, RUN)
    assert orphan.begin_attempt({"launcher": "slurm 7"})
    orphan.write_status("running")
    stop = Stop()
    threading.Timer(0.2, stop.request, ["SIGUSR2"]).start()
    with pytest.raises(Stopped, match="SIGUSR2"):
        compute(place, PROFILE, stop)


def test_a_run_belongs_to_its_newest_array_task(tmp_path):
    older, newer = submitted(tmp_path, "first", "second")
    assert folders_of(older) == []
    assert [folder.id for folder in folders_of(newer)] == [RUN.id]


def test_an_array_task_goes_on_without_a_tracker_that_its_node_lacks(tmp_path, capsys):
    (place,) = submitted(tmp_path, "first")
    lacking = replace(place, submission=replace(place.submission, trackers=("jsonl", "paper")))
    assert job.tracking_of(lacking).trackers == []
    assert "no tracking: tracker 'paper': unknown tracker" in capsys.readouterr().out
    tracking = job.tracking_of(replace(place, submission=replace(place.submission, trackers=("jsonl",), group="mine")))
    assert (tracking.group, tracking.trackers[0].file.name) == ("mine", "first-0-0.jsonl")


def test_an_array_task_trains_its_runs_and_prints_their_states(tmp_path):
    ensure_dataset(RUN.task)
    submitted(tmp_path, "first")
    code = f"from slurm.job import run_task; run_task({str(tmp_path)!r}, 'first', 0, 0)"
    environment = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("array task 7, start 3, on n1: 1 runs", "1 done")
    (attempt,) = RunFolder.of(tmp_path, RUN).provenance()["attempts"]
    assert attempt["launcher"] == "slurm 7"
    assert attempt["slurm"] == {"job": "7", "raw_job": "7", "restart": 2, "node": "n1"}


def failing_array(root):
    """An array of six tasks of one run each, which fail at once for the same reason; folders, places and profile."""
    runs = [with_settings(RUN, {"seed": seed}) for seed in range(6)]
    for folder in commit(runs, root):
        (folder.path / "metrics.jsonl").mkdir()
    array = Array("name-0", tuple(((run.id,),) for run in runs), 1, job_id="7")
    profile = replace(PROFILE, max_failures=2)
    written = Submission("s", "smoke", "me", "login", time.time(), profile_to_dict(profile), "0" * 16, (array,))
    write(root, written)
    return [RunFolder.of(root, run) for run in runs], [Place(root, written, 0, task) for task in range(6)], profile


def test_array_tasks_stop_starting_runs_that_fail_for_one_reason(tmp_path):
    """The second task sees the limit reached, the third starts nothing; a run that is done lets the others go on."""
    ensure_dataset(RUN.task)
    folders, places, profile = failing_array(tmp_path)
    reasons = [compute(place, profile, Stop()) for place in places[:3]]
    assert reasons[0] is None
    assert [reason is not None and reason.endswith("is a directory") for reason in reasons[1:]] == [True, True]
    assert [folder.state for folder in folders[:2]] == ["failed"] * 2
    assert folders[2].state == "planned"
    unlimited = replace(profile, max_failures=0)
    assert compute(places[2], unlimited, Stop()) is None
    assert folders[2].state == "failed"
    folders[3].write_status("done")
    assert job.earlier_failures(places[4], 2).repeated is None


def test_failures_before_the_submission_do_not_count(tmp_path):
    folders, places, _ = failing_array(tmp_path)
    for folder in folders[:3]:
        folder.write_status("failed", reason="of something")
    assert job.earlier_failures(places[3], 2).repeated == "of something"
    later = replace(places[3], submission=replace(places[3].submission, submitted=time.time() + 60))
    assert job.earlier_failures(later, 2).repeated is None


def test_packs_of_one_array_task_count_together(tmp_path):
    ensure_dataset(RUN.task)
    folders, places, profile = failing_array(tmp_path)
    array = replace(places[0].job_array, tasks=(tuple((folder.id,) for folder in folders),))
    submission = replace(places[0].submission, arrays=(array,))
    write(tmp_path, submission)
    assert compute(Place(tmp_path, submission, 0, 0), replace(profile, runs_per_pack=1), Stop())
    assert [folder.state for folder in folders] == ["failed"] * 2 + ["planned"] * 4
