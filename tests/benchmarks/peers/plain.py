"""Cal-QL for a single run as PyTorch code is usually written: modules, autograd, one optimizer per loss.

The update is that of `algorithms.reference`. As is common, every update draws its random numbers with torch and fetches
every logged quantity with `.item()`.
"""

import sys
from itertools import cycle

import torch
from torch import Tensor

from algorithms.batch import Batch, Noise, backup_actions
from algorithms.reference import ReferenceLearner
from algorithms.settings import AlgorithmSettings
from tests.benchmarks.peers.sizes import BATCHES, SIZES, Size
from tests.benchmarks.peers.stopwatch import serve

DISCOUNT = 0.99


def settings_of(size: Size) -> AlgorithmSettings:
    """The settings of one run; all others have their defaults, which are the official ones."""
    return AlgorithmSettings(
        policy_hidden=size.hidden,
        critic_hidden=size.hidden,
        batch_size=size.batch_size,
        n_actions=size.n_actions,
        max_backup="min_then_max" if size.max_backup else "off",
        lagrange=size.lagrange,
    )


class PlainCalQL:
    """One run, on torch's default device."""

    def __init__(self, size: Size):
        self.size, self.settings = size, settings_of(size)
        self.device = torch.get_default_device()
        self.learner = ReferenceLearner(self.settings, size.state_dim, size.action_dim, DISCOUNT)

    def update(self, batch: Batch) -> dict[str, float]:
        """One gradient step; returns the logged quantities."""
        logged = self.learner.update(batch, self._draw())
        return {name: value.item() for name, value in logged.items()}

    def _draw(self) -> Noise:
        size, n = self.size, self.size.n_actions

        def normal(count: int) -> Tensor:
            return torch.randn(1, size.batch_size, count, size.action_dim, device=self.device)

        uniform = torch.rand(1, size.batch_size, n, size.action_dim, device=self.device) * 2 - 1
        all_critics = torch.arange(self.settings.critics).unsqueeze(0)
        return Noise(uniform, normal(1 + n), normal(n + backup_actions(self.settings)), all_critics)


def random_batch(size: Size, seed: int = 0) -> Batch:
    """Random transitions of one run."""
    torch.manual_seed(seed)
    states, next_states = torch.randn(2, 1, size.batch_size, size.state_dim).unbind()
    floor = -50 * torch.rand(1, size.batch_size)
    return Batch(
        states=states,
        actions=torch.randn(1, size.batch_size, size.action_dim).tanh(),
        rewards=-torch.ones(1, size.batch_size),
        next_states=next_states,
        terminals=(torch.rand(1, size.batch_size) < 0.01).float(),
        return_to_go=floor,
        floor=floor,
    )


def repeated(batch: Batch, runs: int) -> Batch:
    """The batch of one run for each of R runs."""
    return Batch(**{name: value.expand(runs, *value.shape[1:]).contiguous() for name, value in vars(batch).items()})


def main() -> None:
    """Serve the named size."""
    torch.set_num_threads(1)
    size = SIZES[sys.argv[1]]
    run, batches = PlainCalQL(size), cycle([random_batch(size, seed) for seed in range(BATCHES)])

    def update() -> int:
        run.update(next(batches))
        return 1

    serve(update)


if __name__ == "__main__":
    main()
