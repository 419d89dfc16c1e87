"""The local pool: a bounded number of worker processes, each of which trains one pack."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO

from harness.errors import UserError, one_line
from harness.folders import attempts
from harness.folders.processes import numeric_variables
from harness.folders.provenance import LAUNCHER_VARIABLE, PROJECT
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import WORKERS_VARIABLE
from harness.launching.fork_server import Forked, ForkServer
from harness.launching.prefixes import startable
from harness.launching.worker import FAILED_CODE, PARENT_VARIABLE, STOPPED_CODE, ending, mark
from harness.training.kernels import PLACE_VARIABLE, uses_gpu

# Seconds between two checks of the workers.
POLL_INTERVAL = 0.2

# Seconds that a worker has to save its runs before it is killed.
GRACE_PERIOD = 60.0

# Seconds to wait for the remaining output of a worker that has ended.
COPIER_PERIOD = 15.0

# Number of runs that end for the same reason, before any is done, after which no more are started.
FAILURE_LIMIT = 20

# Signals that ask a process to stop; ending by one of them is not a failure.
REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Pack = Sequence[RunFolder]

# Set before torch is imported, so that no library starts more than one thread.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Worker:
    """A running worker process, its pack and the thread that copies its output to the logs of the runs.

    `began` is the time of its start, and `checkpoints` the newest checkpoint of every run at that time, by id. Workers
    that run at the same time have different `place`s.
    """

    process: subprocess.Popen[bytes] | Forked
    pack: Pack
    copier: threading.Thread
    began: float
    checkpoints: dict[str, str]
    place: int = 0


class Failures:
    """Counts runs that ended without being done, by reason, until one is done."""

    def __init__(self, limit: int):
        """`limit`: number of runs with the same reason after which no more are started; 0: never."""
        self.limit = limit
        self.reasons: Counter[str] = Counter()
        self._one_is_done = False

    def add(self, pack: Pack) -> None:
        """Count the runs of a pack that has ended."""
        for folder in pack:
            try:
                status = folder.status()
            except UserError:
                continue
            self._one_is_done |= status["state"] == RunState.DONE
            if status["state"] in (RunState.FAILED, RunState.INTERRUPTED) and status.get("reason"):
                self.reasons[kind_of(status["reason"])] += 1

    @property
    def repeated(self) -> str | None:
        """The reason that has reached the limit; None if there is none or a run is done."""
        if self._one_is_done or not self.limit:
            return None
        return next((reason for reason, count in self.reasons.items() if count >= self.limit), None)


def kind_of(reason: str) -> str:
    """A reason without the ids and numbers in which the runs differ."""
    return re.sub(r"\b[0-9a-f]{12}\b|\d+(\.\d+)?", "*", reason)


def run_packs(
    packs: Sequence[Pack], workers: int, watch: Callable[[], None] = lambda: None, failures: Failures | None = None
) -> str | None:
    """Train every pack, at most `workers` at a time, and return when all have ended.

    If as many runs end for the same reason as `failures` allows, no more are started, and the reason is returned.
    The results are in the run folders, and a pack that crashes affects no other, except that runs wait for their
    prefixes. `watch` is called several times a second. After any exception, including Ctrl-C, the workers are stopped
    and their runs left interrupted.
    """
    waiting = list(packs)
    active: list[Worker] = []
    failures = failures or Failures(0)
    with one_interrupt():
        _run(waiting, active, workers, watch, failures)
    return failures.repeated


def _run(
    waiting: list[Pack], active: list[Worker], workers: int, watch: Callable[[], object], failures: Failures
) -> None:
    server = ForkServer(environment_of(workers)) if any(map(is_forkable, waiting)) else None
    try:
        while waiting or active:
            while not is_starting(server) and len(active) < workers and (pack := next_pack(waiting, active)):
                place = min(set(range(workers)) - {worker.place for worker in active})
                with postponed():
                    active.append(start(pack, workers, place, server))
            if server and not waiting:
                # Frees its memory.
                server.close()
            time.sleep(POLL_INTERVAL)
            for worker in [worker for worker in active if worker.process.poll() is not None]:
                active.remove(worker)
                settle(worker)
                failures.add(worker.pack)
            if failures.repeated:
                waiting.clear()
            watch()
    except BaseException:
        with undisturbed():
            stop(active)
        raise
    finally:
        if server:
            server.close()


def is_starting(server: ForkServer | None) -> bool:
    """Whether workers must wait for the server that will fork them."""
    return server is not None and server.is_starting


def is_forkable(pack: Pack) -> bool:
    """Whether a pack's worker can be forked: those that use a GPU, or report a damaged folder, are started afresh."""
    try:
        return not uses_gpu([folder.run() for folder in pack])
    except (OSError, UserError):
        return False


