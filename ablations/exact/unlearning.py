"""Whether a pre-trained policy is unlearned when a new action's return comes in, step by step on tables."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import ROWS, one_state
from ablations.exact.tabular import CriticTables, Rows, no_floor, soft_maximum

TOPIC = "Unlearning"
UNLEARNING = "tutorial, the problem: unlearning from over-pessimism"
SMOOTH = "tutorial, deep explanation of the max operation, when online fine-tuning begins"

# Gradient steps that are followed, and their length: the time unit is one full Bellman backup.
STEPS, LENGTH = 400, 0.03

# Where the critic stands at the switch for the good and for the tried action, and what these are truly worth.
Case = tuple[tuple[float, float], tuple[float, float]]
CQL: Case = ((-35.0, -35.0), (-5.0, -10.0))
CAL_QL: Case = ((-2.0, -2.0), (-2.5, -10.0))
CAL_QL_AT_MINUS_10: Case = ((-10.0, -10.0), (-5.0, -12.0))


def path(case: Case, floor: bool, offline_share: float, alphas: tuple[float, ...]) -> Tensor:
    """The critic from the switch on while it learns from the return of the tried action, Q [R, T, 2] (good, tried).

    `offline_share` of every batch are rows of the good action (the offline data), the others of the tried one. With
    `floor` every row's floor is its return, as in Cal-QL. Soft maximum, one state.
    """
    start, worth = case
    problem = one_state(worth, (0.5, 0.5))
    tried = torch.arange(ROWS) >= round(offline_share * ROWS)
    rows = Rows(torch.zeros(ROWS, dtype=torch.long), tried.long())
    weights = torch.tensor(alphas, dtype=torch.float64)
    floors = no_floor(len(alphas), rows)
    if floor:
        floors = problem.reward[rows.states, rows.actions].expand(len(alphas), -1)
    tables = CriticTables(problem, soft_maximum(problem), weights, floors, torch.tensor([[start]]), rows)
    states = [tables.values[:, 0]]
    for _ in range(STEPS):
        tables.step(LENGTH)
        states.append(tables.values[:, 0])
    return torch.stack(states, dim=1)


def greedy_worth(case: Case, values: Tensor) -> Tensor:
    """True value of the greedy action along a path [..., 2]; of equals (to rounding) the good one."""
    good, tried = values.unbind(-1)
    worth_of_good, worth_of_tried = case[1]
    return torch.where(tried > good + 1e-9, worth_of_tried, worth_of_good)


@cache
def dips(floor: bool, offline_share: float, alphas: tuple[float, ...]) -> list[float]:
    """Fall of the greedy action's true value for every weight, in Cal-QL's two cases (`floor`) or in CQL's."""
    falls = []
    for case in (CAL_QL, CAL_QL_AT_MINUS_10) if floor else (CQL,):
        worth = greedy_worth(case, path(case, floor, offline_share, alphas))
        falls += (worth[:, 0] - worth.amin(-1)).tolist()
    return falls


def curve() -> pd.DataFrame:
    """CQL and Cal-QL while they learn from the new return alone, without push-down.

    Columns: algorithm, time (full backups), good, tried (Q), policy_value (true value of the greedy action).
    """
    parts = []
    for name, case, floor in (("CQL", CQL, False), ("Cal-QL", CAL_QL, True)):
        (values,) = path(case, floor, 0.0, (0.0,))
        time = LENGTH * torch.arange(len(values))
        worth = greedy_worth(case, values)
        frame = pd.DataFrame({"time": time, "good": values[:, 0], "tried": values[:, 1], "policy_value": worth})
        parts.append(frame[frame["time"] <= 6].assign(algorithm=name))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = (
        "The good action is truly worth -5 (CQL) and -2.5 (Cal-QL), the tried one -10; no offline data in the batches, "
        "no push-down online."
    )
    return frame


CLAIMS = (
    Claim(
        "cql-unlearns", TOPIC,
        "CQL at -35 unlearns its good action (true value -5) when it sees a new action's return of -10.", UNLEARNING,
        "fall of the greedy action's true value; learning from the new return alone, no push-down online",
        lambda: dips(False, 0.0, (0.0,)), EveryCase(5.0, 5.0),
    ),
    Claim(
        "cql-unlearns-beside-offline-data", TOPIC,
        "CQL does so too when half of every batch is offline data, as all reference runs have it.", UNLEARNING,
        "the same with half offline data; alpha 0, 1, 5, 20",
        lambda: dips(False, 0.5, (0.0, 1.0, 5.0, 20.0)), EveryCase(at_least=1.0),
    ),
    Claim(
        "offline-data-prevent-unlearning", TOPIC,
        "With half offline data neither unlearns in a table: the good action's value recovers as fast as the other's.",
        "derived", "fall of the greedy action's true value, CQL and both cases of Cal-QL; alpha 0, 1, 5, 20",
        lambda: dips(False, 0.5, (0.0, 1.0, 5.0, 20.0)) + dips(True, 0.5, (0.0, 1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
        corrects="cql-unlearns-beside-offline-data",
    ),
    Claim(
        "cal-ql-does-not-unlearn", TOPIC,
        "Cal-QL at -2 (or -10) does not unlearn when it sees a return of -10 (or -12).", SMOOTH,
        "fall of the greedy action's true value; learning from the new return alone, no push-down online",
        lambda: dips(True, 0.0, (0.0,)), EveryCase(0.0, 0.0),
    ),
    Claim(
        "cal-ql-does-not-unlearn-under-push-down", TOPIC,
        "Nor does it where the push-down goes on online, as in the official code.", SMOOTH,
        "the same with alpha 1, 5, 20",
        lambda: dips(True, 0.0, (1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
    ),
    Claim(
        "push-down-needs-offline-data", TOPIC,
        "Where the push-down goes on, the floor of the new returns does not protect the good action; offline data in "
        "every batch do.", "derived",
        "fall of the greedy action's true value with half offline data; alpha 1, 5, 20",
        lambda: dips(True, 0.5, (1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
        corrects="cal-ql-does-not-unlearn-under-push-down",
    ),
)  # fmt: skip
