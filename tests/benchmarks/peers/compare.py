"""Measure all sides in turn and print the medians as a JSON line on stdout; progress goes to stderr.

The unit is updates per second and core, except for `fma_peak_gflops`, the core's fused multiply-adds in registers
(10^9 operations per second), and the shares of it that the critic kernel and whole updates reach. `raw` holds the
numbers of all rounds.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from statistics import median
from typing import Any

from harness.training.kernels import PACK_LIMIT
from tests.benchmarks.peers.sizes import SIZES
from tests.benchmarks.peers.stopwatch import Side

PEERS = "tests.benchmarks.peers"


def sides(size: str, d3rlpy: Path | None, jax: Path | None, cores: list[int]) -> dict[str, Side]:
    """Start all sides: this project in packs as in `floorbench run` and alone, its shares of the peak, others."""

    def side(module: str, *arguments: str, python: Path | str = sys.executable) -> Side:
        return Side(str(python), f"{PEERS}.{module}", list(arguments), cores)

    started = {
        "ours": side("ours", size, str(PACK_LIMIT)),
        "ours_alone": side("ours", size, "1"),
        "plain": side("plain", size),
        "fma_peak_gflops": side("peak", "fma", size),
        "critic_fma_share": side("peak", "critic", size),
        "update_fma_share": side("peak", "update", size),
    }
    if jax is not None:
        started["jax"] = side("jax_side", size, str(PACK_LIMIT), python=jax)
        started["jax_alone"] = side("jax_side", size, "1", python=jax)
    if d3rlpy is not None:
        started["d3rlpy"] = side("d3rlpy_side", size, python=d3rlpy)
    return started


def compare(started: dict[str, Side], size: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Median of every side over rounds, and the raw numbers; a round measures each side once, in random order."""
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
    medians = {name: float(f"{median(values):.4g}") for name, values in measured.items()}
    return {**medians, "raw": {name: [float(f"{value:.6g}") for value in values] for name, values in measured.items()}}


def main() -> None:
    """`python -m tests.benchmarks.peers.compare [--d3rlpy PYTHON] [--jax PYTHON]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    for peer in ("d3rlpy", "jax"):
        parser.add_argument(f"--{peer}", type=Path, metavar="PYTHON", help=f"interpreter of an environment with {peer}")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--cores", type=int, default=len(os.sched_getaffinity(0)), help="processes per side, each on one core"
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    arguments = parser.parse_args()
    for peer in ("d3rlpy", "jax"):
        if getattr(arguments, peer) is None:
            print(f"{peer} is not measured; pass the interpreter of its environment as --{peer}", file=sys.stderr)
    cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
    measured = {}
    for size in arguments.sizes:
        started = sides(size, arguments.d3rlpy, arguments.jax, cores)
        measured[size] = compare(started, size, arguments.seconds, arguments.rounds)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
