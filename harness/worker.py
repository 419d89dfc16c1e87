"""A worker: one process, one thread, one pack.

`python -m harness.worker ROOT RUN_ID...` trains the named runs and leaves everything in their folders; its exit code
is 0 if every run came to its end, 1 if one failed, 130 if a signal stopped it. The local pool starts it, and so can a
cluster.
"""

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
from typing import Any, NoReturn

from harness.errors import one_line
from harness.run_folder import RunFolder

# Process id of the pool that started this worker; the worker ends when the pool is gone.
PARENT_VARIABLE = "FLOORBENCH_PARENT"

# Exit code of a worker that was stopped by a signal.
STOPPED_CODE = 130

# Options of glibc's mallopt, and the bytes below which memory is neither mapped apart nor given back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MALLOC_LIMIT = 2**30

Train = Callable[[Sequence[RunFolder]], None]


class Stopped(BaseException):
    """The worker was asked to stop; not an error, so no `except Exception` may hold it up."""


def work(folders: Sequence[RunFolder], train: Train) -> bool:
    """Train the runs of one pack that are neither done nor in another process's hands.

    Whatever breaks the pack marks its unfinished runs failed with one line, the traceback going to their logs; a
    signal leaves them interrupted and is passed on as `Stopped`.
    Returns whether every run of the pack is done or somebody else's.
    """
    locks = [folder.lock() for folder in folders]
    mine = [folder for folder, lock in zip(folders, locks, strict=True) if lock and folder.status()["state"] != "done"]
    try:
        if mine:
            for folder in mine:
                folder.write_status("running", phase="starting", step=0, share=0.0, updates_per_second=0.0)
            train(mine)
    except Stopped:
        for folder in unfinished(mine):
            leave(folder, "interrupted")
        raise
    except Exception as error:
        for folder in unfinished(mine):
            folder.append_log(traceback.format_exc())
            leave(folder, "failed", reason=one_line(error))
    finally:
        for lock in locks:
            if lock:
                lock.close()
    return all(folder.status()["state"] == "done" for folder in mine)


def unfinished(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """The folders whose run has not come to its end, has not been marked failed and is in no other process's hands."""

    def is_open(status: dict[str, Any]) -> bool:
        elsewhere = status["state"] == "running" and status.get("process") != os.getpid()
        return status["state"] not in ("done", "failed") and not elsewhere

    return [folder for folder in folders if is_open(folder.status())]


def leave(folder: RunFolder, state: str, **values: str) -> None:
    """Change a run's state; phase, step and share stay, so that one sees how far it came."""
    before = folder.status()
    kept = {name: before[name] for name in ("phase", "step", "share") if name in before}
    folder.write_status(state, **kept, **values)


def stop_on_signals() -> None:
    """Turn the first SIGINT or SIGTERM into `Stopped` in the main thread; later ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for either in (signal.SIGINT, signal.SIGTERM):
            signal.signal(either, signal.SIG_IGN)
        raise Stopped

    for either in (signal.SIGINT, signal.SIGTERM):
        signal.signal(either, stop)


def stop_with_parent(parent: int) -> None:
    """Stop this process soon after process `parent` has ended: no orphan goes on computing unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """The worker of the command line; returns its exit code."""
    if len(sys.argv) < 3:
        print("usage: python -m harness.worker ROOT RUN_ID...", file=sys.stderr)
        return 2
    root, *ids = sys.argv[1:]
    try:
        stop_on_signals()
        if PARENT_VARIABLE in os.environ:
            stop_with_parent(int(os.environ[PARENT_VARIABLE]))
        return 0 if work([RunFolder(Path(root) / id) for id in ids], train_one_thread) else 1
    except Stopped:
        return STOPPED_CODE


def train_one_thread(folders: Sequence[RunFolder]) -> None:
    """`train_pack` with the one thread that makes a run's bits independent of the machine's number of cores."""
    import torch

    from harness.training import train_pack

    torch.set_num_threads(1)
    keep_freed_memory()
    train_pack(folders)


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
