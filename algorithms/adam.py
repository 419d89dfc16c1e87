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
        rate, epsilon = self.corrections()
        self.first.lerp_(gradient, 1.0 - BETA_1)
        self.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        denominator = self.second.sqrt().add_(epsilon)
        flat.addcdiv_(self.first * (learning_rate * rate), denominator, value=-1.0)

    def corrections(self) -> tuple[float, float]:
        """Count one more step; the factor of the learning rate that undoes the moments' bias in it, and its epsilon."""
        self.steps += 1
        scale = sqrt(1.0 - BETA_2**self.steps)
        return scale / (1.0 - BETA_1**self.steps), EPSILON * scale
