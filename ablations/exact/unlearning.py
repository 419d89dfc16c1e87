"""Tabular tests of whether a pre-trained policy is unlearned when the return of a new action is observed."""

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

# Number and size of gradient steps; the time unit is one full Bellman backup.
STEPS, STEP_SIZE = 400, 0.03

# Q-values of the good and the tried action at the switch, and their true values.
Case = tuple[tuple[float, float], tuple[float, float]]
CQL: Case = ((-35.0, -35.0), (-5.0, -10.0))
CAL_QL: Case = ((-2.0, -2.0), (-2.5, -10.0))
CAL_QL_AT_MINUS_10: Case = ((-10.0, -10.0), (-5.0, -12.0))


def path(case: Case, floor: bool, offline_share: float, alphas: tuple[float, ...]) -> Tensor:
    """Q [R, T, 2] of the good and the tried action while the critic learns from the tried action's return online.

    A share `offline_share` of every batch has the good action (offline data), the rest the tried one. With `floor`, the
    floor of every row is its return, as in Cal-QL. Soft maximum, one state.
    """
    start, true_values = case
    problem = one_state(true_values, (0.5, 0.5))
    tried = torch.arange(ROWS) >= round(offline_share * ROWS)
    rows = Rows(torch.zeros(ROWS, dtype=torch.long), tried.long())
    weights = torch.tensor(alphas, dtype=torch.float64)
    floors = no_floor(len(alphas), rows)
    if floor:
        floors = problem.reward[rows.states, rows.actions].expand(len(alphas), -1)
    tables = CriticTables(problem, soft_maximum(problem), weights, floors, torch.tensor([[start]]), rows)
    states = [tables.values[:, 0]]
    for _ in range(STEPS):
        tables.step(STEP_SIZE)
        states.append(tables.values[:, 0])
    return torch.stack(states, dim=1)


def greedy_true_value(case: Case, values: Tensor) -> Tensor:
    """True value of the greedy action along a path [..., 2]; ties (up to rounding) go to the good one."""
    good, tried = values.unbind(-1)
    good_value, tried_value = case[1]
    return torch.where(tried > good + 1e-9, tried_value, good_value)


@cache
def dips(floor: bool, offline_share: float, alphas: tuple[float, ...]) -> list[float]:
    """Decrease of the greedy action's true value by weight, in Cal-QL's two cases (`floor`) or in CQL's."""
    decreases = []
    for case in (CAL_QL, CAL_QL_AT_MINUS_10) if floor else (CQL,):
        true_values = greedy_true_value(case, path(case, floor, offline_share, alphas))
        decreases += (true_values[:, 0] - true_values.amin(-1)).tolist()
    return decreases


def curve() -> pd.DataFrame:
    """CQL and Cal-QL while they learn only from the new return, without a push-down.

    Columns: algorithm, time (full backups), good, tried (Q), policy_value (true value of the greedy action).
    """
    parts = []
    for name, case, floor in (("CQL", CQL, False), ("Cal-QL", CAL_QL, True)):
        (values,) = path(case, floor, 0.0, (0.0,))
        time = STEP_SIZE * torch.arange(len(values))
        true_values = greedy_true_value(case, values)
        frame = pd.DataFrame({"time": time, "good": values[:, 0], "tried": values[:, 1], "policy_value": true_values})
        parts.append(frame[frame["time"] <= 6].assign(algorithm=name))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = (
        "True value of the good action: -5 (CQL) and -2.5 (Cal-QL); of the tried one: -10. No offline data in the "
        "batches, no push-down online."
    )
    return frame


CLAIMS = (
    Claim(
        "cql-unlearns", TOPIC,
        "CQL at -35 unlearns its good action (true value -5) when it observes a return of -10 for a new action.",
        UNLEARNING,
        "decrease of the greedy action's true value; learning only from the new return, no push-down online",
        lambda: dips(False, 0.0, (0.0,)), EveryCase(5.0, 5.0),
    ),
    Claim(
        "cql-unlearns-beside-offline-data", TOPIC,
        "CQL also unlearns it when half of every batch is offline data, as in all reference implementations.",
        UNLEARNING,
        "the same with half offline data; alpha 0, 1, 5, 20",
        lambda: dips(False, 0.5, (0.0, 1.0, 5.0, 20.0)), EveryCase(at_least=1.0),
    ),
    Claim(
        "half-offline-data-prevent-unlearning", TOPIC,
        "With half offline data and alpha of at most 20, neither tabular CQL nor Cal-QL unlearns: the Q-value of the "
        "good action recovers as fast as that of the new one. (With smaller shares, see the switch.)",
        "derived", "decrease of the greedy action's true value; CQL and both cases of Cal-QL, alpha 0, 1, 5, 20",
        lambda: dips(False, 0.5, (0.0, 1.0, 5.0, 20.0)) + dips(True, 0.5, (0.0, 1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
        corrects="cql-unlearns-beside-offline-data",
    ),
    Claim(
        "cal-ql-does-not-unlearn", TOPIC,
        "Cal-QL at -2 (or -10) does not unlearn its good action when it observes a return of -10 (or -12).", SMOOTH,
        "decrease of the greedy action's true value; learning only from the new return, no push-down online",
        lambda: dips(True, 0.0, (0.0,)), EveryCase(0.0, 0.0),
    ),
    Claim(
        "cal-ql-does-not-unlearn-under-push-down", TOPIC,
        "Cal-QL does not unlearn its good action if the push-down continues online, as in the official code.", SMOOTH,
        "the same with alpha 1, 5, 20",
        lambda: dips(True, 0.0, (1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
    ),
    Claim(
        "push-down-needs-offline-data", TOPIC,
        "If the push-down continues online, half offline data in every batch protect the good action; the floor of the "
        "new returns does not.", "derived",
        "decrease of the greedy action's true value with half offline data; alpha 1, 5, 20",
        lambda: dips(True, 0.5, (1.0, 5.0, 20.0)), EveryCase(0.0, 0.0),
        corrects="cal-ql-does-not-unlearn-under-push-down",
    ),
)  # fmt: skip
