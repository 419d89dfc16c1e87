"""What a task of a job array does: the local pool on the runs of its packs that are not at their end.

submitit calls `run_task` with paths and numbers only, in the code of the snapshot. Whatever happened before, the task
goes on from what the run folders say; whatever SLURM wants of it, the pool stops its workers in order first.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from harness.errors import UserError
from harness.folders import attempts
from harness.folders.provenance import LAUNCHER_VARIABLE, attempt_details, slurm_job
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import cut_packs
from harness.launching.pool import run_packs
from harness.launching.progress import ProgressDisplay
from harness.launching.worker import mark
from harness.training.stop import Stop, Stopped
from slurm import submissions
from slurm.command import ask
from slurm.profile import Profile, profile_from_dict
from slurm.submissions import Place

DONE, UNFINISHED = 0, 1

# Signals that announce the end of a task's time, or that somebody more urgent needs its place.
ANNOUNCEMENTS = (signal.SIGUSR1, signal.SIGUSR2)

# Seconds between two looks at runs that another process has.
POLL_INTERVAL = 2.0

# Starts in a row that may leave a run without a newer checkpoint.
FRUITLESS_LIMIT = 3

# Characters of a line of progress, at most.
LINE_WIDTH = 500

LAUNCHER = "slurm"


def run_task(root: str, name: str, array: int, task: int) -> NoReturn:
    """Compute the runs of a task, then exit: 0 if all are done, 1 otherwise.

    When SLURM announces the end, the runs are saved and the task is put back into the queue, if it may be.
    """
    orders = Orders()
    orders.obey()
    job = slurm_job()["slurm"]
    os.environ[LAUNCHER_VARIABLE] = f"{LAUNCHER} {job['job']}"
    place = Place(Path(root), submissions.read(Path(root), name), array, task)
    profile = profile_from_dict(place.submission.profile, f"submission {name}")
    print(f"task {job['job']}, start {job['restart'] + 1}, on {job['node']}: {len(place.runs)} runs", flush=True)
    try:
        compute(place, profile, orders.stop)
    except Stopped as stopped:
        print(f"stopped by {stopped}; its runs are saved", flush=True)
        if orders.announced and profile.requeue:
            requeue(job["job"])
        sys.exit(UNFINISHED)
    states = [folder.state for folder in folders_of(place)]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)), flush=True)
    sys.exit(DONE if set(states) <= {RunState.DONE} else UNFINISHED)


class Orders:
    """What SLURM wants of this process: `stop`, and whether that was `announced` ahead of time."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.announced = False

    def obey(self) -> None:
        """From now on signals are orders.

        Announcements reach every process of a task. They are blocked, which the workers inherit, and waited for by a
        thread; the handlers are for threads of libraries, which do not block them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, ANNOUNCEMENTS)
        for number in (*ANNOUNCEMENTS, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.receive)
        threading.Thread(target=self._wait, name="orders", daemon=True).start()

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal for what it means."""
        self.announced = self.announced or number in ANNOUNCEMENTS
        self.stop.request(signal.Signals(number).name)

    def _wait(self) -> None:
        while True:
            self.receive(signal.sigwait(ANNOUNCEMENTS))


def folders_of(place: Place) -> list[RunFolder]:
    """The folders of the runs that no newer task has."""
    newest = submissions.places(place.root)
    own = [run for run in place.runs if run in newest and newest[run].key == place.key]
    return [RunFolder(place.root / run) for run in own]


def compute(place: Place, profile: Profile, stop: Stop) -> None:
    """Train every run that is not at its end, once; `Stopped` on request, with everything saved.

    A run that another process has is waited for: the former copy of this task may have survived its node's daemon, and
    either brings the run to its end or is soon seen to be gone.
    """
    tried: set[str] = set()
    while True:
        stop.check()
        waiting = [folder for folder in folders_of(place) if folder.state.is_cancellable]
        owned = [folder for folder in waiting if folder.is_owned()]
        free = [folder for folder in waiting if folder not in owned and folder.id not in tried]
        hopeful = [folder for folder in free if not is_fruitless(folder)]
        if hopeful:
            tried |= {folder.id for folder in hopeful}
            train(hopeful, profile, stop)
        elif owned:
            time.sleep(POLL_INTERVAL)
        else:
            return


def train(folders: list[RunFolder], profile: Profile, stop: Stop) -> None:
    """The local pool, exactly as `floorbench run` uses it."""
    runs = [folder.run() for folder in folders]
    cut = cut_packs(runs, folders[0].path.parent, profile.runs_per_pack, profile.workers)

    def watch() -> None:
        stop.check()
        display.refresh()

    with ProgressDisplay(cut, Console(width=LINE_WIDTH, highlight=False, markup=False)) as display:
        run_packs(cut, profile.workers, watch)


def is_fruitless(folder: RunFolder) -> bool:
    """Whether the last starts brought nothing, so that another one would not either; the run is then marked failed."""
    last = attempts.history(folder.path)[-FRUITLESS_LIMIT:]
    newest = folder.newest_checkpoint
    if len(last) < FRUITLESS_LIMIT or any(
        attempt.get("from") != newest
        or not attempt["launcher"].startswith(LAUNCHER)
        or not attempt.get("reason", "").startswith((RunState.INTERRUPTED, RunState.LOST))
        for attempt in last
    ):
        return False
    reason = f"{FRUITLESS_LIMIT} starts in a row brought no newer checkpoint; the last one was {last[-1]['reason']}"
    if folder.begin_attempt({**attempt_details(), "from": newest}):
        mark(folder, RunState.FAILED, reason)
        folder.end_attempt(f"failed: {reason}")
    return True


def requeue(task: str) -> None:
    """Have SLURM put this task back into its queue, unless it is ending it for good."""
    try:
        if ask("squeue", "--noheader", f"--jobs={task}", "--format=%T").split() == ["RUNNING"]:
            ask("scontrol", "requeue", task)
            print("back in the queue", flush=True)
    except UserError as error:
        print(f"not put back into the queue: {error}", flush=True)
