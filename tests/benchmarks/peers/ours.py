"""This project's update of a pack, with fresh noise from the runs' streams."""

import sys
from collections.abc import Callable
from itertools import count, cycle

import torch

from algorithms.learner import Learner
from harness.launching.worker import keep_freed_memory
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.plain import DISCOUNT, random_batch, repeated, settings_of
from tests.benchmarks.peers.sizes import BATCHES, SIZES, Size
from tests.benchmarks.peers.stopwatch import serve


def pack_update(size: Size, runs: int) -> Callable[[], int]:
    """An update of a pack; each returns the number of runs that it updated."""
    settings = settings_of(size)
    seeds = range(runs)
    sources = [normal_source(generator(seed, "init")) for seed in seeds]
    learner = Learner([settings] * runs, size.state_dim, size.action_dim, [DISCOUNT] * runs, sources)
    streams = UpdateStreams(seeds, settings, size.action_dim)
    batches = cycle([repeated(random_batch(size, seed), runs) for seed in range(BATCHES)])
    numbers = count()

    def update() -> int:
        learner.update(next(batches), streams.at(next(numbers))[1])
        return runs

    return update


def main() -> None:
    """Serve the named size and number of runs in the pack."""
    torch.set_num_threads(1)
    keep_freed_memory()
    serve(pack_update(SIZES[sys.argv[1]], int(sys.argv[2])))


if __name__ == "__main__":
    main()
