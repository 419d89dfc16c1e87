"""Where Cal-QL's values come to lie between the floor and the policy's value, and what inflation does to that."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.conservatism import better_policies
from ablations.exact.problems import FiniteProblem, one_state
from ablations.exact.scale import small_problems
from ablations.exact.tabular import CriticTables, Masking, Rows, expectation
from ablations.exact.values import policy_value, stopping_value

TOPIC = "Calibration and inflation"
REFERENCE = "reference of the implementations, the floor is not V"
ALPHAS = (1.0, 5.0, 20.0)
DOSES = tuple(dose / 40 for dose in range(-10, 41))
# A weight whose push-up reaches every floor of `DOSES` from below, and one that pushes little.
STRONG, WEAK = 40.0, 1.0
# What counts as lying above a value.
ABOVE = 1e-6


def room_between(problem: FiniteProblem, policy: Tensor, masking: Masking, alphas: tuple[float, ...]) -> Tensor:
    """min(V_pi - E_pi[Q], E_pi[Q] - V_mu) at every state and weight, under the exact floor V_mu."""
    below, rows = policy_value(problem, problem.behaviour), Rows.of(problem)
    above = policy_value(problem, policy)
    weights = torch.tensor(alphas, dtype=torch.float64)
    floors = below[rows.states].expand(len(alphas), -1)
    value = (policy * CriticTables(problem, expectation(policy, masking), weights, floors).converge()).sum(-1)
    return torch.minimum(above - value, value - below).flatten()


def room_of_best_policies() -> Tensor:
    """Room of the behaviour policy's greedy policy in every problem."""
    rooms = [room_between(problem, better_policies(problem)[0], "per_action", ALPHAS) for problem in small_problems()]
    return torch.cat(rooms)


def room_of_mixed_policies(masking: Masking) -> Tensor:
    """Room of the better policies that take every action, and of a slightly better one in a state of two actions."""
    rooms = [room_between(problem, better_policies(problem)[1], masking, ALPHAS) for problem in small_problems()]
    slightly = torch.tensor([[5 / 8, 3 / 8]], dtype=torch.float64)
    rooms.append(room_between(one_state((-9.0, -11.0), (0.5, 0.5)), slightly, masking, (4.0, 20.0)))
    return torch.cat(rooms)


@cache
def doses(alpha: float) -> pd.DataFrame:
    """The behaviour policy's greedy policy in every problem, under V_mu + dose x range of V_mu (per problem).

    Columns: problem, dose, state, value (E_pi[Q]), floor, policy_value, behaviour_value, stopping_value (the policy's
    with the right to stop for the floor).
    """
    parts = []
    for number, problem in enumerate(small_problems()):
        policy, rows = better_policies(problem)[0], Rows.of(problem)
        below, above = policy_value(problem, problem.behaviour), policy_value(problem, policy)
        floor = below + torch.tensor(DOSES, dtype=torch.float64)[:, None] * (below.max() - below.min())
        weights = torch.full((len(DOSES),), alpha, dtype=torch.float64)
        tables = CriticTables(problem, expectation(policy), weights, floor[:, rows.states]).converge()
        columns = {
            "value": (policy * tables).sum(-1),
            "floor": floor,
            "policy_value": above.expand_as(floor),
            "behaviour_value": below.expand_as(floor),
            "stopping_value": torch.stack([stopping_value(problem, policy, payoff) for payoff in floor]),
        }
        index = pd.MultiIndex.from_product((DOSES, range(problem.states)), names=("dose", "state"))
        frame = pd.DataFrame({name: column.flatten() for name, column in columns.items()}, index=index).reset_index()
        parts.append(frame.assign(problem=number))
    return pd.concat(parts, ignore_index=True)


def infeasible(frame: pd.DataFrame) -> pd.Series:
    """Where no value lies between floor and V_pi."""
    return frame["floor"] > frame["policy_value"]


def over_estimated(frame: pd.DataFrame) -> pd.Series:
    """Where the learned value lies above V_pi."""
    return frame["value"] > frame["policy_value"] + ABOVE


