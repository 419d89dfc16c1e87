"""What an array task does: train its unfinished runs in the local pool.

submitit calls `run_task` in the code of the snapshot, with paths and numbers only. The run folders say where to resume.
When SLURM signals the task, the pool saves all runs and stops its workers first.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from harness.errors import UserError, one_line
from harness.folders import attempts
from harness.folders.provenance import LAUNCHER_VARIABLE, attempt_details, slurm_job
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import cut_packs
from harness.launching.pool import Failures, run_packs
from harness.launching.progress import ProgressDisplay
from harness.launching.worker import mark
from harness.settings import PREFIX_ARM
from harness.training.kernels import pack_limit_for, uses_gpu
from harness.training.timing import Stop, Stopped
from harness.watching.trackers import Tracking
from slurm import submissions
from slurm.profile import Profile, profile_from_dict
from slurm.queue import ask
from slurm.submissions import Place, Submission

DONE, UNFINISHED = 0, 1

# Signals that announce the time limit or a preemption.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)

# Seconds between two looks at runs that another process owns.
POLL_INTERVAL = 2.0

# Number of consecutive starts without a newer checkpoint after which a run fails.
RESTART_LIMIT = 3

# How many runs of earlier array tasks are read for each that may fail.
READ_PER_FAILURE = 5

# Maximum length of a progress line.
LINE_WIDTH = 500

LAUNCHER = "slurm"


def run_task(root: str, name: str, array: int, task: int) -> NoReturn:
    """Train the runs of an array task, then exit: 0 if all are done or cancelled by somebody, 1 otherwise.

    After a warning signal the runs are saved, and the task is requeued if the profile allows it.
    """
    signals = Signals()
    signals.install()
    job = slurm_job()["slurm"]
    os.environ[LAUNCHER_VARIABLE] = f"{LAUNCHER} {job['job']}"
    place = Place(Path(root), submissions.read(Path(root), name), array, task)
    profile = profile_from_dict(place.submission.profile, f"submission {name}")
    print(f"array task {job['job']}, start {job['restart'] + 1}, on {job['node']}: {len(place.runs)} runs", flush=True)
    try:
        if reason := compute(place, profile, signals.stop):
            print(f"stopped: {profile.max_failures} runs of this array have ended for the same reason and none is done "
                  f"(max_failures): {reason}", flush=True)  # fmt: skip
            sys.exit(UNFINISHED)
    except Stopped as stopped:
        print(f"stopped by {stopped}; all runs are saved", flush=True)
        if signals.warned and profile.requeue:
            requeue(job["job"])
        sys.exit(UNFINISHED)
    states = [folder.state for folder in folders_of(place)]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)), flush=True)
    sys.exit(DONE if set(states) <= {RunState.DONE, RunState.CANCELLED} else UNFINISHED)


class Signals:
    """SLURM's signals to this process: `stop`, and whether there was a warning ahead of the end (`warned`)."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.warned = False

    def install(self) -> None:
        """Handle signals from now on.

        Warnings reach every process of a task. They are blocked, which workers inherit, and received by a thread; the
        handlers are needed for library threads that do not block them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
        for number in (*WARNINGS, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.receive)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Request the stop that a signal means."""
        self.warned = self.warned or number in WARNINGS
        self.stop.request(signal.Signals(number).name)

    def _wait(self) -> None:
        while True:
            self.receive(signal.sigwait(WARNINGS))


def folders_of(place: Place) -> list[RunFolder]:
    """The folders of the runs that do not belong to a newer array task."""
    newest = submissions.places(place.root)
    runs = [run for run in place.runs if run in newest and newest[run].key == place.key]
    return [RunFolder(place.root / run) for run in runs]


def compute(place: Place, profile: Profile, stop: Stop) -> str | None:
    """Train every unfinished run once; raises `Stopped` on request, after everything is saved.

    Starts no more runs, and returns the reason, if `max_failures` runs of the array end for it and none is done.

    Waits for runs that another process owns: an earlier start of this task may have survived its node's daemon, and
    either finishes the run or is soon found to have ended.
    """
    tried: set[str] = set()
    while True:
        stop.check()
        failures = earlier_failures(place, profile.max_failures)
        if failures.repeated:
            return failures.repeated
        waiting = [folder for folder in folders_of(place) if is_to_compute(folder, place.submission)]
        owned = [folder for folder in waiting if folder.is_owned()]
        free = [folder for folder in waiting if folder not in owned and folder.id not in tried]
        startable = [folder for folder in free if not makes_no_progress(folder)]
        if startable:
            tried |= {folder.id for folder in startable}
            if reason := train(startable, profile, stop, tracking_of(place), failures):
                return reason
        elif owned:
            time.sleep(POLL_INTERVAL)
        else:
            return None


