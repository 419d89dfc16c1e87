"""A worker: one process with one thread that trains one pack.

`python -m harness.launching.worker ROOT RUN_ID...` trains the named runs. Its exit code is 0 if every run is done,
cancelled or owned by another process, 1 if a run failed, and 130 if the worker was asked to stop.
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

from harness import extensions
from harness.errors import UserError, is_of_place, one_line
from harness.folders.attempts import Heartbeat, TakenOver
from harness.folders.provenance import attempt_details
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import resources
from harness.training.kernels import PLACE_VARIABLE, step_processes
from harness.training.timing import Stop, Stopped

# Process id of the pool that started this worker; the worker stops when the pool has ended.
PARENT_VARIABLE = "FLOORBENCH_PARENT"

# Exit codes: a run is not done; the worker was asked to stop.
FAILED_CODE, STOPPED_CODE = 1, 130

# Options of glibc's mallopt, and the size in bytes below which memory is neither mapped separately nor returned.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MALLOC_LIMIT = 2**30

# Option of Linux's prctl.
PR_SET_NAME = 15

Train = Callable[[Sequence[RunFolder], Stop], None]


def work(folders: Sequence[RunFolder], train: Train, stop: Stop) -> bool:
    """Train the runs of one pack that are not done, cancelled or owned by another process.

    An error marks its unfinished runs failed, with the traceback in their logs. A request to stop leaves them
    interrupted and is raised as `Stopped`. Errors of the file system or the GPU leave them interrupted too, because
    they can be resumed from their checkpoints, and are printed on stderr, as are damaged folders, which stay unchanged.
    Returns whether every run of the pack is done, cancelled or owned by another process.
    """
    owned: list[RunFolder] = []
    refused: list[UserError] = []
    try:
        for folder in folders:
            try:
                if begin(folder, len(folders)):
                    owned.append(folder)
            except UserError as error:
                refused.append(error)
                print_error(error)
        with Heartbeat([folder.attempt for folder in owned if folder.attempt]):
            train_owned(owned, train, stop)
    except Stopped:
        report(leave(owned, RunState.INTERRUPTED, f"stopped by {stop.reason}"))
        raise
    except Exception as error:
        if is_of_place(error):
            leave(owned, RunState.INTERRUPTED, one_line(error))
            print_error(error)
        else:
            report(leave(owned, RunState.FAILED, one_line(error), traceback.format_exc()))
        return False
    report(leave(owned, RunState.FAILED, "training exited without a result"))
    return not refused and all(folder.state in (RunState.DONE, RunState.CANCELLED) for folder in owned)


def begin(folder: RunFolder, pack_size: int = 1) -> bool:
    """Become the owner of a run; False if it is done, cancelled or owned by another process."""
    cores = {"cores": step_processes([folder.run()])}
    details = {**attempt_details(), **resources(pack_size), **cores, "from": folder.newest_checkpoint}
    if folder.state is RunState.DONE or folder.is_cancelled or not folder.begin_attempt(details):
        return False
    if folder.state is RunState.DONE:
        # Its owner finished between the two checks.
        folder.end_attempt("done")
        return False
    folder.write_status(RunState.RUNNING, phase="starting", step=0, progress=0.0, updates_per_second=0.0)
    return True


def train_owned(owned: list[RunFolder], train: Train, stop: Stop) -> None:
    """Train the runs. If one is taken over meanwhile, the others are resumed without it from their checkpoints."""
    while owned:
        stop.check()
        try:
            return train(owned, stop)
        except TakenOver:
            owned[:] = [folder for folder in owned if folder.attempt and is_owner(folder)]


def is_owner(folder: RunFolder) -> bool:
    """Whether this process still owns the run."""
    try:
        folder.check_owner()
    except TakenOver:
        return False
    return True


def leave(folders: Sequence[RunFolder], state: RunState, reason: str, log: str = "") -> list[Exception]:
    """Release runs; those that are neither done nor failed get this state, reason and addition to their logs.

    Runs owned by another process, and runs released before, are skipped. Returns the errors of writing.
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
    """Change a run's state, but keep phase, step and progress."""
    before = folder.status()
    kept = {name: before[name] for name in ("phase", "step", "progress") if name in before}
    folder.write_status(state, **kept, reason=reason)


def ending(status: dict[str, Any]) -> str:
    """The reason of an attempt's end: "done", or a state with its reason."""
    return "done" if status["state"] == RunState.DONE else f"{status['state']}: {status.get('reason', '')}"


def report(problems: Sequence[Exception]) -> None:
    """Print the first of some errors, which are usually the same."""
    for error in problems[:1]:
        print_error(error)


def print_error(error: Exception) -> None:
    """Print one line on stderr, which the pool copies to the logs of the runs."""
    with contextlib.suppress(OSError):
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)


def stop_on_signals(stop: Stop) -> None:
    """Request a stop on SIGINT and SIGTERM; further signals have no effect."""

    def request(number: int, frame: FrameType | None) -> None:
        stop.request(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request)


def stop_with_parent(parent: int, stop: Stop) -> None:
    """Request a stop soon after process `parent` has ended, so that no orphan keeps computing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        stop.request("the end of its launcher")

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """The worker's command line; returns the exit code."""
    if len(sys.argv) < 3:
        print("usage: python -m harness.launching.worker ROOT RUN_ID...", file=sys.stderr)
        return 2
    root, *ids = sys.argv[1:]
    return compute(Path(root), ids)


def compute(root: Path, ids: Sequence[str]) -> int:
    """Train the named runs in this process; returns the worker's exit code."""
    stop = Stop()
    stop_on_signals(stop)
    name_process(f"worker {os.environ.get(PLACE_VARIABLE, '0')}")
    if PARENT_VARIABLE in os.environ:
        stop_with_parent(int(os.environ[PARENT_VARIABLE]), stop)
    try:
        return 0 if work([RunFolder(root / id) for id in ids], train_one_thread, stop) else FAILED_CODE
    except Stopped:
        return STOPPED_CODE


def train_one_thread(folders: Sequence[RunFolder], stop: Stop) -> None:
    """`train_pack` with one thread, which makes metrics independent of the number of cores."""
    import torch

    from harness.training.training import train_pack

    torch.set_num_threads(1)
    keep_freed_memory()
    stop.check()
    extensions.provide((label for folder in folders for label in folder.run().extensions), folders[0].path.parent)
    train_pack(folders, stop)


def name_process(name: str) -> None:
    """Set the name that `ps` and `top` show for this process, of at most 15 bytes."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory, because every update needs the same megabytes again.

    By default glibc returns it to the kernel: packs of 4 to 8 runs then make 0.6 to 0.7 times the updates per second.
    Other C libraries are left unchanged.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, MALLOC_LIMIT)
        library.mallopt(M_TRIM_THRESHOLD, MALLOC_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
