"""Where Cal-QL's values come to lie between the floor and the policy's value, and what inflation does to that."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.conservatism import better_policies
from ablations.exact.problems import FiniteProblem, one_state
from ablations.exact.scale import small_problems
from ablations.exact.tabular import CriticTables, Masking, PushDown, Rows, expectation, soft_maximum_of
from ablations.exact.values import policy_value, stopping_value

TOPIC = "Calibration and inflation"
REFERENCE = "reference of the implementations, the floor is not V"
DOSES = tuple(dose / 40 for dose in range(-10, 41))
# A weight whose push-up reaches every floor of `DOSES` from below, and one that pushes little.
STRONG, WEAK = 40.0, 1.0
# What counts as lying above a value.
ABOVE = 1e-6


def room_between(
    problem: FiniteProblem, policy: Tensor, push_down: PushDown, alphas: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """E_pi[Q] - V_mu and V_pi - E_pi[Q] at every state and weight, under the exact floor V_mu."""
    below, above, rows = policy_value(problem, problem.behaviour), policy_value(problem, policy), Rows.of(problem)
    weights = torch.tensor(alphas, dtype=torch.float64)
    floors = below[rows.states].expand(len(alphas), -1)
    value = (policy * CriticTables(problem, push_down, weights, floors).converge()).sum(-1)
    return (value - below).flatten(), (above - value).flatten()


def room_of_best_policies() -> Tensor:
    """The smaller room of the behaviour policy's greedy policy in every problem."""
    rooms = []
    for problem in small_problems():
        policy = better_policies(problem)[0]
        rooms.append(torch.minimum(*room_between(problem, policy, expectation(policy), (1.0, 5.0, 20.0))))
    return torch.cat(rooms)


def room_of_mixed_policies(masking: Masking) -> Tensor:
    """The smaller room of the better policies that take every action, and of a slightly better one in a state of two
    actions, expectation form."""
    rooms = []
    for problem in small_problems():
        policy = better_policies(problem)[1]
        rooms.append(torch.minimum(*room_between(problem, policy, expectation(policy, masking), (1.0, 5.0, 20.0))))
    slightly = torch.tensor([[5 / 8, 3 / 8]], dtype=torch.float64)
    two = one_state((-9.0, -11.0), (0.5, 0.5))
    rooms.append(torch.minimum(*room_between(two, slightly, expectation(slightly, masking), (4.0, 20.0))))
    return torch.cat(rooms)


@cache
def room_in_the_soft_maximum() -> tuple[Tensor, Tensor]:
    """Both rooms of the better policies that take every action, soft maximum, floor on the expectation."""
    rooms = []
    for problem in small_problems():
        policy = better_policies(problem)[1]
        rooms.append(room_between(problem, policy, soft_maximum_of(policy, "expectation"), (1.0, 5.0)))
    below, above = zip(*rooms, strict=True)
    return torch.cat(below), torch.cat(above)


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
    walk = frame[frame["problem"] == 1].drop(columns="problem")
    walk.attrs["problem"] = f"A chain of 8 cells, its greedy policy, expectation form, alpha {WEAK:g}, discount 0.9."
    return walk


CLAIMS = (
    Claim(
        "between-floor-and-value", TOPIC,
        "Under the exact floor V_mu Cal-QL's values lie between V_mu and V_pi, for a deterministic policy that "
        "improves on mu.", "Cal-QL paper, definition of calibration",
        "min(V_pi - E_pi[Q], E_pi[Q] - V_mu); all states of 10 problems, alpha 1, 5, 20",
        room_of_best_policies, EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-for-any-better-policy", TOPIC,
        "They do so for every policy that improves on mu.", "Cal-QL paper, definition of calibration",
        "the same for policies that take every action, expectation form, floor on each action",
        lambda: room_of_mixed_policies("per_action"), EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-if-the-expectation-is-bounded", TOPIC,
        "For policies that mix actions it is the bound on the expectation that keeps E_pi[Q] between V_mu and V_pi; a "
        "floor under each action can lift it above V_pi.", "derived",
        "the same, expectation form, floor on the expectation",
        lambda: room_of_mixed_policies("expectation"), EveryCase(at_least=-1e-7),
        corrects="between-for-any-better-policy",
    ),
    Claim(
        "between-in-the-soft-maximum", TOPIC,
        "The bound on the expectation keeps E_pi[Q] below V_pi in the soft maximum too.", "derived",
        "V_pi - E_pi[Q] for policies that take every action; all states of 10 problems, alpha 1 and 5",
        lambda: room_in_the_soft_maximum()[1], EveryCase(at_least=-1e-7),
    ),
    Claim(
        "calibrated-in-the-soft-maximum", TOPIC,
        "In the soft maximum only the lower half is sure, E_pi[Q] >= V_mu: what is pushed down is the policy ~ exp Q, "
        "not pi.", "derived", "E_pi[Q] - V_mu; the same cases",
        lambda: room_in_the_soft_maximum()[0], EveryCase(at_least=-1e-7), corrects="between-in-the-soft-maximum",
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
