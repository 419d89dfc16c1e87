"""Processes that measure on request how much they compute in some seconds. Standard library only.

All sides are started first and then measured in turn, so that changes in the machine's speed affect all of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]

# Updates before the first measurement.
WARM_UP = 20

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def serve(update: Callable[[], int], warm_up: int = WARM_UP) -> None:
    """Answer requests on stdin; `update` makes some updates and returns how many. Starts with `warm_up` calls."""

    def updates_per_second(seconds: float) -> float:
        end = (begin := time.perf_counter()) + seconds
        updates = 0
        while time.perf_counter() < end:
            updates += update()
        return updates / (time.perf_counter() - begin)

    for _ in range(warm_up):
        update()
    answer(updates_per_second)


def answer(measure: Callable[[float], float]) -> None:
    """Answer requests on stdin with `measure(seconds)`."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(float(line))), flush=True)


class Side:
    """The processes of one side, one per core."""

    def __init__(self, python: str, module: str, arguments: list[str], cores: list[int]):
        # Shown only if a process fails, because some packages always print warnings.
        self.stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the processes)
        self.processes = [self._start([python, "-m", module, *arguments], core) for core in cores]
        for process in self.processes:
            self._read(process)

    def measure(self, seconds: float) -> float:
        """Mean of the processes' results (updates per second); all of them compute at the same time."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        return sum(self._read(process) for process in self.processes) / len(self.processes)

    def end(self) -> None:
        """Kill the processes."""
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, command: list[str], core: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, **ONE_THREAD},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )

    def _read(self, process: subprocess.Popen[str]) -> float:
        """The next JSON line; other lines are output of libraries."""
        assert process.stdout is not None
        for line in process.stdout:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            return 0.0 if value == "ready" else float(value)
        code = process.wait()
        self.stderr.seek(0)
        raise RuntimeError(f"{' '.join(map(str, process.args))}: exit code {code}\n{self.stderr.read()}")
