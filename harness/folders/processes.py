"""Which process it was, and whether it is still there: numbers alone are given out again."""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What tells this process from every other; what the system does not tell is None."""
    return {**_whereabouts(), "process": os.getpid(), "process_started": _look_up(os.getpid()).get("started")}


def has_ended(process: dict[str, Any]) -> bool:
    """Whether what `this_process` said in some process provably is true no more.

    It is if its number means something here, and belongs to nobody, to a process with another start or to a zombie.
    """
    here, number = _whereabouts(), process.get("process")
    if here["boot"] is None or any(process.get(name) != value for name, value in here.items()):
        return False
    if not isinstance(number, int) or number < 1:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    found = _look_up(number)
    if not found:
        return False
    if process.get("process_started") not in (None, found["started"]):
        return True
    # While a zombie has threads they may still be at their last write.
    return found["state"] in ("Z", "X") and found["threads"] <= 1


def peak_memory() -> int | None:
    """Bytes of memory that this process has held at most; None where the system does not tell.

    What getrusage tells instead counts that of the parent before this program began.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


@cache
def _whereabouts() -> dict[str, Any]:
    """Where numbers of processes mean the same as here: one start of one machine, and one namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, namespace = None, None
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


def _look_up(number: int) -> dict[str, Any]:
    """State, number of threads, and start (clock ticks since the machine's) of a process; empty if not to be seen."""
    try:
        # The name in brackets may itself hold brackets and spaces.
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {"state": fields[0], "threads": int(fields[17]), "started": int(fields[19])}
