"""Adam over a flat buffer, with a step size of its own for each network."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Adam:
    """Moments [N, P] of N networks; `steps` counts the updates made (Kingma and Ba, torch's defaults)."""

    first: Tensor
    second: Tensor
    steps: int = 0

    @classmethod
    def of(cls, flat: Tensor) -> "Adam":
        return cls(torch.zeros_like(flat), torch.zeros_like(flat))

    def step(self, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
        """Move `flat` [N, P] against `gradient` [N, P]; `learning_rate` [N, 1]. P is a multiple of `ALIGNMENT`."""
        self.steps += 1
        scale = sqrt(1.0 - BETA_2**self.steps)
        self.first.lerp_(gradient, 1.0 - BETA_1)
        self.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        denominator = self.second.sqrt().add_(EPSILON * scale)
        step = self.first * (learning_rate * (scale / (1.0 - BETA_1**self.steps)))
        flat.addcdiv_(step, denominator, value=-1.0)
