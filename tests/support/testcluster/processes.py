"""Which processes belong to a test cluster. The system is asked, so a file with numbers in it cannot mislead."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# In the environment of every daemon of a cluster: the cluster's folder, and which daemon it is.
FOLDER_VARIABLE = "FLOORBENCH_TESTCLUSTER"
DAEMON_VARIABLE = "FLOORBENCH_TESTCLUSTER_DAEMON"

# Children of daemons that inherit their marks, and then write their titles over them, or over a part; they are known
# by the folder they run in.
TITLED = ("slurmstepd", "slurmscriptd")

# Seconds between two looks.
INTERVAL = 0.02

# What the system adds to the name of a folder that is no more.
DELETED = " (deleted)"


@dataclass(frozen=True)
class Process:
    """A living process: its number, its parent's, its program's name, the folder it runs in, its environment."""

    number: int
    parent: int
    program: str
    folder: str
    environment: dict[str, str]

    @property
    def daemon(self) -> str:
        """Which daemon of a cluster it is, or nothing."""
        return "" if self.program.startswith(TITLED) else self.environment.get(DAEMON_VARIABLE, "")


def running() -> list[Process]:
    """All processes, without zombies."""
    return [found for name in os.listdir("/proc") if name.isdigit() and (found := _look_up(int(name)))]


def folders_of_clusters() -> set[Path]:
    """Folders of the clusters that have a daemon running."""
    return {Path(found.environment[FOLDER_VARIABLE]) for found in running() if FOLDER_VARIABLE in found.environment}


def of_cluster(folder: Path) -> list[Process]:
    """The daemons of the cluster in `folder`, its job steps, and whatever its jobs have started."""
    everyone = running()
    members = {found.number: found for found in everyone if _is_member(found, folder)}
    while more := [found for found in everyone if found.parent in members and found.number not in members]:
        members |= {found.number: found for found in more}
    return list(members.values())


def end(found: Sequence[Process], patience: float) -> None:
    """Ask processes to end; returns when they have, or after so many seconds."""
    for process in found:
        _send(process, signal.SIGTERM)
    wait_until(lambda: not any(is_alive(process.number) for process in found), patience)


def kill(found: Sequence[Process]) -> bool:
    """Kill processes; whether there were any."""
    for process in found:
        _send(process, signal.SIGKILL)
    return bool(found)


def is_alive(number: int) -> bool:
    """Whether a process with this number does anything: a zombie does not."""
    return _look_up(number) is not None


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, for so long at most; whether it does."""
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
    # A shell in which somebody merely talks to the cluster has the first without the second.
    return environment.get("SLURM_CONF") == str(folder / "etc" / "slurm.conf") and "SLURM_JOB_ID" in environment


def _look_up(number: int) -> Process | None:
    """None if there is no such process, or only its zombie. Folder and environment of other users' stay empty."""
    place = Path("/proc", str(number))
    try:
        # The name in brackets may itself hold brackets and spaces.
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
