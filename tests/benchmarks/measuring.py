"""Time a part of an update; print the result and store it in the JSON of pytest-benchmark."""

import time
from collections.abc import Callable
from typing import Any

from algorithms.kernels.speed import fma_peak
from tests.benchmarks.shapes import update_seconds


class Meter:
    """Times parts of an update in CPU time of the process, which other processes do not affect."""

    def __init__(self, benchmark: Any, capsys: Any, seconds: float):
        self.benchmark, self.capsys, self.seconds = benchmark, capsys, seconds

    def measure(
        self, work: Callable[[], Any], operations: int | None = None, case: tuple[str, int, str] | None = None
    ) -> Any:
        """Time `work` and return its result; `operations` is the number of those that it needs.

        The peak is measured before and after, because machines change their speed.

        With `case` (shape, runs of the pack, kernel), also report the share of that pack's update.
        """
        before = fma_peak()
        start = time.process_time()
        result = work()
        rounds = max(3, int(self.seconds / max(time.process_time() - start, 1e-6)))
        self.benchmark.pedantic(work, rounds=min(rounds, 20_000), warmup_rounds=1)
        median = self.benchmark.stats.stats.median
        parts = [f"{1e6 * median:,.1f} us"]
        info = self.benchmark.extra_info
        if operations is not None:
            speed, peak = operations / median, max(before, fma_peak())
            info |= {"gflops": speed / 1e9, "peak_gflops": peak / 1e9, "share_of_peak": speed / peak}
            parts.append(f"{speed / 1e9:.1f} GFLOP/s, {speed / peak:.0%} of {peak / 1e9:.1f}")
        if case is not None:
            shape, runs, kernel = case
            share = median / update_seconds(*case)
            info |= {"shape": shape, "runs": runs, "kernel": kernel, "share_of_update": share}
            parts.append(f"{share:.0%} of an update, {1e6 * median / runs:,.1f} us per run")
        with self.capsys.disabled():
            print(f"\n{self.benchmark.name}: {'; '.join(parts)}")
        return result
