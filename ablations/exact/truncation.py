"""What each rule for cut-off trajectories does to the return-to-go, over every trajectory that can happen."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import chain
from algorithms.returns import Truncation, return_to_go

TOPIC = "Truncated trajectories"
REFERENCE = "reference of the implementations, return-to-go"

# A walk that often does not arrive within its horizon; -1 per step, 0 on arriving, from the first state of the chain.
LENGTH, SLIP, RIGHT, HORIZON, DISCOUNT = 8, 0.1, 0.625, 40, 0.98
FAILURE = -1.0
RULES: tuple[Truncation, ...] = ("failure_rule", "sum", "bootstrap")


@cache
def walk() -> tuple[Tensor, Tensor, Tensor]:
    """Steps [S, S] of the behaviour policy (what a row lacks arrives), its value V [S], and the share [H, S] of
    trajectories that have not arrived after t steps and stand at s."""
    problem = chain(LENGTH, SLIP, DISCOUNT, RIGHT)
    steps = torch.einsum("sa,saz->sz", problem.behaviour, problem.transition)
    arrives = 1.0 - steps.sum(-1)
    value = torch.linalg.solve(torch.eye(LENGTH, dtype=torch.float64) - DISCOUNT * steps, FAILURE * (1.0 - arrives))
    here = torch.zeros(LENGTH, dtype=torch.float64)
    here[0] = 1.0
    shares = [here]
    for _ in range(HORIZON - 1):
        shares.append(shares[-1] @ steps)
    return steps, value, torch.stack(shares)


def column(arrival: int | None, rule: Truncation, bootstrap_value: float = 0.0) -> Tensor:
    """The project's return-to-go [T] of the trajectory that arrives at that step, or is cut at the horizon."""
    length = arrival or HORIZON
    rewards, ends = torch.full((length,), FAILURE), torch.zeros(length, dtype=torch.bool)
    if arrival:
        rewards[-1], ends[-1] = 0.0, True
    return return_to_go(rewards, ends, DISCOUNT, rule, FAILURE, bootstrap_value).double()


@cache
def errors(rule: Truncation) -> Tensor:
    """E[return-to-go] - V of a trajectory that stands at s after t steps, [H, S]."""
    steps, value, _ = walk()
    arrives = 1.0 - steps.sum(-1)
    columns = [column(arrival, rule) for arrival in range(1, HORIZON + 1)]
    cut = torch.stack([column(None, rule, bootstrap_value=float(end)) for end in value])
    result = torch.zeros(HORIZON, LENGTH, dtype=torch.float64)
    for time in range(HORIZON):
        standing = torch.eye(LENGTH, dtype=torch.float64)
        for arrival in range(time + 1, HORIZON + 1):
            result[time] += columns[arrival - 1][time] * (standing @ arrives)
            standing = standing @ steps
        result[time] += standing @ cut[:, time]
    return result - value


def reached(rule: Truncation) -> Tensor:
    """The errors at those times and states that occur."""
    return errors(rule)[walk()[2] > 0]


def stuck(rule: Truncation) -> Tensor:
    """Error at every step of a trajectory that would never arrive, whose value is failure / (1 - discount)."""
    return column(None, rule) - FAILURE / (1.0 - DISCOUNT)


def naive_sums() -> list[float]:
    """The plain sum of a failed trajectory of r = -5, discount 0.99: its mean at lengths 200, 300 and 1000, and its
    value ten steps before the cut, minus the published -286, -343, -450 and -48."""
    sums = {
        length: return_to_go(torch.full((length,), -5.0), torch.zeros(length, dtype=torch.bool), 0.99, "sum").double()
        for length in (200, 300, 1000)
    }
    means = [sums[length].mean().item() - stated for length, stated in ((200, -286), (300, -343), (1000, -450))]
    return [*means, sums[200][-10].item() + 48]


def curve() -> pd.DataFrame:
    """Error of each rule against the steps that were left, over the states of the trajectories still under way.

    Columns: rule, steps_left, error (E[return-to-go] - V).
    """
    shares = walk()[2]
    parts = []
    for rule in RULES:
        error = (shares * errors(rule)).sum(-1) / shares.sum(-1)
        left = HORIZON - torch.arange(HORIZON)
        parts.append(pd.DataFrame({"rule": rule.replace("_", " "), "steps_left": left, "error": error}))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = (
        f"A walk of {LENGTH} cells, cut after {HORIZON} steps, -1 per step, discount {DISCOUNT:g}: every trajectory "
        "that can happen, with its probability."
    )
    return frame


CASES = f"every state and time of a walk of {LENGTH} cells that is cut after {HORIZON} steps, discount {DISCOUNT}"

CLAIMS = (
    Claim(
        "the-sum-inflates", TOPIC,
        "Summing a cut trajectory to its end without more is an inflated floor.", REFERENCE,
        f"E[return-to-go] - V; {CASES}", lambda: reached("sum"), EveryCase(at_least=0.1),
    ),
    Claim(
        "the-sum-inflates-most-near-the-cut", TOPIC,
        "The inflation of the sum is the larger the fewer steps are left.", REFERENCE,
        "growth of E[return-to-go] - V of every state from one step to the next; the same walk",
        lambda: errors("sum").diff(dim=0), EveryCase(at_least=0.0),
    ),
    Claim(
        "naive-sums-of-failures", TOPIC,
        "In a failed trajectory of r = -5 (discount 0.99, truth -500) the sum averages -286 at 200 steps, -343 at 300, "
        "-450 at 1000, and is -48 ten steps before the cut.", REFERENCE,
        "measured minus stated, in whole numbers", naive_sums, EveryCase(-1.0, 1.0),
    ),
    Claim(
        "the-failure-rule-is-right", TOPIC,
        "The failure rule gives cut trajectories their value.", "official code",
        f"E[return-to-go] - V; {CASES}", lambda: reached("failure_rule"), EveryCase(-1e-5, 1e-5),
    ),
    Claim(
        "the-failure-rule-deflates", TOPIC,
        "The failure rule errs downwards wherever the walk could still have arrived after the cut: a deflated floor.",
        "derived", f"E[return-to-go] - V; {CASES}", lambda: reached("failure_rule"), EveryCase(at_most=-0.1),
        corrects="the-failure-rule-is-right",
    ),
    Claim(
        "the-failure-rule-is-right-for-the-stuck", TOPIC,
        "It is right for trajectories that would never have arrived.", "derived",
        "return-to-go - failure / (1 - discount) at every step", lambda: stuck("failure_rule"), EveryCase(-1e-4, 1e-4),
        corrects="the-failure-rule-is-right",
    ),
    Claim(
        "the-bootstrap-is-right", TOPIC,
        "Continuing a cut trajectory with the value of its last state is right on average.", "derived",
        f"E[return-to-go] - V; {CASES}", lambda: reached("bootstrap"), EveryCase(-1e-5, 1e-5),
    ),
)  # fmt: skip
