"""How fast a core of this machine is: its arithmetic and its interpreter.

`python -m algorithms.kernels.speed` prints both as JSON.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

from algorithms.kernels.build import KernelUnavailableError, build_folder, is_built, load_library

# Rounds of 12 vectors, and rounds of the interpreter's loop: about a millisecond each.
BURST, ROUNDS = 400_000, 20_000

# Bursts of which the best counts: others may compute on the same core.
BURSTS = 20


@dataclass(frozen=True)
class Speed:
    """The speed of a core.

    Attributes:
        arithmetic: floating-point operations per second of fused multiply-adds; None without the C++ kernels.
        interpreter: rounds of a loop of Python per second.
    """

    arithmetic: float | None
    interpreter: float


@cache
def machine_speed() -> Speed:
    """The speed of this machine, measured once per type of machine and kept beside the kernels that were built for it.

    Without kernels only that of the interpreter is measured.
    """
    if not is_built():
        return Speed(None, best(interpreter_rate))
    file = build_folder() / f"speed-{sys.version_info.major}.{sys.version_info.minor}.json"
    try:
        return Speed(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        speed = measured() if "torch" in sys.modules else _measured_elsewhere()
    if speed.arithmetic is not None:
        # A cache that cannot be written costs the same measurement again.
        with contextlib.suppress(OSError):
            temporary = file.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(asdict(speed)), encoding="utf-8")
            temporary.replace(file)
    return speed


def measured() -> Speed:
    """Measure the speed of this machine; takes some hundredths of a second once torch has been imported."""
    try:
        load_library()
    except KernelUnavailableError:
        return Speed(None, best(interpreter_rate))
    return Speed(fma_peak(), best(interpreter_rate))


def _measured_elsewhere() -> Speed:
    """The same by another process, so that this one need not import torch."""
    command = [sys.executable, "-P", "-m", __name__]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        return Speed(**json.loads(done.stdout))
    except (ValueError, TypeError):
        return Speed(None, best(interpreter_rate))


def fma_rate(clock: Callable[[], float] = time.process_time) -> float:
    """Floating-point operations per second in a burst of about a millisecond."""
    import torch

    load_library()
    start = clock()
    operations = torch.ops.floorbench.multiply_add(BURST)
    return operations / (clock() - start)


def fma_peak() -> float:
    """The best of several bursts."""
    return best(fma_rate)


def interpreter_rate(clock: Callable[[], float] = time.process_time) -> float:
    """Rounds of a loop with a dictionary and floating-point numbers per second."""
    counts: dict[int, float] = {}
    start = clock()
    for number in range(ROUNDS):
        place = number & 255
        counts[place] = counts.get(place, 0.0) + 0.5 * number
    return ROUNDS / (clock() - start)


def best(rate: Callable[[], float]) -> float:
    """The largest of `BURSTS` measurements."""
    return max(rate() for _ in range(BURSTS))


if __name__ == "__main__":
    print(json.dumps(asdict(measured())))