def next_pack(waiting: list[Pack], active: Sequence[Worker]) -> Pack | None:
    """Take the first pack that need not wait for a prefix, without the runs whose prefix has failed; None without any.

    Packs without any run left are dropped.
    """
    pending = {folder.path for pack in (*waiting, *(worker.pack for worker in active)) for folder in pack}
    for pack in list(waiting):
        runs = startable(pack, pending)
        if runs is not None:
            waiting.remove(pack)
            if runs:
                return runs
    return None


@contextlib.contextmanager
def one_interrupt() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM in the block from the moment on at which the handler of one has raised an exception.

    Without this, a second signal could arrive before `undisturbed` and leave workers behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
        try:
            handler(number, frame)
        except BaseException:
            for other in before:
                signal.signal(other, signal.SIG_IGN)
            raise

    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(pack: Pack, workers: int = 1, place: int = 0, server: ForkServer | None = None) -> Worker:
    """Start the worker of one pack, whose folders are in one root: forked by the `server` if possible, else afresh."""
    began, checkpoints = time.time(), {folder.id: folder.newest_checkpoint for folder in pack}
    root, ids = pack[0].path.parent, [folder.id for folder in pack]
    reading, writing = os.pipe()
    try:
        forked = server.fork(root, ids, place, writing) if server and is_forkable(pack) else None
        process = forked or subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.launching.worker", str(root), *ids],
            env={**environment_of(workers), PLACE_VARIABLE: str(place)},
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            # In another process group, so that Ctrl-C reaches only the pool, which stops its workers.
            process_group=0,
        )
    finally:
        os.close(writing)
    copier = threading.Thread(target=copy_output, args=(os.fdopen(reading, "rb"), pack), daemon=True)
    copier.start()
    return Worker(process, pack, copier, began, checkpoints, place)


def environment_of(workers: int) -> dict[str, str]:
    """The environment variables of the workers of a pool, without their places."""
    search_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    dropped = numeric_variables(os.environ)
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        **ONE_THREAD,
        "PYTHONPATH": search_path,
        PARENT_VARIABLE: str(os.getpid()),
        WORKERS_VARIABLE: str(workers),
        LAUNCHER_VARIABLE: os.environ.get(LAUNCHER_VARIABLE, "local pool"),
    }


def copy_output(stream: IO[bytes], pack: Pack) -> None:
    """Append every line of a worker's output to the logs of its runs, or print it if they cannot be written."""
    with stream:
        for line in stream:
            text = line.decode(errors="replace")
            try:
                for folder in pack:
                    folder.append_log(text)
            except OSError:
                with contextlib.suppress(OSError):
                    print(text, end="", file=sys.stderr, flush=True)


def settle(worker: Worker, asked: bool = False) -> None:
    """After a worker's end, mark the runs whose end it did not record, as after a crash.

    A run with a newer checkpoint than at the worker's start is left interrupted and can be resumed. A run without
    progress would only fail again, so it is marked failed, unless the worker was `asked` to stop.
    """
    worker.copier.join(timeout=COPIER_PERIOD)
    code = worker.process.returncode
    assert code is not None
    if code in (0, STOPPED_CODE):
        return
    asked = asked or -code in REQUESTS
    for folder in worker.pack:
        progress = folder.newest_checkpoint > worker.checkpoints[folder.id]
        try:
            close(worker, folder, RunState.INTERRUPTED if asked or progress else RunState.FAILED, cause(code))
        except (OSError, UserError) as error:
            print(f"floorbench: error: {one_line(error)}", file=sys.stderr)


def close(worker: Worker, folder: RunFolder, state: RunState, reason: str) -> None:
    """Mark a run and end its attempt on behalf of a worker that did not, unless another process owns the run."""
    attempt = attempts.latest_attempt(folder.path)
    if attempt and (attempt.is_alive(time.time()) or attempt.details.get("ended", 0.0) >= worker.began):
        return
    if not attempt or attempt.details.get("process") != worker.process.pid or "ended" in attempt.details:
        # The worker ended before it owned the run.
        if folder.state is not RunState.DONE:
            mark(folder, state, reason)
    elif worker.process.returncode != FAILED_CODE:
        # With this code the worker could not write, and has reported it.
        if folder.state not in (RunState.DONE, RunState.FAILED):
            mark(folder, state, reason)
        attempt.end(ending(folder.status()))


def cause(code: int) -> str:
    """Describe why a worker ended."""
    if code >= 0:
        return f"worker exited with code {code} without reporting an error"
    name = signal.Signals(-code).name
    return f"worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def stop(workers: Sequence[Worker]) -> None:
    """Stop workers: terminate, wait, then kill. Unfinished runs are left interrupted."""
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
def postponed() -> Iterator[None]:
    """Handle SIGINT and SIGTERM only after the block, in which a worker starts.

    An exception of their handlers would lose a worker that runs already, which no one would stop or wait for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, lambda number, frame: received.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM during a block that must complete."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
