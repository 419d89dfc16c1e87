"""This project's update of a pack, with fresh noise from the runs' streams."""

import sys

import torch

from algorithms.batch import backup_actions
from algorithms.learner import Learner
from harness.launching.worker import keep_freed_memory
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.plain import DISCOUNT, random_batch, repeated, settings_of
from tests.benchmarks.peers.sizes import SIZES
from tests.benchmarks.peers.stopwatch import serve


def main() -> None:
    """Serve the named size and number of runs in the pack."""
    torch.set_num_threads(1)
    keep_freed_memory()
    size, runs = SIZES[sys.argv[1]], int(sys.argv[2])
    settings = settings_of(size)
    seeds = range(runs)
    sources = [normal_source(generator(seed, "init")) for seed in seeds]
    learner = Learner([settings] * runs, size.state_dim, size.action_dim, [DISCOUNT] * runs, sources)
    streams = UpdateStreams(seeds, size.batch_size, size.n_actions, backup_actions(settings), size.action_dim)
    batch = repeated(random_batch(size), runs)
    made = 0

    def update() -> int:
        nonlocal made
        learner.update(batch, streams.at(made)[1])
        made += 1
        return runs

    serve(update)


if __name__ == "__main__":
    main()
