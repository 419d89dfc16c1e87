"""The floor column: a lower bound per transition, below which the regulariser does not push values down.

Most floors start from the return-to-go, the Monte Carlo value of a step. To add a floor, write a function from
`FloorInputs` to a column [T] and add it to `FLOORS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf

import torch
from torch import Tensor

from algorithms.inflation import INFLATIONS, DatasetStatistics, InflationInputs
from algorithms.settings import FloorSettings, Truncation


def return_to_go(
    rewards: torch.Tensor,
    terminated: torch.Tensor,
    discount: float,
    truncation: Truncation = "failure_rule",
    failure_reward: float | None = None,
    bootstrap_value: float = 0.0,
) -> torch.Tensor:
    """Discounted sum of rewards from each step to the end of the trajectory: float32 [T], summed in float64.

    `rewards` [T] (mapped) and `terminated` [T] (bool) belong to one trajectory; the sum restarts after a terminal step.
    `truncation` is the rule for a trajectory that does not end at a terminal step:

    - "failure_rule": if every reward is `failure_reward`, the trajectory is assumed to fail forever and every step has
      the value `failure_reward / (1 - discount)`; otherwise the plain sum (official Cal-QL, sparse tasks). Without a
      `failure_reward` (dense tasks) this and the next two rules are the plain sum.
    - "last_reward_rule": the same if the last reward is `failure_reward` (CORL).
    - "suffix_rule": the same for the steps from which on all rewards are `failure_reward`; earlier steps get the plain
      sum (d3rlpy).
    - "sum": the plain sum. It overestimates failed trajectories, the more the later the step.
    - "bootstrap": the plain sum with `bootstrap_value` as the value of the last state.
    """
    # Lists, because an operation of torch takes as long as the whole sum of a short trajectory.
    following = bootstrap_value if truncation == "bootstrap" else 0.0
    values = []
    for reward, ends in zip(reversed(rewards.tolist()), reversed(terminated.tolist()), strict=True):
        following = reward if ends else reward + discount * following
        values.append(following)
    values.reverse()
    if failure_reward is not None:
        failing = failing_steps((rewards.numpy() == failure_reward).tolist(), truncation)
        values[len(values) - failing :] = [failure_reward / (1.0 - discount)] * failing
    return torch.tensor(values, dtype=torch.float32)


def failing_steps(failure: Sequence[bool], truncation: Truncation) -> int:
    """How many steps at the end of a trajectory fail forever under the rule, from which rewards [T] are failures."""
    if truncation == "failure_rule":
        return len(failure) if all(failure) else 0
    if truncation == "last_reward_rule":
        return len(failure) if all(failure[-1:]) else 0
    if truncation == "suffix_rule":
        return sum(1 for _ in takewhile(bool, reversed(failure)))
    return 0


@dataclass(frozen=True)
class FloorInputs:
    """What a floor is computed from, for T transitions of one run."""

    settings: FloorSettings
    states: Tensor  # [T, S]
    return_to_go: Tensor  # [T]
    mean_return: float  # mean return-to-go of the dataset
    # Learned value [T] of the behaviour policy at states [T, S]; only for the base "learned".
    behaviour_value: Callable[[Tensor], Tensor] | None = None
    # Its true value; only for the base "exact" and inflation by "value_gap".
    exact_value: Callable[[Tensor], Tensor] | None = None
    # True value of the best policy; only for the base "optimal" and inflation by "value_gap".
    optimal_value: Callable[[Tensor], Tensor] | None = None


def no_floor(inputs: FloorInputs) -> Tensor:
    """Minus infinity: CQL."""
    return torch.full_like(inputs.return_to_go, -inf)


def monte_carlo(inputs: FloorInputs) -> Tensor:
    """The return-to-go of the transition (Cal-QL)."""
    return inputs.return_to_go


def learned(inputs: FloorInputs) -> Tensor:
    """The learned value of the behaviour policy."""
    assert inputs.behaviour_value is not None
    return inputs.behaviour_value(inputs.states)


def exact(inputs: FloorInputs) -> Tensor:
    """The true value of the behaviour policy."""
    assert inputs.exact_value is not None
    return inputs.exact_value(inputs.states)


def optimal(inputs: FloorInputs) -> Tensor:
    """The true value of the best policy: the largest floor that a policy can reach."""
    assert inputs.optimal_value is not None
    return inputs.optimal_value(inputs.states)


def constant(inputs: FloorInputs) -> Tensor:
    """A constant."""
    return torch.full_like(inputs.return_to_go, inputs.settings.constant)


def mean_return(inputs: FloorInputs) -> Tensor:
    """The mean return-to-go of the dataset, for every state."""
    return torch.full_like(inputs.return_to_go, inputs.mean_return)


FLOORS: dict[str, Callable[[FloorInputs], Tensor]] = {
    "none": no_floor,
    "monte_carlo": monte_carlo,
    "learned": learned,
    "exact": exact,
    "constant": constant,
    "mean_return": mean_return,
    "optimal": optimal,
}


def floor_base(inputs: FloorInputs) -> Tensor:
    """The base [T] of the floor."""
    return FLOORS[inputs.settings.base](inputs)


def floor_column(
    inputs: FloorInputs,
    statistics: DatasetStatistics,
    normal: Callable[[int], Tensor],
    neighbour_distance: Tensor | None = None,
    error: Tensor | None = None,
) -> Tensor:
    """The floor [T] that the settings describe: a base plus inflation plus noise.

    `normal` draws seeded standard normal numbers; the other inputs are those of `InflationInputs`.
    """
    settings = inputs.settings
    base = floor_base(inputs)
    gap = None
    if settings.inflation_kind == "value_gap":
        assert inputs.optimal_value is not None
        assert inputs.exact_value is not None
        gap = inputs.optimal_value(inputs.states) - inputs.exact_value(inputs.states)
    inflated = InflationInputs(settings, base, inputs.return_to_go, statistics, neighbour_distance, error, gap)
    column = INFLATIONS[settings.inflation_kind](inflated)
    if settings.noise:
        column = column + settings.noise * statistics.return_range * normal(len(column))
    return column
