"""This project's update of a pack, with fresh noise from the runs' streams at every update."""

import sys

import torch

from algorithms.batch import Batch, backup_actions
from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.launching.worker import keep_freed_memory
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.plain import random_batch
from tests.benchmarks.peers.sizes import SIZES, Size
from tests.benchmarks.peers.stopwatch import serve


def settings_of(size: Size) -> AlgorithmSettings:
    """The settings of one run; the others are the defaults, which are the official ones."""
    return AlgorithmSettings(
        policy_hidden=size.hidden,
        critic_hidden=size.hidden,
        batch_size=size.batch_size,
        n_actions=size.n_actions,
        max_backup="min_then_max" if size.max_backup else "off",
        lagrange=size.lagrange,
    )


def main() -> None:
    """Serve the size and the number of runs in the pack that are named."""
    torch.set_num_threads(1)
    keep_freed_memory()
    size, runs = SIZES[sys.argv[1]], int(sys.argv[2])
    settings = settings_of(size)
    seeds = range(runs)
    sources = [normal_source(generator(seed, "init")) for seed in seeds]
    learner = Learner([settings] * runs, size.state_dim, size.action_dim, [0.99] * runs, sources)
    streams = UpdateStreams(seeds, size.batch_size, size.n_actions, backup_actions(settings), size.action_dim)
    one = {name: value.expand(runs, *value.shape).contiguous() for name, value in random_batch(size).items()}
    batch = Batch(**one, return_to_go=one["floor"])
    made = 0

    def update() -> int:
        nonlocal made
        learner.update(batch, streams.at(made)[1])
        made += 1
        return runs

    serve(update)


if __name__ == "__main__":
    main()
