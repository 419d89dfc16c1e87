"""The limits of this machine, which the other benchmarks are compared with."""

import time

import pytest
import torch

from algorithms.kernels.speed import fma_peak, fma_rate
from tests.benchmarks.machine import memory_sizes, read_rate, sustained_fma_rate

pytestmark = pytest.mark.benchmark(timer=time.process_time)

# After so long a processor has reached the frequency that it can sustain.
SUSTAINED_SECONDS = 10.0


def report(benchmark, capsys, text, **info):
    benchmark.extra_info |= info
    with capsys.disabled():
        print(f"\n{benchmark.name}: {text}")


def test_multiply_add(benchmark, capsys):
    """Fused multiply-adds in registers: bursts, and after ten seconds."""
    benchmark.pedantic(fma_rate, rounds=10)
    peak, sustained = fma_peak(), sustained_fma_rate(SUSTAINED_SECONDS)
    report(
        benchmark,
        capsys,
        f"{peak / 1e9:.1f} GFLOP/s, {sustained / 1e9:.1f} after {SUSTAINED_SECONDS:.0f} s",
        gflops=peak / 1e9,
        peak_gflops=peak / 1e9,
        share_of_peak=1.0,
        sustained_gflops=sustained / 1e9,
    )


@pytest.mark.parametrize("level", memory_sizes())
def test_read(benchmark, capsys, level):
    """Bandwidth of reading, by one core."""
    memory = torch.zeros(memory_sizes()[level] // 4)
    rate = benchmark.pedantic(lambda: read_rate(memory), rounds=1)
    report(benchmark, capsys, f"{rate / 1e9:.1f} GB/s", gigabytes_per_second=rate / 1e9)
