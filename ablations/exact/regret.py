"""Tabular fine-tuning: regret, and its decomposition into miscalibration and overestimation."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import FiniteProblem, garnet, greedy, grid, optimal_value, policy_value
from ablations.exact.tabular import CriticTables, Rows, soft_maximum

TOPIC = "Regret of fine-tuning"
REFERENCE = "comparison of implementations, the floor is not V"

# Inflation of each arm's floor V_mu, in units of the range of V_mu; None is CQL.
ARMS = {"CQL": None, "exact floor": 0.0, "inflated by 0.5": 0.5, "inflated by 2": 2.0}
ALPHA = 5.0
# Number of policies, and transitions and gradient steps per policy.
POLICIES, TRANSITIONS, STEPS = 20, 20, 6


CASES = f"a grid and two random problems, {POLICIES} policies each"


def problems() -> tuple[FiniteProblem, ...]:
    """A slippery grid and two random problems."""
    return grid(3, 4, slip=0.2, discount=0.9), garnet(1, states=6), garnet(2, states=6)


def floors_of(problem: FiniteProblem, rows: Rows) -> Tensor:
    """The floor [arms, B] of every arm and row."""
    value = policy_value(problem, problem.behaviour)
    doses = torch.tensor([-torch.inf if dose is None else dose for dose in ARMS.values()], dtype=torch.float64)
    return (value + doses[:, None] * (value.max() - value.min()))[:, rows.states]


def pre_train(problem: FiniteProblem) -> Tensor:
    """Converged tables [arms, S, A] with soft maximum and max backup, as in the official code."""
    floors, weights = floors_of(problem, Rows.of(problem)), torch.full((len(ARMS),), ALPHA, dtype=torch.float64)
    return CriticTables(problem, soft_maximum(problem), weights, floors).converge(tolerance=1e-6)


def fine_tune(problem: FiniteProblem, arm: int, table: Tensor) -> pd.DataFrame:
    """Run the greedy policy of a table [S, A] and learn from half offline, half online rows; the floor stays active.

    Columns: iteration, optimal (V_star of state 0), predicted (max_a Q), achieved (V of the greedy policy).
    """
    rng = torch.Generator().manual_seed(0)
    push_down, weight = soft_maximum(problem), torch.tensor([ALPHA], dtype=torch.float64)
    best = optimal_value(problem)[0].item()
    offline = Rows.of(problem)
    online = Rows(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    results = []
    for iteration in range(POLICIES):
        policy = greedy(table)
        predicted, achieved = table[0].max().item(), policy_value(problem, policy)[0].item()
        results.append({"iteration": iteration, "optimal": best, "predicted": predicted, "achieved": achieved})
        online = concatenate(online, walk(problem, policy, rng))
        chosen = torch.randint(len(online.states), (len(offline.states),), generator=rng)
        rows = concatenate(offline, Rows(online.states[chosen], online.actions[chosen]))
        tables = CriticTables(problem, push_down, weight, floors_of(problem, rows)[[arm]], table, rows)
        for _ in range(STEPS):
            tables.step(tables.step_size)
        table = tables.values[0]
    return pd.DataFrame(results)


def walk(problem: FiniteProblem, policy: Tensor, rng: torch.Generator) -> Rows:
    """`TRANSITIONS` states and actions of a policy; every episode starts in state 0."""
    state, states, actions = 0, [], []
    for _ in range(TRANSITIONS):
        action = int(policy[state].argmax())
        states.append(state)
        actions.append(action)
        probabilities = problem.transition[state, action]
        ends = (1.0 - probabilities.sum()).clamp(min=0.0)
        state = int(torch.multinomial(torch.cat((probabilities, ends[None])), 1, generator=rng)) % problem.states
    return Rows(torch.tensor(states), torch.tensor(actions))


def concatenate(first: Rows, second: Rows) -> Rows:
    """Concatenate two datasets."""
    return Rows(torch.cat((first.states, second.states)), torch.cat((first.actions, second.actions)))


@cache
def splits() -> pd.DataFrame:
    """Regret by arm, problem and policy.

    Columns: arm, problem, iteration, miscalibration (V_star - max_a Q), overestimation (max_a Q - V of the policy),
    regret (V_star - V of the policy, from the linear solves).
    """
    starts = [pre_train(problem) for problem in problems()]
    parts = [
        fine_tune(problem, index, start[index]).assign(arm=arm, problem=number)
        for index, arm in enumerate(ARMS)
        for number, (problem, start) in enumerate(zip(problems(), starts, strict=True))
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(
        miscalibration=frame["optimal"] - frame["predicted"],
        overestimation=frame["predicted"] - frame["achieved"],
        regret=frame["optimal"] - frame["achieved"],
    )


def sums(column: str) -> pd.DataFrame:
    """Sum over policies, with a row per problem and a column per arm."""
    return splits().pivot_table(index="problem", columns="arm", values=column, aggfunc="sum", sort=False)


def unexplained_regret() -> pd.Series:
    """Regret minus its two parts."""
    frame = splits()
    return frame["regret"] - frame["miscalibration"] - frame["overestimation"]


def excess_regret(arm: str, over: str) -> pd.Series:
    """Regret of an arm minus that of another, summed over policies, by problem."""
    regrets = sums("regret")
    return regrets[arm] - regrets[over]


def curve() -> pd.DataFrame:
    """Cumulative sums over policies and problems. Columns: arm, iteration, miscalibration, overestimation."""
    parts = ["miscalibration", "overestimation"]
    frame = splits().groupby(["arm", "iteration"], sort=False, as_index=False)[parts].sum()
    frame[parts] = frame.groupby("arm", sort=False)[parts].cumsum()
    frame.attrs["problem"] = f"Summed over {CASES}."
    return frame


CLAIMS = (
    Claim(
        "regret-splits", TOPIC,
        "Regret equals miscalibration (V_star - max_a Q) plus overestimation (max_a Q - V of the policy).",
        REFERENCE, f"regret - miscalibration - overestimation, all arms; {CASES}",
        unexplained_regret, EveryCase(-1e-9, 1e-9),
    ),
    Claim(
        "the-exact-floor-lowers-regret", TOPIC,
        "Cal-QL with the exact floor has lower regret than CQL during fine-tuning.", "tutorial, summary",
        f"summed regret of CQL - that of the exact floor; {CASES}",
        lambda: excess_regret("CQL", over="exact floor"), EveryCase(at_least=0.01),
    ),
    Claim(
        "the-exact-floor-changes-no-decision", TOPIC,
        "Tabular CQL and Cal-QL with the exact floor have the same regret: tabular CQL is calibrated for its policy, "
        "so the exact floor has nothing to correct.",
        "derived", f"summed regret of CQL - that of the exact floor; {CASES}",
        lambda: excess_regret("CQL", over="exact floor"), EveryCase(-1e-9, 1e-9),
        corrects="the-exact-floor-lowers-regret",
    ),
    Claim(
        "inflation-costs-regret", TOPIC,
        "An inflated floor has higher regret than CQL.", "tutorial, what if the floor itself is a bad estimate",
        f"summed regret of the floor inflated by 2 - that of CQL; {CASES}",
        lambda: excess_regret("inflated by 2", over="CQL"), EveryCase(at_least=0.0),
    ),
    Claim(
        "inflation-trades-miscalibration", TOPIC,
        "Every dose of inflation lowers miscalibration; whether regret falls, because optimism explores, or rises, "
        "because actions become indistinguishable, depends on the problem.",
        "derived",
        f"increase of summed miscalibration from CQL to the exact floor and to doses 0.5 and 2; {CASES}",
        lambda: sums("miscalibration").diff(axis=1).iloc[:, 1:], EveryCase(at_most=0.0),
        corrects="inflation-costs-regret",
    ),
)  # fmt: skip
