"""What a task does with signals, with runs in other hands, and with runs that get nowhere; no SLURM is needed."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.provenance import LAUNCHER_VARIABLE, PROJECT
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.training.timing import Stop, Stopped
from slurm import job
from slurm.job import compute, folders_of, makes_no_progress
from slurm.profile import Profile, profile_to_dict
from slurm.submissions import Array, Place, Submission
from tests.slurm.test_submissions import write

PROFILE = Profile(time_minutes=5)
RUN = with_settings(
    runs_of("smoke")[0],
    {"schedule.offline_steps": 20, "schedule.online_steps": 0, "schedule.evaluation_episodes": 1},
)


def submitted(root, *names):
    """The one task of submissions of the same run, in their order; its folder is there."""
    commit([RUN], root)
    places = []
    for number, name in enumerate(names):
        array = Array(f"name-{name}", (((RUN.id,),),), 1, job_id="7")
        written = Submission(name, "smoke", "me", "login", float(number), profile_to_dict(PROFILE), "0" * 16, (array,))
        write(root, written)
        places.append(Place(root, written, 0, 0))
    return places


ORDERS = """
import os, signal, subprocess, sys, time
from slurm.job import Signals
orders = Signals()
orders.install()
look = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
print(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout.strip())
for name in sys.argv[1:]:
    os.kill(os.getpid(), signal.Signals[name])
    time.sleep(0.2)
print(orders.warned, orders.stop.reason)
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
def test_signals_are_orders_and_announcements_pass_workers_by(signals, meaning):
    done = subprocess.run([sys.executable, "-c", ORDERS, *signals], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "[<Signals.SIGUSR1: 10>, <Signals.SIGUSR2: 12>]",
        meaning.rstrip() if signals else meaning,
    ], done.stderr


def attempt(root, reason, launcher="slurm 7", checkpoint=""):
    """An attempt at the run that began at a checkpoint and has ended."""
    folder = RunFolder.of(root, RUN)
    assert folder.begin_attempt({"launcher": launcher, "from": checkpoint})
    folder.write_status(reason.partition(":")[0], reason=reason)
    folder.end_attempt(reason)
    return folder


def test_three_starts_without_a_newer_checkpoint_are_enough(tmp_path, monkeypatch):
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
    # Whoever runs it again in spite of that has three starts again.
    assert not makes_no_progress(RunFolder.of(tmp_path, RUN))


def test_progress_failure_and_other_launchers_are_not_held_against_a_run(tmp_path):
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


def test_a_run_in_other_hands_is_waited_for(tmp_path, monkeypatch):
    """As when the node's daemon was lost and the former copy of the task lives on."""
    monkeypatch.setattr(job, "POLL_INTERVAL", 0.02)
    (place,) = submitted(tmp_path, "first")
    orphan = RunFolder.of(tmp_path, RUN)
    assert orphan.begin_attempt({"launcher": "slurm 7"})
    orphan.write_status("running")

    def come_to_the_end():
        time.sleep(0.2)
        orphan.finish({})
        orphan.end_attempt("done")

    thread = threading.Thread(target=come_to_the_end)
    thread.start()
    compute(place, PROFILE, Stop())
    thread.join()
    assert orphan.status()["state"] == "done"
    assert len(orphan.provenance()["attempts"]) == 1


def test_who_waits_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "POLL_INTERVAL", 0.02)
    (place,) = submitted(tmp_path, "first")
    orphan = RunFolder.of(tmp_path, RUN)
    assert orphan.begin_attempt({"launcher": "slurm 7"})
    orphan.write_status("running")
    stop = Stop()
    threading.Timer(0.2, stop.request, ["SIGUSR2"]).start()
    with pytest.raises(Stopped, match="SIGUSR2"):
        compute(place, PROFILE, stop)


def test_a_run_that_was_submitted_anew_is_left_to_its_newer_task(tmp_path):
    older, newer = submitted(tmp_path, "first", "second")
    assert folders_of(older) == []
    assert [folder.id for folder in folders_of(newer)] == [RUN.id]


def test_a_task_computes_its_runs_and_says_how_it_ended(tmp_path):
    ensure_dataset(RUN.task)
    submitted(tmp_path, "first")
    code = f"from slurm.job import run_task; run_task({str(tmp_path)!r}, 'first', 0, 0)"
    environment = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert (said[0], said[-1]) == ("array task 7, start 3, on n1: 1 runs", "1 done")
    (attempt,) = RunFolder.of(tmp_path, RUN).provenance()["attempts"]
    assert attempt["launcher"] == "slurm 7"
    assert attempt["slurm"] == {"job": "7", "raw_job": "7", "restart": 2, "node": "n1"}
