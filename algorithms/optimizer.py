"""Adam over a flat buffer with one learning rate per network, and the learned scalars of each run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log, sqrt

import torch
from torch import Tensor

from algorithms.critic_loss import raw_multiplier
from algorithms.parameters import ALIGNMENT
from algorithms.settings import AlgorithmSettings

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


# Steps after which the bias corrections do not change any more: 0.999^n is lost in 1 - 0.999^n.
LAST_CORRECTION = 37_500


class StepCount:
    """The number of optimizer steps, and Adam's bias corrections as a tensor.

    `corrections` [2] are a factor of the learning rates, and epsilon times the factor of the denominator. They are a
    tensor so that a step contains tensor operations only, as recording it as a CUDA graph requires. With `recorded`,
    counting is part of the recording too: `advance` then leaves the tensors to `advance_tensors`.
    """

    def __init__(self, like: Tensor, recorded: bool = False):
        """No steps yet; `corrections` have the dtype and device of `like`."""
        self._steps = 0
        on_cpu = torch.zeros(2, dtype=like.dtype)
        self.corrections = on_cpu.to(like.device)
        # NumPy writes to the same memory in a tenth of the time.
        self._numbers = on_cpu.numpy() if self.corrections is on_cpu else None
        # The number of steps [1] on the device of the tensors; None unless steps are recorded.
        self.number: Tensor | None = None
        if recorded:
            self.number = torch.zeros(1, dtype=torch.int64, device=like.device)
            self._table = torch.tensor(all_corrections(), dtype=like.dtype).to(like.device)

    @property
    def steps(self) -> int:
        """The number of steps that are done."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps = steps
        if self.number is not None:
            self.number.fill_(steps)

    def advance(self) -> None:
        """Count the step that comes next."""
        self._steps += 1
        if self.number is not None:
            return
        numbers = bias_corrections(self._steps)
        if self._numbers is not None:
            self._numbers[:] = numbers
        else:
            self.corrections.copy_(torch.tensor(numbers, dtype=self.corrections.dtype), non_blocking=True)

    def advance_tensors(self) -> None:
        """Count a step in the tensors, with tensor operations only."""
        assert self.number is not None
        self.number.add_(1)
        self.corrections.copy_(self._table.index_select(0, self.number.clamp(max=LAST_CORRECTION)).squeeze(0))


def bias_corrections(steps: int) -> tuple[float, float]:
    """The numbers of `StepCount.corrections` at a step."""
    scale = sqrt(1.0 - BETA_2**steps)
    return scale / (1.0 - BETA_1**steps), EPSILON * scale


@cache
def all_corrections() -> list[tuple[float, float]]:
    """The bias corrections by step, until they no longer change; those of step 0 are never used."""
    return [(0.0, 0.0), *(bias_corrections(steps) for steps in range(1, LAST_CORRECTION + 1))]


@dataclass
class Adam:
    """First and second moments [N, P] of N networks with their step count (Kingma and Ba 2015, torch's defaults)."""

    first: Tensor
    second: Tensor
    count: StepCount

    @classmethod
    def of(cls, flat: Tensor, count: StepCount | None = None) -> "Adam":
        """For parameters [N, P]; optimizers that step together can share a `count`."""
        return cls(torch.zeros_like(flat), torch.zeros_like(flat), count or StepCount(flat))

    def step(self, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
        """Update `flat` [N, P] with `gradient` [N, P] and `learning_rate` [N, 1], after `count.advance()`.

        P must be a multiple of `ALIGNMENT`.
        """
        step_factor, epsilon = self.count.corrections.unbind()
        self.first.lerp_(gradient, 1.0 - BETA_1)
        self.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        denominator = self.second.sqrt().add_(epsilon)
        flat.addcdiv_(self.first * (learning_rate * step_factor), denominator, value=-1.0)


class LearnedScalars:
    """The learned scalars of R runs: the log entropy temperature and the raw Lagrange multiplier.

    Each scalar is the first element of a row of `flat` [R * ROWS, P], so that it has its own learning rate. The views
    `log_temperature`, `raw_multiplier`, `temperature_gradient` and `multiplier_gradient` are [R]. The temperature steps
    with the policies, the multiplier with the critics; `adam` has the moments of both.
    """

    ROWS = 2

    def __init__(
        self,
        settings: Sequence[AlgorithmSettings],
        dtype: torch.dtype,
        device: str,
        count: StepCount,
        policy_count: StepCount,
    ):
        """Initial values from the settings, one entry per run; step counts of the critics and of the policies."""
        numbers = torch.tensor(
            [
                [
                    [log(run.entropy_temperature_initial), run.entropy_learning_rate],
                    [raw_multiplier(run.lagrange_initial_log, run.lagrange_multiplier), run.critic_learning_rate],
                ]
                for run in settings
            ],
            dtype=dtype,
        ).to(device)
        self.flat = torch.zeros(self.ROWS * len(settings), ALIGNMENT, dtype=dtype, device=device)
        self.gradient = torch.zeros_like(self.flat)
        self.learning_rate = numbers[..., 1].reshape(-1, 1).contiguous()
        self.adam = Adam.of(self.flat, count)
        self.log_temperature, self.raw_multiplier = self._columns(self.flat)
        self.temperature_gradient, self.multiplier_gradient = self._columns(self.gradient)
        self.flat[:, 0] = numbers[..., 0].flatten()
        self.temperature_step = self._step_arguments(0, policy_count)
        self.multiplier_step = self._step_arguments(1, count)

    def _step_arguments(self, row: int, count: StepCount) -> tuple[Adam, Tensor, Tensor, Tensor]:
        """Adam for one of the scalars of all runs, and the arguments of its `step`."""
        rows = slice(row, None, self.ROWS)
        adam = Adam(self.adam.first[rows], self.adam.second[rows], count)
        return adam, self.flat[rows], self.gradient[rows], self.learning_rate[rows]

    def _columns(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        rows = flat.view(-1, self.ROWS, ALIGNMENT)
        return rows[:, 0, 0], rows[:, 1, 0]
