"""Adam over a flat buffer, with a step size of its own for each network."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class StepCount:
    """How many steps were made, and what of that number enters a step, as a tensor: steps themselves are tensors alone.

    `corrections` [2] undo the moments' bias: a factor of the learning rates, and epsilon times what it divides.
    """

    def __init__(self, like: Tensor):
        """No step yet; numbers of the type and on the device of `like`."""
        self.steps = 0
        on_cpu = torch.zeros(2, dtype=like.dtype)
        self.corrections = on_cpu.to(like.device)
        # Numpy writes into the same memory in a tenth of the time.
        self._numbers = on_cpu.numpy() if self.corrections is on_cpu else None

    def advance(self) -> None:
        """Count one more step, which is then to be made."""
        self.steps += 1
        scale = sqrt(1.0 - BETA_2**self.steps)
        numbers = (scale / (1.0 - BETA_1**self.steps), EPSILON * scale)
        if self._numbers is not None:
            self._numbers[:] = numbers
        else:
            self.corrections.copy_(torch.tensor(numbers, dtype=self.corrections.dtype), non_blocking=True)


@dataclass
class Adam:
    """Moments [N, P] of N networks, and the count of their steps (Kingma and Ba, torch's defaults)."""

    first: Tensor
    second: Tensor
    count: StepCount

    @classmethod
    def of(cls, flat: Tensor, count: StepCount | None = None) -> "Adam":
        """Of parameters [N, P]; a `count` can be shared by optimizers that step together."""
        return cls(torch.zeros_like(flat), torch.zeros_like(flat), count or StepCount(flat))

    def step(self, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
        """Move `flat` [N, P] against `gradient` [N, P] once the count has advanced; `learning_rate` [N, 1].

        P is a multiple of `ALIGNMENT`.
        """
        rate, epsilon = self.count.corrections.unbind()
        self.first.lerp_(gradient, 1.0 - BETA_1)
        self.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        denominator = self.second.sqrt().add_(epsilon)
        flat.addcdiv_(self.first * (learning_rate * rate), denominator, value=-1.0)
