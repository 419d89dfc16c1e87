"""A worker: one process, one thread, one pack.

`python -m harness.launching.worker ROOT RUN_ID...` trains the named runs and leaves everything in their folders; its
exit code is 0 if every run came to its end or is in other hands, 1 if one did not, 130 if it was asked to stop. The
local pool starts it, and so can a cluster.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from harness.errors import PLACE_ERRORS, UserError, one_line
from harness.folders.attempts import Heartbeat, TakenOver
from harness.folders.provenance import attempt_details
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import resources
from harness.training.timing import Stop, Stopped

# Process id of the pool that started this worker; the worker ends when the pool is gone.
PARENT_VARIABLE = "FLOORBENCH_PARENT"

# Exit codes of a worker: a run did not come to its end; it was asked to stop.
FAILED_CODE, STOPPED_CODE = 1, 130

# Options of glibc's mallopt, and the bytes below which memory is neither mapped apart nor given back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MALLOC_LIMIT = 2**30

Train = Callable[[Sequence[RunFolder], Stop], None]


def work(folders: Sequence[RunFolder], train: Train, stop: Stop) -> bool:
    """Train the runs of one pack that are neither done nor in another process's hands.

    Whatever breaks the pack marks its unfinished runs failed with one line, the traceback going to their logs. A
    request to stop leaves them interrupted, and is passed on as `Stopped`. A disk that refuses leaves them interrupted
    too, for all up to their last checkpoints is there, and is told on stderr; so is a damaged folder, which is left as
    it is. Returns whether every run of the pack is done, cancelled or somebody else's.
    """
    mine: list[RunFolder] = []
    refused: list[UserError] = []
    try:
        for folder in folders:
            try:
                if begin(folder, len(folders)):
                    mine.append(folder)
            except UserError as error:
                refused.append(error)
                say(error)
        with Heartbeat([folder.attempt for folder in mine if folder.attempt]):
            train_owned(mine, train, stop)
    except Stopped:
        tell(leave(mine, RunState.INTERRUPTED, f"stopped by {stop.reason}"))
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
            leave(mine, RunState.INTERRUPTED, one_line(error))
            say(error)
        else:
            tell(leave(mine, RunState.FAILED, one_line(error), traceback.format_exc()))
        return False
    tell(leave(mine, RunState.FAILED, "its training ended without a word"))
    return not refused and all(folder.state in (RunState.DONE, RunState.CANCELLED) for folder in mine)


def begin(folder: RunFolder, pack_size: int = 1) -> bool:
    """Take a run of a pack for this process; False if it is done, cancelled or in other hands."""
    details = {**attempt_details(), **resources(pack_size), "from": folder.newest_checkpoint}
    if folder.state is RunState.DONE or folder.is_cancelled or not folder.begin_attempt(details):
        return False
    if folder.state is RunState.DONE:
        # Its owner came to the end between the two looks.
        folder.end_attempt("done")
        return False
    folder.write_status(RunState.RUNNING, phase="starting", step=0, progress=0.0, updates_per_second=0.0)
    return True


def train_owned(mine: list[RunFolder], train: Train, stop: Stop) -> None:
    """Train the runs. One that is taken over meanwhile is dropped; the others go on from their last checkpoints."""
    while mine:
        stop.check()
        try:
            return train(mine, stop)
        except TakenOver:
            mine[:] = [folder for folder in mine if folder.attempt and is_owner(folder)]


def is_owner(folder: RunFolder) -> bool:
    """Whether the run still is this process's."""
    try:
        folder.check_owner()
    except TakenOver:
        return False
    return True


def leave(folders: Sequence[RunFolder], state: RunState, reason: str, log: str = "") -> list[Exception]:
    """Give runs back; those neither done nor failed by themselves get this state, reason and addition to their logs.

    Runs in other hands, and those that were given back before, are left alone. Returns what kept anything from being
    written.
    """
    problems: list[Exception] = []
    for folder in folders:
        if folder.attempt is None:
            continue
        try:
            folder.check_owner()
            if folder.state not in (RunState.DONE, RunState.FAILED):
                if log:
                    folder.append_log(log)
                mark(folder, state, reason)
            folder.end_attempt(ending(folder.status()))
        except TakenOver:
            continue
        except (OSError, UserError) as error:
            problems.append(error)
    return problems


def mark(folder: RunFolder, state: RunState, reason: str) -> None:
    """Change a run's state; phase, step and share stay, so that one sees how far it came."""
    before = folder.status()
    kept = {name: before[name] for name in ("phase", "step", "progress") if name in before}
    folder.write_status(state, **kept, reason=reason)


def ending(status: dict[str, Any]) -> str:
    """How an attempt ended: "done", or a state with its reason."""
    return "done" if status["state"] == RunState.DONE else f"{status['state']}: {status.get('reason', '')}"


def tell(problems: Sequence[Exception]) -> None:
    """Say the first of some problems, which mostly are one and the same."""
    for error in problems[:1]:
        say(error)


def say(error: Exception) -> None:
    """One line on stderr, which the pool copies to the logs of the runs."""
    with contextlib.suppress(OSError):
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)


def stop_on_signals(stop: Stop) -> None:
    """Let SIGINT and SIGTERM request a stop, once; more of them change nothing."""

    def request(number: int, frame: FrameType | None) -> None:
        stop.request(signal.Signals(number).name)

    for either in (signal.SIGINT, signal.SIGTERM):
        signal.signal(either, request)


def stop_with_parent(parent: int, stop: Stop) -> None:
    """Request a stop soon after process `parent` has ended: no orphan goes on computing unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        stop.request("the end of its launcher")

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """The worker of the command line; returns its exit code."""
    if len(sys.argv) < 3:
        print("usage: python -m harness.launching.worker ROOT RUN_ID...", file=sys.stderr)
        return 2
    root, *ids = sys.argv[1:]
    stop = Stop()
    stop_on_signals(stop)
    if PARENT_VARIABLE in os.environ:
        stop_with_parent(int(os.environ[PARENT_VARIABLE]), stop)
    try:
        return 0 if work([RunFolder(Path(root) / id) for id in ids], train_one_thread, stop) else FAILED_CODE
    except Stopped:
        return STOPPED_CODE


def train_one_thread(folders: Sequence[RunFolder], stop: Stop) -> None:
    """`train_pack` with the one thread that makes a run's bits independent of the machine's number of cores."""
    import torch

    from harness.training.training import train_pack

    torch.set_num_threads(1)
    keep_freed_memory()
    stop.check()
    train_pack(folders, stop)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: every update needs the same megabytes again.

    By default glibc gives them back to the kernel, which hands them out again page by page: packs of 4 to 8 runs then
    make 0.6 to 0.7 times the updates per second. Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, MALLOC_LIMIT)
        library.mallopt(M_TRIM_THRESHOLD, MALLOC_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
