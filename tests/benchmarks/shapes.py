"""The measured shapes, and learners of these shapes."""

import time
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from statistics import median

import torch

from algorithms.batch import Batch, Noise
from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.training.streams import BLOCK, UpdateStreams, generator, normal_source
from tests.benchmarks.arithmetic import critic_products, policy_products, update_operations
from tests.benchmarks.peers.sizes import BATCHES


@dataclass(frozen=True)
class Shape:
    """Sizes of one run's update."""

    state_dim: int
    action_dim: int
    batch: int
    n: int
    hidden: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """The argument `sizes` of `random_inputs`."""
        return self.state_dim, self.action_dim, self.batch, self.n

    def critic_products(self, runs: int) -> int:
        """Operations in a forward pass of the critics over all actions of the loss."""
        return critic_products(self.action_dim, self.hidden, runs, self.batch, 1 + 3 * self.n)

    def policy_products(self, runs: int) -> int:
        """Operations in a forward pass of the policies."""
        return policy_products(self.state_dim, self.action_dim, self.hidden, runs, self.batch)

    def update_operations(self, runs: int) -> int:
        """Operations of an update with one candidate of the target."""
        sizes = self.state_dim, self.action_dim, self.hidden, self.batch, self.n, 1
        return runs * sum(update_operations(*sizes).values())

    def settings(self, kernel: str) -> AlgorithmSettings:
        """Settings of a run; defaults otherwise."""
        return AlgorithmSettings(
            policy_hidden=self.hidden,
            critic_hidden=self.hidden,
            batch_size=self.batch,
            n_actions=self.n,
            max_backup="off",
            kernel=kernel,
        )


SHAPES = {
    "64x2": Shape(6, 2, 64, 4, (64, 64)),
    "256x2": Shape(29, 8, 256, 10, (256, 256)),
    "256x4": Shape(29, 8, 256, 10, (256, 256, 256, 256)),
    "512x3": Shape(29, 8, 256, 10, (512, 512, 512)),
}

# Name of the shape, runs in the pack, kernel. Packs of the larger shapes take minutes and, in torch, gigabytes.
PACKS = [
    ("64x2", 1, "fused"), ("64x2", 1, "torch"), ("64x2", 8, "fused"), ("64x2", 8, "torch"), ("64x2", 64, "fused"),
    ("64x2", 64, "torch"), ("256x2", 1, "fused"), ("256x2", 1, "torch"), ("256x2", 8, "fused"), ("256x2", 8, "torch"),
]  # fmt: skip
LARGE = [("256x4", 1, "fused"), ("512x3", 1, "fused")]
LARGER = [("256x4", 1, "torch"), ("256x4", 8, "fused"), ("512x3", 1, "torch")]


@dataclass(frozen=True)
class Prepared:
    """A pack, and batches and noise of updates, drawn in advance."""

    learner: Learner
    batches: list[Batch]
    noises: list[Noise]
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def batch(self) -> Batch:
        """The first batch."""
        return self.batches[0]

    @property
    def noise(self) -> Noise:
        """The first noise."""
        return self.noises[0]

    def update(self) -> None:
        """One update of all runs, on the next batch."""
        number = next(self._numbers)
        self.learner.update(self.batches[number % len(self.batches)], self.noises[number % len(self.noises)])


def prepare(shape: Shape, runs: int, kernel: str) -> Prepared:
    """A pack of runs of one shape with random data."""
    settings = shape.settings(kernel)
    sources = [normal_source(generator(seed, "init")) for seed in range(runs)]
    learner = Learner([settings] * runs, shape.state_dim, shape.action_dim, [0.99] * runs, sources)
    streams = UpdateStreams(range(runs), settings, shape.action_dim)

    def normal(*sizes: int) -> torch.Tensor:
        return torch.randn(runs, shape.batch, *sizes)

    batches = [
        Batch(
            states=normal(shape.state_dim),
            actions=normal(shape.action_dim).tanh(),
            rewards=normal(),
            next_states=normal(shape.state_dim),
            terminals=torch.zeros(runs, shape.batch),
            return_to_go=normal(),
            floor=normal(),
        )
        for _ in range(BATCHES)
    ]
    # The noise of a block of updates; the views stay valid, as no other block is drawn.
    return Prepared(learner, batches, [streams.at(update)[1] for update in range(BLOCK)])


@cache
def update_seconds(name: str, runs: int, kernel: str) -> float:
    """CPU time of an update of the pack, to which that of its parts is compared."""
    prepared = prepare(SHAPES[name], runs, kernel)
    times: list[float] = []
    while len(times) < 5 and sum(times) < 1.0:
        start = time.process_time()
        prepared.update()
        times.append(time.process_time() - start)
    return median(times)
