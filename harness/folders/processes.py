"""Identify processes across restarts and reused process ids, and what of their environment changes numbers."""

import os
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

# Variables with which users and the modules of clusters choose how libraries compute: instructions, precision,
# reproducibility across processors. They change the last bits of metrics. OPENBLAS_CORETYPE is not among them, because
# OpenBLAS does not recognise the processors of all virtual machines.
NUMERIC_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "DNNL_", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS", "MKL_VML_MODE",
    "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "NVIDIA_TF32_OVERRIDE", "ONEDNN_",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip


def numeric_variables(names: Iterable[str]) -> list[str]:
    """The names among those of environment variables that change numbers (`NUMERIC_VARIABLES`)."""
    return [name for name in names if name.startswith(NUMERIC_VARIABLES)]


def this_process() -> dict[str, Any]:
    """What distinguishes this process from all others; None where the system does not tell."""
    return {**_scope(), "process": os.getpid(), "process_started": _look_up(os.getpid()).get("started")}


def has_ended(process: dict[str, Any]) -> bool:
    """Whether a process, as `this_process` described it, has certainly ended.

    That is so if its id is valid on this machine, and is unused or belongs to a later process or a zombie.
    """
    scope, number = _scope(), process.get("process")
    if scope["boot"] is None or any(process.get(name) != value for name, value in scope.items()):
        return False
    if not isinstance(number, int) or number < 1:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    current = _look_up(number)
    if not current:
        return False
    if process.get("process_started") not in (None, current["started"]):
        return True
    # The threads of a zombie may still be writing.
    return current["state"] in ("Z", "X") and current["threads"] <= 1


def peak_memory() -> int | None:
    """Peak memory of this process in bytes; None where the system does not tell.

    `getrusage` would include the parent's memory from before the exec.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


@cache
def _scope() -> dict[str, Any]:
    """The scope in which process ids are valid: the boot of a machine and its process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, namespace = None, None
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


def _look_up(number: int) -> dict[str, Any]:
    """State, number of threads, and start (clock ticks since boot) of a process; empty if it cannot be read."""
    try:
        # The name in brackets may contain brackets and spaces.
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {"state": fields[0], "threads": int(fields[17]), "started": int(fields[19])}
