"""The local pool: a bounded number of worker processes, each with one pack."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from harness.provenance import LAUNCHER_VARIABLE, PROJECT
from harness.run_folder import RunFolder
from harness.worker import PARENT_VARIABLE, STOPPED_CODE, leave, unfinished

# Seconds between two looks at the workers.
POLL_INTERVAL = 0.2

# Seconds a worker has to stop by itself before it is killed.
GRACE_PERIOD = 15.0

Pack = Sequence[RunFolder]

# Set before torch is imported, so that no library starts more threads than the one a worker computes with.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Worker:
    """A running worker process, its pack and the thread that copies what it says to its runs' logs."""

    process: subprocess.Popen[bytes]
    pack: Pack
    copier: threading.Thread


def run_packs(packs: Sequence[Pack], workers: int, watch: Callable[[], None] = lambda: None) -> None:
    """Train every pack, at most `workers` at a time; returns when all have come to an end, good or bad.

    What became of each run is in its folder: a pack that dies takes no other with it. `watch` is called several times
    a second. On any exception, Ctrl-C included, the workers are stopped first; their runs are left interrupted.
    """
    waiting = list(packs)
    active: list[Worker] = []
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                active.append(start(waiting.pop(0)))
            time.sleep(POLL_INTERVAL)
            for worker in [worker for worker in active if worker.process.poll() is not None]:
                active.remove(worker)
                settle(worker)
            watch()
    except BaseException:
        stop(active)
        raise


def start(pack: Pack) -> Worker:
    """Start the worker of one pack; all folders of a pack lie in one root."""
    command = [sys.executable, "-P", "-m", "harness.worker", str(pack[0].path.parent), *(folder.id for folder in pack)]
    search_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": search_path,
        PARENT_VARIABLE: str(os.getpid()),
        LAUNCHER_VARIABLE: "local pool",
    }
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Out of the terminal's group: Ctrl-C reaches the pool alone, which then stops its workers in order.
        process_group=0,
    )
    assert process.stdout is not None
    copier = threading.Thread(target=copy_output, args=(process.stdout, pack), daemon=True)
    copier.start()
    return Worker(process, pack, copier)


def copy_output(stream: IO[bytes], pack: Pack) -> None:
    """Append every line a worker says to the log of each of its runs."""
    for line in stream:
        for folder in pack:
            # A full disk is for the worker to report; the pipe must be drained all the same.
            with contextlib.suppress(OSError):
                folder.append_log(line.decode(errors="replace"))


def settle(worker: Worker) -> None:
    """After a worker's end: mark runs failed that it left without a word, as a crash or a kill does."""
    worker.copier.join(timeout=GRACE_PERIOD)
    if worker.process.returncode != STOPPED_CODE:
        for folder in unfinished(worker.pack):
            leave(folder, "failed", reason=ending(worker.process.returncode))


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"its worker ended with exit code {code} and said nothing more"
    name = signal.Signals(-code).name
    return f"its worker was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def stop(workers: Sequence[Worker]) -> None:
    """Stop workers: ask, wait, then kill. Unfinished runs are left interrupted."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE_PERIOD
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
    for worker in workers:
        worker.copier.join(timeout=1.0)
        for folder in unfinished(worker.pack):
            leave(folder, "interrupted")
