"""Time relative to what the core's multiply-add peak would need, comparable between machines: `make bench-compare`.

The stored "seconds" are such ratios: 1.25 means 80% of the peak. Compare the minimum: the best round against the best
burst of multiply-adds, for on most machines others compute at times.
"""

import time

import pytest

from algorithms.kernels.speed import fma_rate
from harness.training.kernels import PACK_LIMIT
from tests.benchmarks.peers.peak import critic_work, update_work
from tests.benchmarks.peers.sizes import SIZES


class PeakClock:
    """CPU time in units of the time that the work would take at the peak, the best burst so far."""

    peak = scale = 1.0

    def __call__(self) -> float:
        return time.process_time() * self.scale

    def adjust(self, operations: int, bursts: int = 1) -> None:
        """Measure the peak again, and set the unit for work of so many operations."""
        self.peak = max(self.peak, *(fma_rate() for _ in range(bursts)))
        self.scale = self.peak / operations


clock = PeakClock()
pytestmark = pytest.mark.benchmark(timer=clock)


# Runs of the pack and rounds: some seconds for each size.
PACKS = {"demo": (PACK_LIMIT, 1500), "reference": (1, 60)}


@pytest.mark.parametrize("size", PACKS)
@pytest.mark.parametrize("part", [critic_work, update_work], ids=["critic", "update"])
def test_ratio_to_the_peak(benchmark, part, size):
    runs, rounds = PACKS[size]
    work, operations = part(SIZES[size], runs)
    clock.adjust(operations, bursts=300)
    benchmark.pedantic(work, setup=lambda: clock.adjust(operations), rounds=rounds, warmup_rounds=2)
    benchmark.extra_info |= {"runs": runs, "share_of_peak": 1 / benchmark.stats.stats.min}
