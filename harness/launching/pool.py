"""The local pool: a bounded number of worker processes, each with one pack."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from harness.errors import UserError, one_line
from harness.folders import attempts
from harness.folders.provenance import LAUNCHER_VARIABLE, PROJECT
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import WORKERS_VARIABLE
from harness.launching.worker import FAILED_CODE, PARENT_VARIABLE, STOPPED_CODE, ending, mark
from harness.training.kernels import PLACE_VARIABLE

# Seconds between two looks at the workers.
POLL_INTERVAL = 0.2

# Seconds a worker has to save its runs and stop by itself before it is killed.
GRACE_PERIOD = 60.0

# Seconds to wait for the last words of a worker that has ended.
COPIER_PERIOD = 15.0

# Signals by which somebody asks a process to end: no fault of the process.
REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Pack = Sequence[RunFolder]

# Set before torch is imported, so that no library starts more threads than the one a worker computes with.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Worker:
    """A running worker process, its pack and the thread that copies what it says to its runs' logs.

    `began` is when it was started, `stood` names every run's newest checkpoint then, by id. No two workers at a time
    have the same `place`.
    """

    process: subprocess.Popen[bytes]
    pack: Pack
    copier: threading.Thread
    began: float
    stood: dict[str, str]
    place: int = 0


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
                place = min(set(range(workers)) - {worker.place for worker in active})
                active.append(start(waiting.pop(0), workers, place))
            time.sleep(POLL_INTERVAL)
            for worker in [worker for worker in active if worker.process.poll() is not None]:
                active.remove(worker)
                settle(worker)
            watch()
    except BaseException:
        with undisturbed():
            stop(active)
        raise


def start(pack: Pack, workers: int = 1, place: int = 0) -> Worker:
    """Start the worker of one pack at its place among `workers`; all folders of a pack lie in one root."""
    began, stood = time.time(), {folder.id: folder.newest_checkpoint for folder in pack}
    arguments = [str(pack[0].path.parent), *(folder.id for folder in pack)]
    command = [sys.executable, "-P", "-m", "harness.launching.worker", *arguments]
    search_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": search_path,
        PARENT_VARIABLE: str(os.getpid()),
        WORKERS_VARIABLE: str(workers),
        PLACE_VARIABLE: str(place),
        LAUNCHER_VARIABLE: os.environ.get(LAUNCHER_VARIABLE, "local pool"),
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
    return Worker(process, pack, copier, began, stood, place)


def copy_output(stream: IO[bytes], pack: Pack) -> None:
    """Append every line a worker says to the log of each of its runs; what no disk takes is said on stderr."""
    for line in stream:
        text = line.decode(errors="replace")
        try:
            for folder in pack:
                folder.append_log(text)
        except OSError:
            with contextlib.suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)


def settle(worker: Worker, asked: bool = False) -> None:
    """After a worker's end: mark the runs that it left without a word, as a crash or a kill does.

    A run of which there is a newer checkpoint than the worker found is left interrupted: it will go on from there.
    Without progress it would only end in the same way again, so it is marked failed, unless the worker was `asked`.
    """
    worker.copier.join(timeout=COPIER_PERIOD)
    code = worker.process.returncode
    if code in (0, STOPPED_CODE):
        return
    asked = asked or -code in REQUESTS
    for folder in worker.pack:
        progress = folder.newest_checkpoint > worker.stood[folder.id]
        try:
            close(worker, folder, RunState.INTERRUPTED if asked or progress else RunState.FAILED, cause(code))
        except (OSError, UserError) as error:
            print(f"floorbench: error: {one_line(error)}", file=sys.stderr)


def close(worker: Worker, folder: RunFolder, state: RunState, reason: str) -> None:
    """Mark a run and end its attempt in the place of a worker that did not, if the run is in nobody's hands."""
    attempt = attempts.latest_attempt(folder.path)
    if attempt and (attempt.is_alive(time.time()) or attempt.details.get("ended", 0.0) >= worker.began):
        return
    if not attempt or attempt.details.get("process") != worker.process.pid or "ended" in attempt.details:
        # The worker ended before it took the run.
        if folder.state is not RunState.DONE:
            mark(folder, state, reason)
    elif worker.process.returncode != FAILED_CODE:
        # With that code the worker could not write, and said so.
        if folder.state not in (RunState.DONE, RunState.FAILED):
            mark(folder, state, reason)
        attempt.end(ending(folder.status()))


def cause(code: int) -> str:
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
        settle(worker, asked=True)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let no SIGINT or SIGTERM into the block: nobody else would finish what it leaves undone."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
