"""The random numbers of a block of updates, drawn from counters on the device that uses them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.batch import Noise, backup_actions
from algorithms.kernels.gpu import BLOCK
from algorithms.kernels.philox import Counters, scaled
from algorithms.settings import AlgorithmSettings


class Draws:
    """The choice of transitions, the noise and the subsets of critics of R runs for a block of updates.

    A run's numbers depend on its seed, the stream and the number of the update alone. Everything is a tensor operation
    on one device, so that drawing can be recorded.

    Attributes:
        choice: words [R, BLOCK, B] (int64, 32 bits) that choose transitions.
    """

    def __init__(self, seeds: Sequence[int], settings: AlgorithmSettings, action_dim: int, device: torch.device | str):
        self._settings, n_actions, batch = settings, settings.n_actions, settings.batch_size
        block = len(seeds), BLOCK
        shapes = {
            "uniform": (batch, n_actions, action_dim),
            "state": (batch, 1 + n_actions, action_dim),
            "following": (batch, n_actions + backup_actions(settings), action_dim),
        }
        self.noise = {name: torch.empty(*block, *shape, device=device) for name, shape in shapes.items()}
        self.choice = torch.empty(*block, batch, dtype=torch.int64, device=device)
        critics, count = settings.critics, settings.target_critics
        self._order = torch.arange(critics, device=device)
        self.target_critics = self._order[: count or critics].expand(*block, -1).clone()
        self._keys = torch.empty(*block, critics, dtype=torch.int64, device=device)

        def counters(stream: str, values: Tensor) -> Counters:
            return Counters(seeds, stream, BLOCK, values[0, 0].numel(), device)

        self._of_noise = {name: counters(f"policy/{name}", values) for name, values in self.noise.items()}
        self._of_choice, self._of_critics = counters("batch", self.choice), counters("target_critics", self._keys)

    def draw(self, first: Tensor) -> None:
        """Draw the block that begins with update number `first` [1]."""
        self._of_choice.fill_words(self.choice, first)
        for name, values in self.noise.items():
            of_name = self._of_noise[name]
            (of_name.fill_uniform if name == "uniform" else of_name.fill_normal)(values, first)
        count = self._settings.target_critics
        if count is None:
            return
        self._of_critics.fill_words(self._keys, first)
        critics = self._settings.critics
        if self._settings.target_replacement:
            self.target_critics.copy_(scaled(self._keys[..., :count], critics))
            return
        # The order of the words, which are made distinct by the number of the critic: a random permutation.
        keys = self._keys * critics + self._order
        ranks = (keys.unsqueeze(-1) > keys.unsqueeze(-2)).sum(-1)
        order = torch.zeros_like(ranks).scatter_(-1, ranks, self._order.expand_as(ranks))
        self.target_critics.copy_(order[..., :count])

    def by_update(self) -> list[Noise]:
        """The noise of every update of the block, as views."""
        by_name = {**self.noise, "target_critics": self.target_critics}
        rows = zip(*(values.unbind(1) for values in by_name.values()), strict=True)
        return [Noise(**dict(zip(by_name, values, strict=True))) for values in rows]

    def at(self, within: Tensor) -> tuple[Tensor, Noise]:
        """The choice [R, B] and the noise of update number `within` [1] of the block."""
        by_name = {**self.noise, "target_critics": self.target_critics}
        noise = {name: values.index_select(1, within).squeeze(1) for name, values in by_name.items()}
        return self.choice.index_select(1, within).squeeze(1), Noise(**noise)