def earlier_failures(place: Place, limit: int) -> Failures:
    """How runs of the array tasks before this one have ended since their submission.

    The tasks of an array start in this order. The nearest ones are read, `READ_PER_FAILURE` runs per allowed failure.
    """
    failures = Failures(limit)
    earlier = [run for task in place.job_array.tasks[: place.task] for pack in task for run in pack]
    for run in reversed(earlier[-READ_PER_FAILURE * limit :] if limit else []):
        folder = RunFolder(place.root / run)
        with contextlib.suppress(UserError):
            if folder.status().get("heartbeat", 0.0) >= place.submission.submitted:
                failures.add([folder])
    return failures


def is_to_compute(folder: RunFolder, submission: Submission) -> bool:
    """Whether a run is unfinished; a failed run counts if it was submitted again since."""
    failed_before = folder.status().get("heartbeat", 0.0) < submission.submitted
    return folder.state.is_cancellable or (folder.state is RunState.FAILED and failed_before)


def tracking_of(place: Place) -> Tracking:
    """The tracking of an array task. A tracker that the node lacks is left out: `floorbench track` catches up."""
    submission = place.submission
    try:
        # The rows of a prefix are among those of the runs that start from it.
        ids = place.runs if submission.trackers else ()
        runs = [run for id in ids if (run := RunFolder(place.root / id).run()).arm != PREFIX_ARM]
        return Tracking(submission.trackers, place.root, runs, submission.group, place.name)
    except (UserError, OSError) as error:
        print(f"no tracking: {one_line(error)}", flush=True)
        return Tracking([], place.root, [], submission.group)


def train(folders: list[RunFolder], profile: Profile, stop: Stop, tracking: Tracking, failures: Failures) -> str | None:
    """Train runs in the local pool, as `floorbench run` does; returns the reason if too many have failed for one."""
    runs = [folder.run() for folder in folders]
    limit = profile.pack_limit(runs)
    if uses_gpu(runs):
        limit = min(limit, pack_limit_for(runs, profile.workers))
    packs = cut_packs(runs, folders[0].path.parent, limit, profile.workers)

    def watch() -> None:
        stop.check()
        display.refresh()
        tracking.watch()

    try:
        with ProgressDisplay(packs, Console(width=LINE_WIDTH, highlight=False, markup=False, emoji=False)) as display:
            return run_packs(packs, profile.workers, watch, failures)
    finally:
        tracking.finish()
        if tracking.problem:
            print(f"{tracking.problem}; pass on what is missing with: floorbench track", flush=True)


def makes_no_progress(folder: RunFolder) -> bool:
    """Whether the last restarts made no progress; the run is then marked as failed."""
    last = attempts.history(folder.path)[-RESTART_LIMIT:]
    newest = folder.newest_checkpoint
    if len(last) < RESTART_LIMIT or any(
        attempt.get("from") != newest
        or not attempt["launcher"].startswith(LAUNCHER)
        or not attempt.get("reason", "").startswith((RunState.INTERRUPTED, RunState.LOST))
        for attempt in last
    ):
        return False
    reason = f"the last {RESTART_LIMIT} restarts made no progress; the latest was {last[-1]['reason']}"
    if folder.begin_attempt({**attempt_details(), "from": newest}):
        mark(folder, RunState.FAILED, reason)
        folder.end_attempt(f"failed: {reason}")
    return True


def requeue(task: str) -> None:
    """Requeue this array task, unless SLURM is cancelling it."""
    try:
        if ask("squeue", "--noheader", f"--jobs={task}", "--format=%T").split() == ["RUNNING"]:
            ask("scontrol", "requeue", task)
            print("requeued", flush=True)
    except UserError as error:
        print(f"not requeued: {error}", flush=True)
