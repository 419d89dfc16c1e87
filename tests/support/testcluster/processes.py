"""The processes of a test cluster, identified through /proc rather than through PID files."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Variables in the environment of every daemon: the directory of its cluster, and its name.
FOLDER_VARIABLE = "FLOORBENCH_TESTCLUSTER"
DAEMON_VARIABLE = "FLOORBENCH_TESTCLUSTER_DAEMON"

# Children of daemons whose process title overwrites the inherited environment; identified by their working directory.
TITLED = ("slurmstepd", "slurmscriptd")

# Seconds between two checks.
INTERVAL = 0.02

# Suffix of a deleted directory in /proc.
DELETED = " (deleted)"


@dataclass(frozen=True)
class Process:
    """A running process: PID, parent PID, program, working directory, environment."""

    number: int
    parent: int
    program: str
    folder: str
    environment: dict[str, str]

    @property
    def daemon(self) -> str:
        """The name of the daemon, or an empty string."""
        return "" if self.program.startswith(TITLED) else self.environment.get(DAEMON_VARIABLE, "")


def running() -> list[Process]:
    """All processes except zombies."""
    return [process for name in os.listdir("/proc") if name.isdigit() and (process := _look_up(int(name)))]


def folders_of_clusters() -> set[Path]:
    """Directories of clusters with a running daemon."""
    return {
        Path(process.environment[FOLDER_VARIABLE]) for process in running() if FOLDER_VARIABLE in process.environment
    }


def of_cluster(folder: Path) -> list[Process]:
    """The daemons of the cluster in `folder`, its job steps, and all their descendants."""
    processes = running()
    members = {process.number: process for process in processes if _is_member(process, folder)}
    while children := [item for item in processes if item.parent in members and item.number not in members]:
        members |= {process.number: process for process in children}
    return list(members.values())


def end(processes: Sequence[Process], timeout: float) -> None:
    """Terminate processes and wait until they have ended, at most `timeout` seconds."""
    for process in processes:
        _send(process, signal.SIGTERM)
    wait_until(lambda: not any(is_alive(process.number) for process in processes), timeout)


def kill(processes: Sequence[Process]) -> bool:
    """Kill processes; returns whether there were any."""
    for process in processes:
        _send(process, signal.SIGKILL)
    return bool(processes)


def is_alive(number: int) -> bool:
    """Whether a process exists and is not a zombie."""
    return _look_up(number) is not None


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, at most `seconds`; returns whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(INTERVAL)
    return True


def _is_member(process: Process, folder: Path) -> bool:
    environment = process.environment
    if environment.get(FOLDER_VARIABLE) == str(folder):
        return True
    if process.program.startswith(TITLED):
        return process.folder.removesuffix(DELETED) == str(folder / "run")
    # A shell that only uses the cluster has the first variable, but not the second.
    return environment.get("SLURM_CONF") == str(folder / "etc" / "slurm.conf") and "SLURM_JOB_ID" in environment


def _look_up(number: int) -> Process | None:
    """The process, or None if it does not exist or is a zombie. Fields that may not be read stay empty."""
    place = Path("/proc", str(number))
    try:
        # The name in parentheses may contain parentheses and spaces.
        before, _, after = (place / "stat").read_text().rpartition(")")
    except OSError:
        return None
    state, parent = after.split()[:2]
    if state in ("Z", "X"):
        return None
    folder, environment = "", b""
    with contextlib.suppress(OSError):
        folder = os.readlink(place / "cwd")
        environment = (place / "environ").read_bytes()
    pairs = (entry.partition("=") for entry in os.fsdecode(environment).split("\0"))
    return Process(number, int(parent), before.partition("(")[2], folder, {name: value for name, _, value in pairs})


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.number, number)
