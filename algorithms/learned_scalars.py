"""The learned numbers of R runs beside their networks."""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

from algorithms.adam import Adam, StepCount
from algorithms.critic_loss import learned_of
from algorithms.parameters import ALIGNMENT
from algorithms.settings import AlgorithmSettings


class LearnedScalars:
    """The logarithm of the entropy temperature, and that of the Lagrange multiplier or its inverse softplus.

    Each is a row of `flat` [R * ROWS, P], in its first place, so that it has a learning rate of its own. Views [R]:
    `log_temperature`, `log_multiplier`, and the slopes that a step goes against.
    """

    ROWS = 2

    def __init__(self, settings: Sequence[AlgorithmSettings], dtype: torch.dtype, device: str, count: StepCount):
        """Where the settings of each run let them start."""
        numbers = torch.tensor(
            [
                [
                    [log(own.entropy_temperature_initial), own.entropy_learning_rate],
                    [learned_of(own.lagrange_initial_log, own.lagrange_multiplier), own.critic_learning_rate],
                ]
                for own in settings
            ],
            dtype=dtype,
        ).to(device)
        self.flat = torch.zeros(self.ROWS * len(settings), ALIGNMENT, dtype=dtype, device=device)
        self.gradient = torch.zeros_like(self.flat)
        self.rate = numbers[..., 1].reshape(-1, 1).contiguous()
        self.adam = Adam.of(self.flat, count)
        self.log_temperature, self.log_multiplier = self._columns(self.flat)
        self.temperature_slope, self.multiplier_slope = self._columns(self.gradient)
        self.flat[:, 0] = numbers[..., 0].flatten()

    def _columns(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        rows = flat.view(-1, self.ROWS, ALIGNMENT)
        return rows[:, 0, 0], rows[:, 1, 0]
