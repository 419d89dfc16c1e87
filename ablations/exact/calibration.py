"""Where Cal-QL's Q-values converge between the floor and the policy's value, and the effect of inflation."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.conservatism import better_policies
from ablations.exact.problems import FiniteProblem, one_state, policy_value, stopping_value
from ablations.exact.scale import small_problems
from ablations.exact.tabular import CriticTables, Masking, PushDown, Rows, expectation, soft_maximum_of

TOPIC = "Calibration and inflation"
REFERENCE = "comparison of implementations, the floor is not V"
DOSES = tuple(dose / 40 for dose in range(-10, 41))
# A weight whose push-up reaches every floor of `DOSES` from below, and a small one.
STRONG, WEAK = 40.0, 1.0
# Tolerance for lying above a value.
TOLERANCE = 1e-6


def margins(
    problem: FiniteProblem, policy: Tensor, push_down: PushDown, alphas: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """E_pi[Q] - V_mu and V_pi - E_pi[Q] for every state and weight, with the exact floor V_mu."""
    below, above, rows = policy_value(problem, problem.behaviour), policy_value(problem, policy), Rows.of(problem)
    weights = torch.tensor(alphas, dtype=torch.float64)
    floors = below[rows.states].expand(len(alphas), -1)
    value = (policy * CriticTables(problem, push_down, weights, floors).converge()).sum(-1)
    return (value - below).flatten(), (above - value).flatten()


def margins_of_greedy_policies() -> Tensor:
    """The smaller margin for the greedy policy of the behaviour policy's values in every problem."""
    parts = []
    for problem in small_problems():
        policy = better_policies(problem)[0]
        parts.append(torch.minimum(*margins(problem, policy, expectation(policy), (1.0, 5.0, 20.0))))
    return torch.cat(parts)


def margins_of_stochastic_policies(masking: Masking) -> Tensor:
    """The smaller margin for better policies with every action, and for a slightly better one in a two-action state.

    Expectation form.
    """
    parts = []
    for problem in small_problems():
        policy = better_policies(problem)[1]
        parts.append(torch.minimum(*margins(problem, policy, expectation(policy, masking), (1.0, 5.0, 20.0))))
    slightly = torch.tensor([[5 / 8, 3 / 8]], dtype=torch.float64)
    two = one_state((-9.0, -11.0), (0.5, 0.5))
    parts.append(torch.minimum(*margins(two, slightly, expectation(slightly, masking), (4.0, 20.0))))
    return torch.cat(parts)


@cache
def margins_in_the_soft_maximum() -> tuple[Tensor, Tensor]:
    """Both margins for better policies with every action; soft maximum, floor on the expectation."""
    parts = []
    for problem in small_problems():
        policy = better_policies(problem)[1]
        parts.append(margins(problem, policy, soft_maximum_of(policy, "expectation"), (1.0, 5.0)))
    below, above = zip(*parts, strict=True)
    return torch.cat(below), torch.cat(above)


@cache
def doses(alpha: float) -> pd.DataFrame:
    """The greedy policy of the behaviour policy's values in every problem, with floor V_mu + dose x range of V_mu.

    Columns: problem, dose, state, value (E_pi[Q]), floor, policy_value, behaviour_value, stopping_value (the value of
    the policy with the option to stop and receive the floor).
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
    """States in which no value lies between the floor and V_pi."""
    return frame["floor"] > frame["policy_value"]


def overestimated(frame: pd.DataFrame) -> pd.Series:
    """States in which the learned value lies above V_pi."""
    return frame["value"] > frame["policy_value"] + TOLERANCE


def disagreements() -> pd.Series:
    """Number of states by dose that are either infeasible or overestimated but not both; strong weight."""
    frame = doses(STRONG)
    return (infeasible(frame) != overestimated(frame)).groupby(frame["dose"]).sum()


def overestimated_though_feasible() -> pd.Series:
    """Number of states by dose that are overestimated although the floor lies below V_pi; weak weight."""
    frame = doses(WEAK)
    return (overestimated(frame) & ~infeasible(frame)).groupby(frame["dose"]).sum()


def excess_over_stopping() -> pd.Series:
    """Value minus the larger of V_pi and the stopping value; strong and weak weight."""
    frame = pd.concat((doses(STRONG), doses(WEAK)))
    return frame["value"] - frame[["policy_value", "stopping_value"]].max(axis=1)


def distance_from_infeasible_floors() -> pd.Series:
    """Value minus floor where the floor exceeds V_pi; strong weight."""
    frame = doses(STRONG)
    return (frame["value"] - frame["floor"])[infeasible(frame)]


def curve() -> pd.DataFrame:
    """The chain's values by dose, weak weight; columns as in `doses`."""
    frame = doses(WEAK)
    walk = frame[frame["problem"] == 1].drop(columns="problem")
    walk.attrs["problem"] = f"A chain of 8 cells, its greedy policy, expectation form, alpha {WEAK:g}, discount 0.9."
    return walk


