"""The fork server of a pool: a process that imports once what all workers need, and forks them.

A fork starts in a few hundredths of a second, a new interpreter in one to three seconds. Each worker is forked by a
process that ends at once, so that the pool, which is the subreaper of its descendants meanwhile, becomes its parent:
exit codes, signals and the check for the parent are those of a worker that the pool has started itself. With the fork
server of `multiprocessing`, the server would be the parent, and keep the environment variables of its first use.

The server computes nothing: forking is safe only before threads, GPUs and random generators are used.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.folders.provenance import attempt_details
from harness.launching import worker
from harness.training.kernels import PLACE_VARIABLE

# What workers import, apart from the environments of some tasks.
IMPORTED = ("harness.training.training", "gymnasium_robotics")

# Options of Linux's prctl.
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37

# Seconds within which the server must have forked, and between two looks at a process.
FORK_PERIOD, POLL_INTERVAL = 30.0, 0.02

# Maximum bytes of a message.
MESSAGE_LIMIT = 2**16

READY = b"ready"


class Forked:
    """A worker that was forked by the server, with the interface of `subprocess.Popen`."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # As subprocess does where the system reaps children because SIGCHLD is ignored.
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(POLL_INTERVAL)
        return code

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The pool's side. Where the server cannot fork, for whatever reason, workers must be started otherwise."""

    def __init__(self, environment: Mapping[str, str]):
        """Start the process with these environment variables; it then imports for a while."""
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "harness.launching.fork_server", str(other.fileno())]
        with other:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # What cannot be imported is reported by the worker that is started instead.
                stderr=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                process_group=0,
            )
        self._is_ready = False

    @property
    def is_starting(self) -> bool:
        """Whether it is still importing."""
        if not self._is_ready and not self.has_ended:
            try:
                self._is_ready = self._connection.recv(MESSAGE_LIMIT, socket.MSG_DONTWAIT) == READY
            except BlockingIOError:
                return True
            except OSError:
                pass
            if not self._is_ready:
                self.close()
        return False

    @property
    def has_ended(self) -> bool:
        """Whether it cannot fork any more."""
        return self._connection.fileno() < 0

    def fork(self, root: Path, ids: Sequence[str], place: int, output: int) -> Forked | None:
        """A new worker for these runs that writes to the file descriptor `output`; None if there can be none."""
        if self.has_ended:
            return None
        request = json.dumps({"root": str(root), "ids": list(ids), "place": place}).encode()
        try:
            self._connection.settimeout(FORK_PERIOD)
            with subreaper():
                socket.send_fds(self._connection, [request], [output])
                answer = self._connection.recv(MESSAGE_LIMIT)
        except OSError:
            answer = b""
        if not answer:
            self.close()
            return None
        return Forked(int(answer))

    def close(self) -> None:
        """End the process; its workers go on."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def subreaper() -> Iterator[None]:
    """In the block, make this process the parent of its descendants whose parents end."""
    library = ctypes.CDLL(None)
    before = ctypes.c_int()
    library.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        library.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def main() -> int:
    """The server's command line, which also becomes that of its workers; returns the exit code."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    worker.name_process("fork server")
    for name in IMPORTED:
        if find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    # The code that workers run is the code of this moment, and so is the version that they record.
    attempt_details()
    if len(os.listdir("/proc/self/task")) > 1 or threading.active_count() > 1:
        return 1
    # Keeps memory shared: the collector writes to what it looks at.
    gc.collect()
    gc.freeze()
    connection.send(READY)
    while True:
        request, outputs, *_ = socket.recv_fds(connection, MESSAGE_LIMIT, 1)
        if not request:
            return 0
        if fork_orphan():
            return run_worker(connection, outputs[0], **json.loads(request))
        os.close(outputs[0])


def fork_orphan() -> bool:
    """Fork; True in the new process, whose parent has ended. Raises OSError in this one if it is impossible."""
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            raise ChildProcessError("worker: cannot be forked")
        return False
    parent = os.getpid()
    try:
        is_parent = os.fork() > 0
    except OSError:
        os._exit(1)
    if is_parent:
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.001)
    return True


def run_worker(connection: socket.socket, output: int, root: str, ids: Sequence[str], place: int) -> int:
    """Tell the pool the process id, then do what `python -m harness.launching.worker ROOT RUN_ID...` does."""
    os.setpgid(0, 0)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.close(output)
    os.environ[PLACE_VARIABLE] = str(place)
    with connection:
        is_adopted = os.getppid() == int(os.environ[worker.PARENT_VARIABLE])
        connection.send(str(os.getpid()).encode() if is_adopted else b"")
    return worker.compute(Path(root), ids) if is_adopted else worker.STOPPED_CODE


if __name__ == "__main__":
    sys.exit(main())
