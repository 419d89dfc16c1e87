"""Measure all sides in one run, in turn, and print medians as one JSON line on stdout; progress goes to stderr.

Updates per second and core; `critic_gemm_share`: the critic kernel's operations per second over those of torch's matrix
product.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from statistics import median

from harness.training.kernels import PACK_LIMIT
from tests.benchmarks.peers.sizes import SIZES
from tests.benchmarks.peers.stopwatch import Side

PEERS = "tests.benchmarks.peers"


def sides(size: str, peer_python: Path | None, cores: list[int]) -> dict[str, Side]:
    """Every side, started: this project packed as by `floorbench run` and alone, the baseline, the kernel, d3rlpy."""
    started = {
        "ours": Side(sys.executable, f"{PEERS}.ours", [size, str(PACK_LIMIT)], cores),
        "ours_alone": Side(sys.executable, f"{PEERS}.ours", [size, "1"], cores),
        "plain": Side(sys.executable, f"{PEERS}.plain", [size], cores),
        "critic_gemm_share": Side(sys.executable, f"{PEERS}.critic", [size], cores),
    }
    if peer_python is not None:
        started["d3rlpy"] = Side(str(peer_python), f"{PEERS}.d3rlpy_side", [size], cores)
    return started


def compare(size: str, peer_python: Path | None, cores: list[int], seconds: float, rounds: int) -> dict[str, float]:
    """The median of what every side measures, over rounds in which each is asked once in a random order."""
    started = sides(size, peer_python, cores)
    measured: dict[str, list[float]] = {name: [] for name in started}
    order = list(started)
    shuffle = random.Random(0).shuffle
    try:
        for number in range(rounds):
            shuffle(order)
            for name in order:
                measured[name].append(started[name].measure(seconds))
            said = ", ".join(f"{name} {measured[name][-1]:.4g}" for name in started)
            print(f"{size}, round {number + 1} of {rounds}: {said}", file=sys.stderr, flush=True)
    finally:
        for side in started.values():
            side.end()
    return {name: float(f"{median(values):.4g}") for name, values in measured.items()}


def main() -> None:
    """`python -m tests.benchmarks.peers.compare [--d3rlpy PYTHON]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d3rlpy", type=Path, metavar="PYTHON", help="interpreter of an environment with d3rlpy")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="a process per core and side")
    given = parser.parse_args()
    if given.d3rlpy is None:
        print("d3rlpy is left out: name an interpreter that has it with --d3rlpy", file=sys.stderr)
    cores = sorted(os.sched_getaffinity(0))[: given.cores]
    print(json.dumps({size: compare(size, given.d3rlpy, cores, given.seconds, given.rounds) for size in SIZES}))


if __name__ == "__main__":
    main()
