"""Measure all sides in turn and print the medians as a JSON line on stdout; progress goes to stderr.

The unit is updates per second and core, except for `critic_gemm_share`: operations per second of the critic kernel
relative to torch's matrix product.
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
    """Start all sides: this project in packs as in `floorbench run`, with one run, the baseline, the kernel, d3rlpy."""
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
    """Median of every side over rounds; a round measures each side once, in random order."""
    started = sides(size, peer_python, cores)
    measured: dict[str, list[float]] = {name: [] for name in started}
    order = list(started)
    shuffle = random.Random(0).shuffle
    try:
        for number in range(rounds):
            shuffle(order)
            for name in order:
                measured[name].append(started[name].measure(seconds))
            progress = ", ".join(f"{name} {measured[name][-1]:.4g}" for name in started)
            print(f"{size}, round {number + 1} of {rounds}: {progress}", file=sys.stderr, flush=True)
    finally:
        for side in started.values():
            side.end()
    return {name: float(f"{median(values):.4g}") for name, values in measured.items()}


def main() -> None:
    """`python -m tests.benchmarks.peers.compare [--d3rlpy PYTHON]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d3rlpy", type=Path, metavar="PYTHON", help="interpreter of an environment with d3rlpy")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--cores", type=int, default=len(os.sched_getaffinity(0)), help="processes per side, each on one core"
    )
    arguments = parser.parse_args()
    if arguments.d3rlpy is None:
        print("d3rlpy is not measured; pass the interpreter of an environment with d3rlpy as --d3rlpy", file=sys.stderr)
    cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
    print(
        json.dumps(
            {size: compare(size, arguments.d3rlpy, cores, arguments.seconds, arguments.rounds) for size in SIZES}
        )
    )


if __name__ == "__main__":
    main()
