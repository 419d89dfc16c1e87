"""The error of each rule for truncated trajectories in the return-to-go, over all possible trajectories."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import chain
from algorithms.floors import return_to_go
from algorithms.settings import Truncation

TOPIC = "Truncated trajectories"
REFERENCE = "comparison of implementations, return-to-go"

# A random walk from the first state of a chain that often misses the goal within its horizon: -1 per step, 0 at the
# goal.
LENGTH, SLIP, RIGHT, HORIZON, DISCOUNT = 8, 0.1, 0.625, 40, 0.98
FAILURE = -1.0
RULES: tuple[Truncation, ...] = ("failure_rule", "sum", "bootstrap")


@cache
def walk() -> tuple[Tensor, Tensor, Tensor]:
    """Transition matrix [S, S] of the behaviour policy (the remainder of a row reaches the goal), its value V [S], and
    the probability [H, S] to be in s after t steps without having reached the goal."""
    problem = chain(LENGTH, SLIP, DISCOUNT, RIGHT)
    steps = torch.einsum("sa,saz->sz", problem.behaviour, problem.transition)
    arrives = 1.0 - steps.sum(-1)
    value = torch.linalg.solve(torch.eye(LENGTH, dtype=torch.float64) - DISCOUNT * steps, FAILURE * (1.0 - arrives))
    start = torch.zeros(LENGTH, dtype=torch.float64)
    start[0] = 1.0
    shares = [start]
    for _ in range(HORIZON - 1):
        shares.append(shares[-1] @ steps)
    return steps, value, torch.stack(shares)


def column(arrival: int | None, rule: Truncation, bootstrap_value: float = 0.0) -> Tensor:
    """Return-to-go [T], as floorbench computes it, of the trajectory that arrives at a step or is truncated."""
    length = arrival or HORIZON
    rewards, ends = torch.full((length,), FAILURE), torch.zeros(length, dtype=torch.bool)
    if arrival:
        rewards[-1], ends[-1] = 0.0, True
    return return_to_go(rewards, ends, DISCOUNT, rule, FAILURE, bootstrap_value).double()


@cache
def errors(rule: Truncation) -> Tensor:
    """E[return-to-go] - V of a trajectory in s after t steps, [H, S]."""
    steps, value, _ = walk()
    arrives = 1.0 - steps.sum(-1)
    columns = [column(arrival, rule) for arrival in range(1, HORIZON + 1)]
    cut = torch.stack([column(None, rule, bootstrap_value=float(end)) for end in value])
    result = torch.zeros(HORIZON, LENGTH, dtype=torch.float64)
    for time in range(HORIZON):
        occupancy = torch.eye(LENGTH, dtype=torch.float64)
        for arrival in range(time + 1, HORIZON + 1):
            result[time] += columns[arrival - 1][time] * (occupancy @ arrives)
            occupancy = occupancy @ steps
        result[time] += occupancy @ cut[:, time]
    return result - value


def occurring_errors(rule: Truncation) -> Tensor:
    """The errors for pairs of time and state with positive probability."""
    return errors(rule)[walk()[2] > 0]


def errors_without_arrival(rule: Truncation) -> Tensor:
    """Error at every step of a trajectory that never reaches the goal, whose value is failure / (1 - discount)."""
    return column(None, rule) - FAILURE / (1.0 - DISCOUNT)


def naive_sums() -> list[float]:
    """The naive sum of a failed trajectory with r = -5 and discount 0.99, minus its published values.

    Mean at lengths 200, 300 and 1000 (-286, -343, -450), and the value ten steps before truncation (-48).
    """
    sums = {
        length: return_to_go(torch.full((length,), -5.0), torch.zeros(length, dtype=torch.bool), 0.99, "sum").double()
        for length in (200, 300, 1000)
    }
    means = [sums[length].mean().item() - stated for length, stated in ((200, -286), (300, -343), (1000, -450))]
    return [*means, sums[200][-10].item() + 48]


def curve() -> pd.DataFrame:
    """Error of each rule by remaining steps, averaged over the states of unfinished trajectories.

    Columns: rule, steps_left, error (E[return-to-go] - V).
    """
    shares = walk()[2]
    parts = []
    for rule in RULES:
        error = (shares * errors(rule)).sum(-1) / shares.sum(-1)
        remaining = HORIZON - torch.arange(HORIZON)
        parts.append(pd.DataFrame({"rule": rule.replace("_", " "), "steps_left": remaining, "error": error}))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = (
        f"A random walk over {LENGTH} cells, truncated after {HORIZON} steps, -1 per step, discount {DISCOUNT:g}: all "
        "trajectories with their probabilities."
    )
    return frame


CASES = (
    f"every state and time of a random walk over {LENGTH} cells, truncated after {HORIZON} steps, discount {DISCOUNT}"
)

CLAIMS = (
    Claim(
        "the-sum-inflates", TOPIC,
        "The naive sum of a truncated trajectory is an inflated floor.", REFERENCE,
        f"E[return-to-go] - V; {CASES}", lambda: occurring_errors("sum"), EveryCase(at_least=0.1),
    ),
    Claim(
        "the-sum-inflates-most-near-the-cut", TOPIC,
        "The inflation of the naive sum grows as fewer steps remain.", REFERENCE,
        "increase of E[return-to-go] - V of every state from one step to the next; the same random walk",
        lambda: errors("sum").diff(dim=0), EveryCase(at_least=0.0),
    ),
    Claim(
        "naive-sums-of-failures", TOPIC,
        "In a failed trajectory with r = -5 (discount 0.99, true value -500), the naive sum averages -286 for 200 "
        "steps, -343 for 300 and -450 for 1000, and is -48 ten steps before truncation.",
        REFERENCE,
        "measured - stated, which is rounded to whole numbers", naive_sums, EveryCase(-1.0, 1.0),
    ),
    Claim(
        "the-failure-rule-is-right", TOPIC,
        "The failure rule gives truncated trajectories their true value.", "official code",
        f"E[return-to-go] - V; {CASES}", lambda: occurring_errors("failure_rule"), EveryCase(-1e-5, 1e-5),
    ),
    Claim(
        "the-failure-rule-deflates", TOPIC,
        "The failure rule underestimates wherever the goal could still have been reached after truncation: a "
        "deflated floor.",
        "derived", f"E[return-to-go] - V; {CASES}", lambda: occurring_errors("failure_rule"), EveryCase(at_most=-0.1),
        corrects="the-failure-rule-is-right",
    ),
    Claim(
        "the-failure-rule-is-right-for-the-stuck", TOPIC,
        "The failure rule is exact for trajectories that would never have reached the goal.", "derived",
        "return-to-go - failure / (1 - discount) at every step",
        lambda: errors_without_arrival("failure_rule"), EveryCase(-1e-4, 1e-4),
        corrects="the-failure-rule-is-right",
    ),
    Claim(
        "the-bootstrap-is-right", TOPIC,
        "Bootstrapping a truncated trajectory with the value of its last state is correct on average.", "derived",
        f"E[return-to-go] - V; {CASES}", lambda: occurring_errors("bootstrap"), EveryCase(-1e-5, 1e-5),
    ),
)  # fmt: skip
