"""The floor column: one number per transition below which the regulariser does not push.

To add a floor, write a function from `FloorInputs` to a column and enter it in `FLOORS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from algorithms.settings import FloorSettings


@dataclass(frozen=True)
class FloorInputs:
    """What a floor may look at, for T transitions of one run."""

    settings: FloorSettings
    states: Tensor  # [T, S]
    return_to_go: Tensor  # [T]
    mean_return: float  # mean return-to-go of the dataset
    # Value [T] of the behaviour policy at states [T, S]; only where the base is "learned".
    behaviour_value: Callable[[Tensor], Tensor] | None = None
    # The same without error, where it is known; only where the base is "exact".
    exact_value: Callable[[Tensor], Tensor] | None = None


def no_floor(inputs: FloorInputs) -> Tensor:
    """Minus infinity: CQL."""
    return torch.full_like(inputs.return_to_go, -inf)


def monte_carlo(inputs: FloorInputs) -> Tensor:
    """Each transition's own return-to-go (Cal-QL)."""
    return inputs.return_to_go


def learned(inputs: FloorInputs) -> Tensor:
    """The behaviour policy's value as a network sees it."""
    assert inputs.behaviour_value is not None
    return inputs.behaviour_value(inputs.states)


def exact(inputs: FloorInputs) -> Tensor:
    """The behaviour policy's true value."""
    assert inputs.exact_value is not None
    return inputs.exact_value(inputs.states)


def constant(inputs: FloorInputs) -> Tensor:
    """One number."""
    return torch.full_like(inputs.return_to_go, inputs.settings.constant)


def mean_return(inputs: FloorInputs) -> Tensor:
    """One number: the mean return-to-go of the dataset, whatever the state."""
    return torch.full_like(inputs.return_to_go, inputs.mean_return)


FLOORS: dict[str, Callable[[FloorInputs], Tensor]] = {
    "none": no_floor,
    "monte_carlo": monte_carlo,
    "learned": learned,
    "exact": exact,
    "constant": constant,
    "mean_return": mean_return,
}


def floor_column(inputs: FloorInputs, return_range: float, normal: Callable[[int], Tensor]) -> Tensor:
    """The base of the settings, inflated and made noisy, [T].

    `return_range` (largest minus smallest return-to-go of the dataset) is the unit of both; `normal` gives seeded
    standard normal numbers.
    """
    settings = inputs.settings
    column = FLOORS[settings.base](inputs) + settings.inflation * return_range
    if settings.noise:
        column = column + settings.noise * return_range * normal(len(column))
    return column