CLAIMS = (
    Claim(
        "between-floor-and-value", TOPIC,
        "With the exact floor V_mu, Cal-QL's values lie between V_mu and V_pi for every deterministic policy that "
        "improves on mu.", "Cal-QL paper, definition of calibration",
        "min(V_pi - E_pi[Q], E_pi[Q] - V_mu); all states of 10 problems, alpha 1, 5, 20",
        margins_of_greedy_policies, EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-for-any-better-policy", TOPIC,
        "With the exact floor V_mu, Cal-QL's values lie between V_mu and V_pi for every policy that improves on mu.",
        "Cal-QL paper, definition of calibration",
        "the same for policies with every action; expectation form, floor on each action",
        lambda: margins_of_stochastic_policies("per_action"), EveryCase(at_least=-1e-7),
    ),
    Claim(
        "between-if-the-expectation-is-bounded", TOPIC,
        "For stochastic policies, a floor on the expectation keeps E_pi[Q] between V_mu and V_pi; a floor on each "
        "action can raise it above V_pi.",
        "derived",
        "the same; expectation form, floor on the expectation",
        lambda: margins_of_stochastic_policies("expectation"), EveryCase(at_least=-1e-7),
        corrects="between-for-any-better-policy",
    ),
    Claim(
        "between-in-the-soft-maximum", TOPIC,
        "With the soft maximum, a floor on the expectation also keeps E_pi[Q] below V_pi.", "derived",
        "V_pi - E_pi[Q] for policies with every action; all states of 10 problems, alpha 1 and 5",
        lambda: margins_in_the_soft_maximum()[1], EveryCase(at_least=-1e-7),
    ),
    Claim(
        "calibrated-in-the-soft-maximum", TOPIC,
        "With the soft maximum, only the lower bound E_pi[Q] >= V_mu is guaranteed, because the push-down acts on the "
        "policy ~ exp Q, not on pi.",
        "derived", "E_pi[Q] - V_mu; the same cases",
        lambda: margins_in_the_soft_maximum()[0], EveryCase(at_least=-1e-7), corrects="between-in-the-soft-maximum",
    ),
    Claim(
        "infeasible-states-are-over-estimated", TOPIC,
        "Where an inflated floor exceeds V_pi, calibration and conservatism are incompatible; with a strong "
        "regulariser, conservatism is lost and the value equals the floor.",
        REFERENCE,
        "E_pi[Q] - floor at every infeasible state; 10 problems, 51 doses from -0.25 to 1, alpha 40",
        distance_from_infeasible_floors, EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "the-infeasible-set-follows-the-dose", TOPIC,
        "A state is overestimated exactly at the doses at which its floor exceeds V_pi, from (V_pi - V_mu) / range on.",
        REFERENCE, "states that are either infeasible or overestimated but not both, by dose; alpha 40",
        disagreements, EveryCase(0.0, 0.0),
    ),
    Claim(
        "over-estimation-stays-where-the-floor-is-too-high", TOPIC,
        "At every weight, only states whose floor exceeds V_pi are overestimated.", REFERENCE,
        "states that are overestimated although the floor lies below V_pi, by dose; alpha 1",
        overestimated_though_feasible, EveryCase(at_most=0.0),
    ),
    Claim(
        "over-estimation-reaches-as-far-as-stopping-pays", TOPIC,
        "With a weak push-down, overestimation spreads through the backup, at most to the value of following pi with "
        "the option to stop and receive the floor.",
        "derived",
        "E_pi[Q] - max(V_pi, value of optimal stopping); all states and doses, alpha 1 and 40",
        excess_over_stopping, EveryCase(at_most=1e-7),
        corrects="over-estimation-stays-where-the-floor-is-too-high",
    ),
)  # fmt: skip
