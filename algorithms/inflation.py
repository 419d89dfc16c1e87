"""Kinds of inflation: how an error of a chosen size is added to a floor.

The dose of every kind but "value_gap" has the same unit, the dataset's return range (largest minus smallest
return-to-go). To add a kind, write a function from `InflationInputs` to a column [T] and add it to `INFLATIONS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from algorithms.settings import FloorSettings

# A state is rare if its NEIGHBOURS-th nearest neighbour among REFERENCES evenly spaced transitions is far away.
NEIGHBOURS = 10
REFERENCES = 4096
# States whose distances to all references are computed at once.
DISTANCE_ROWS = 4096


class NeighbourDistances:
    """Distances to the k-th nearest neighbour among states of the dataset, in standardised coordinates."""

    def __init__(self, states: Tensor, neighbours: int = NEIGHBOURS, references: int = REFERENCES):
        """Select the reference states among `states` [N, S], evenly spaced."""
        count = min(references, len(states))
        self._rows = torch.arange(count) * len(states) // count
        self._mean, self._scale = states.mean(0), states.std(0, correction=0) + 1e-6
        self._references = self._standardise(states[self._rows])
        self._neighbours = min(neighbours, count - 1)
        self.of_dataset = self._distances(states, self._neighbours)
        # A reference is not its own neighbour.
        self.of_dataset[self._rows] = self._distances(states[self._rows], self._neighbours + 1)

    def __call__(self, states: Tensor) -> Tensor:
        """Distances [T] of other states [T, S]."""
        return self._distances(states, self._neighbours)

    def _distances(self, states: Tensor, neighbour: int) -> Tensor:
        if neighbour == 0:
            return torch.zeros(len(states))
        parts = []
        for part in states.split(DISTANCE_ROWS):
            # Without matrix products, a distance does not depend on the other rows.
            exact = "donot_use_mm_for_euclid_dist"
            distances = torch.cdist(self._standardise(part), self._references, compute_mode=exact)
            parts.append(distances.topk(neighbour, largest=False).values[:, -1])
        return torch.cat(parts)

    def _standardise(self, states: Tensor) -> Tensor:
        return (states - self._mean) / self._scale


@dataclass(frozen=True)
class DatasetStatistics:
    """Statistics of one run's dataset, which its inflation uses offline and online."""

    smallest_return: float
    largest_return: float
    # Return-to-go from which a transition counts as near the goal.
    near_goal: float
    # Distance to the nearest neighbours from which a state counts as rare.
    rare: float
    # Mean and standard deviation of the base.
    base_mean: float
    base_deviation: float

    @property
    def return_range(self) -> float:
        """Largest minus smallest return-to-go: the unit of inflation and noise."""
        return self.largest_return - self.smallest_return

    @classmethod
    def of(
        cls, settings: FloorSettings, returns: Tensor, base: Tensor | None, distances: Tensor | None
    ) -> "DatasetStatistics":
        """Of the dataset's returns-to-go [N]; base [N] and neighbour distances [N] only where the kind needs them."""
        near_goal = _threshold(returns, settings.inflation_share)
        rare = torch.inf if distances is None else _threshold(distances, settings.inflation_share)
        moments = torch.zeros(1) if base is None else base
        mean, deviation = float(moments.double().mean()), float(moments.double().std(correction=0))
        return cls(float(returns.min()), float(returns.max()), near_goal, rare, mean, deviation)


@dataclass(frozen=True)
class InflationInputs:
    """What inflation is computed from, for T transitions of one run."""

    settings: FloorSettings
    base: Tensor  # [T]
    return_to_go: Tensor  # [T]
    statistics: DatasetStatistics
    # Distances [T] to the nearest neighbours in the dataset; only for the kind "rare_states".
    neighbour_distance: Tensor | None = None
    # Standard normal numbers [T]; only for the kind "correlated_error".
    error: Tensor | None = None
    # Value [T] of the best policy minus that of the behaviour policy; only for the kind "value_gap".
    value_gap: Tensor | None = None

    @property
    def dose(self) -> float:
        """The inflation in units of return."""
        return self.settings.inflation * self.statistics.return_range


def additive(inputs: InflationInputs) -> Tensor:
    """Add the dose to every state."""
    return inputs.base + inputs.dose


def capped(inputs: InflationInputs) -> Tensor:
    """Add the dose, but cap the floor at the largest return-to-go of the dataset, the largest return known to occur."""
    return additive(inputs).clamp(max=inputs.statistics.largest_return)


def value_gap(inputs: InflationInputs) -> Tensor:
    """Add the inflation times V* - V_mu, capped like `capped`: with the base V_mu, an inflation of 1 gives V*."""
    assert inputs.value_gap is not None
    return (inputs.base + inputs.settings.inflation * inputs.value_gap).clamp(max=inputs.statistics.largest_return)


def multiplicative(inputs: InflationInputs) -> Tensor:
    """Stretch the floor away from the smallest return: nothing is added there, the dose at the largest return.

    Plain factors would deflate negative returns.
    """
    return inputs.base + inputs.settings.inflation * (inputs.base - inputs.statistics.smallest_return)


def rare_states(inputs: InflationInputs) -> Tensor:
    """Add the dose in rare states: the `inflation_share` of the dataset's states that are farthest from the others."""
    assert inputs.neighbour_distance is not None
    return torch.where(inputs.neighbour_distance >= inputs.statistics.rare, additive(inputs), inputs.base)


def near_goal(inputs: InflationInputs) -> Tensor:
    """Add the dose near the goal: to the `inflation_share` of the dataset with the largest returns-to-go."""
    return torch.where(inputs.return_to_go >= inputs.statistics.near_goal, additive(inputs), inputs.base)


def correlated_error(inputs: InflationInputs) -> Tensor:
    """Add an error of mean 0 whose standard deviation is the dose and whose correlation with the base is chosen."""
    assert inputs.error is not None
    statistics, correlation = inputs.statistics, inputs.settings.error_correlation
    standardised = (inputs.base - statistics.base_mean) / (statistics.base_deviation or 1.0)
    error = correlation * standardised + sqrt(1.0 - correlation**2) * inputs.error
    return inputs.base + inputs.dose * error


INFLATIONS: dict[str, Callable[[InflationInputs], Tensor]] = {
    "additive": additive,
    "capped": capped,
    "value_gap": value_gap,
    "multiplicative": multiplicative,
    "rare_states": rare_states,
    "near_goal": near_goal,
    "correlated_error": correlated_error,
}


def uncorrelated(error: Tensor, base: Tensor) -> Tensor:
    """The error [N] without its mean and its correlation with the base [N], scaled to standard deviation 1."""
    error, base = error.double(), base.double()
    error, base = error - error.mean(), base - base.mean()
    error = error - base * (error @ base) / (base @ base).clamp(min=torch.finfo(base.dtype).tiny)
    return (error / error.std(correction=0).clamp(min=torch.finfo(base.dtype).tiny)).float()


def _threshold(values: Tensor, share: float) -> float:
    """The value that the largest `share` of the values reach; infinity for a share of 0."""
    count = round(share * len(values))
    return float(values.topk(count).values[-1]) if count else torch.inf
