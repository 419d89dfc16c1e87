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
        """Move `flat` [N, P] against `gradient` [N, P]; `learning_rate` [N, 1].

        Only multiplications, additions, divisions and roots of whole buffers: each rounds once, so a network's bits do
        not depend on where in the pack it lies.
        """
        self.steps += 1
        self.first.mul_(BETA_1).add_(gradient * (1.0 - BETA_1))
        self.second.mul_(BETA_2).add_((gradient * gradient).mul_(1.0 - BETA_2))
        scale = sqrt(1.0 - BETA_2**self.steps)
        denominator = self.second.sqrt().div_(scale).add_(EPSILON)
        step = self.first * (learning_rate / (1.0 - BETA_1**self.steps))
        flat.sub_(step.div_(denominator))
