"""What a core of this machine can do at most: fused multiply-adds with its widest registers, and reading memory."""

import time
from pathlib import Path

import torch

from algorithms.kernels.build import load_library
from algorithms.kernels.speed import fma_rate

# Bytes to read for the bandwidth of the memory, more than the caches of most machines.
MEMORY_BYTES = 1 << 29


def sustained_fma_rate(seconds: float) -> float:
    """Median rate in the last tenth of `seconds` of bursts; processors lower their frequency under load."""
    end = (begin := time.perf_counter()) + seconds
    rates = []
    while (now := time.perf_counter()) < end:
        rate = fma_rate()
        if now > begin + 0.9 * seconds:
            rates.append(rate)
    return sorted(rates)[len(rates) // 2]


def memory_sizes() -> dict[str, int]:
    """Bytes to read for the bandwidth of each level: half of the first two caches, if known, and the memory."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (folder.joinpath(name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and level in ("1", "2"):
            sizes[f"cache {level}"] = int(size.removesuffix("K")) * 1024 // 2
    return {**sizes, "memory": MEMORY_BYTES}


def read_rate(memory: torch.Tensor) -> float:
    """Bytes per second of reading a tensor of floats; the best of ten."""
    load_library()
    rounds = max(1, (1 << 22) // memory.numel())

    def once() -> float:
        start = time.process_time()
        return torch.ops.floorbench.read_memory(memory, rounds) / (time.process_time() - start)

    return max(once() for _ in range(10))