def disagreements() -> pd.Series:
    """By dose the number of states that are infeasible and not over-estimated or the other way round, strong weight."""
    frame = doses(STRONG)
    return (infeasible(frame) != over_estimated(frame)).groupby(frame["dose"]).sum()


def over_estimated_though_feasible() -> pd.Series:
    """By dose the number of states that are over-estimated under a floor below V_pi, weak weight."""
    frame = doses(WEAK)
    return (over_estimated(frame) & ~infeasible(frame)).groupby(frame["dose"]).sum()


def excess_over_stopping() -> pd.Series:
    """Value minus the larger of V_pi and the value of stopping, strong and weak weight."""
    frame = pd.concat((doses(STRONG), doses(WEAK)))
    return frame["value"] - frame[["policy_value", "stopping_value"]].max(axis=1)


def distance_from_infeasible_floors() -> pd.Series:
    """Value minus floor where the floor exceeds V_pi, strong weight."""
    frame = doses(STRONG)
    return (frame["value"] - frame["floor"])[infeasible(frame)]


def curve() -> pd.DataFrame:
    """The chain's values over the dose, weak weight; columns as in `doses`."""
    frame = doses(WEAK)
    return frame[frame["problem"] == 1].drop(columns="problem")


CLAIMS = (
    Claim(
        "between-floor-and-value", TOPIC,
        "Under the exact floor V_mu Cal-QL's values lie between V_mu and V_pi, for a deterministic policy that improves "
        "on mu.", "Cal-QL paper, definition of calibration",
        "min(V_pi - E_pi[Q], E_pi[Q] - V_mu); all states of 10 problems, alpha 1, 5, 20",
        room_of_best_policies, EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-for-any-better-policy", TOPIC,
        "They do so for every policy that improves on mu.", "Cal-QL paper, definition of calibration",
        "the same for policies that take every action, floor on each action",
        lambda: room_of_mixed_policies("per_action"), EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-if-the-expectation-is-bounded", TOPIC,
        "For policies that mix actions it is the bound on the expectation that keeps E_pi[Q] between V_mu and V_pi; a "
        "floor under each action can lift it above V_pi.", "derived",
        "the same, floor on the expectation",
        lambda: room_of_mixed_policies("expectation"), EveryCase(at_least=-1e-7),
        corrects="between-for-any-better-policy",
    ),
    Claim(
        "infeasible-states-are-over-estimated", TOPIC,
        "Where an inflated floor exceeds V_pi, calibration and conservatism exclude each other; under a strong "
        "regulariser it is conservatism that gives way, and the value lies on the floor.", REFERENCE,
        "E_pi[Q] - floor at every infeasible state; 10 problems, 51 doses from -0.25 to 1, alpha 40",
        distance_from_infeasible_floors, EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "the-infeasible-set-follows-the-dose", TOPIC,
        "A state is over-estimated from exactly that dose on at which its floor exceeds V_pi, (V_pi - V_mu) / range.",
        REFERENCE, "states that are infeasible and not over-estimated or the other way round, by dose; alpha 40",
        disagreements, EveryCase(0.0, 0.0),
    ),
    Claim(
        "over-estimation-stays-where-the-floor-is-too-high", TOPIC,
        "Under every weight only states whose own floor exceeds V_pi are over-estimated.", REFERENCE,
        "states that are over-estimated under a floor below V_pi, by dose; alpha 1",
        over_estimated_though_feasible, EveryCase(at_most=0.0),
    ),
    Claim(
        "over-estimation-reaches-as-far-as-stopping-pays", TOPIC,
        "Over-estimation spreads through the backup where the push-down is weak, at most to the value of following pi "
        "with the right to stop for the floor.", "derived",
        "E_pi[Q] - max(V_pi, value of optimal stopping); all states and doses, alpha 1 and 40",
        excess_over_stopping, EveryCase(at_most=1e-7),
        corrects="over-estimation-stays-where-the-floor-is-too-high",
    ),
)  # fmt: skip
