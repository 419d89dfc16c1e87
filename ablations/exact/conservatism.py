"""The quantities that CQL's Q-values bound from below."""

from functools import cache

import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import ROWS, FiniteProblem, action_value, greedy, policy_value
from ablations.exact.scale import greedy_tables, small_problems
from ablations.exact.tabular import CriticTables, Rows, expectation, no_floor, soft_maximum

TOPIC = "Conservatism of CQL"
ALPHAS = (1.0, 5.0)


def better_policies(problem: FiniteProblem) -> tuple[Tensor, Tensor]:
    """Two policies [S, A] better than the behaviour policy: greedy on its values, and a mix of that and uniform."""
    best = greedy(action_value(problem, policy_value(problem, problem.behaviour)))
    remaining = ROWS - problem.actions
    return best, (1.0 + remaining * best) / ROWS


@cache
def fixed_policy_tables() -> list[tuple[FiniteProblem, Tensor, Tensor]]:
    """Every problem with each better policy and its converged CQL tables [2, S, A] for `ALPHAS`, expectation form."""
    weights = torch.tensor(ALPHAS, dtype=torch.float64)
    return [
        (problem, policy, CriticTables(problem, expectation(policy), weights, no_floor(2, Rows.of(problem))).converge())
        for problem in small_problems()
        for policy in better_policies(problem)
    ]


def overestimates() -> Tensor:
    """E_pi[Q] - V_pi in every state of `fixed_policy_tables`."""
    parts = [
        (policy * table).sum(-1) - policy_value(problem, policy) for problem, policy, table in fixed_policy_tables()
    ]
    return torch.cat([part.flatten() for part in parts])


def pointwise_overestimates() -> Tensor:
    """Q - Q_pi of every action in every state of `fixed_policy_tables`."""
    return torch.cat([
        (table - action_value(problem, policy_value(problem, policy))).flatten()
        for problem, policy, table in fixed_policy_tables()
    ])  # fmt: skip


def distance_from_closed_form() -> Tensor:
    """Q - Q of the penalised problem, whose reward is r - alpha / 2 (pi / beta - 1), for every state and action."""
    distances = []
    for problem, policy, tables in fixed_policy_tables():
        for alpha, table in zip(ALPHAS, tables, strict=True):
            penalty = alpha / 2 * (policy / problem.behaviour - 1.0)
            penalised = FiniteProblem(problem.transition, problem.reward - penalty, problem.discount, problem.behaviour)
            distances.append((table - action_value(penalised, policy_value(penalised, policy))).flatten())
    return torch.cat(distances)


def overestimates_of_max_backup() -> Tensor:
    """max_a Q - V of the greedy policy in every state; soft maximum, max backup, alpha 1 and 5."""
    parts = []
    for problem in small_problems():
        table = greedy_tables(problem)
        parts.append((table.amax(-1) - policy_value(problem, greedy(table))).flatten())
    return torch.cat(parts)


def overestimates_of_soft_policy() -> Tensor:
    """E_pi[Q] - V_pi of pi ~ exp Q in every state; soft maximum, backup of the same policy, alpha 1 and 5."""
    parts = []
    for problem in small_problems():
        weights, floor = torch.tensor(ALPHAS, dtype=torch.float64), no_floor(2, Rows.of(problem))
        start = greedy_tables(problem)
        table = CriticTables(problem, soft_maximum(problem, backup="soft"), weights, floor, start).converge()
        policy = table.softmax(-1)
        parts.append(((policy * table).sum(-1) - policy_value(problem, policy)).flatten())
    return torch.cat(parts)


CASES = "all states of 10 problems, alpha 1 and 5"

CLAIMS = (
    Claim(
        "cql-bounds-the-policys-value", TOPIC,
        "The expectation of CQL's Q-values under the policy lies below the policy's true value.",
        "CQL paper, theorem 3.2", f"E_pi[Q] - V_pi, expectation form, two policies each; {CASES}",
        overestimates, EveryCase(at_most=1e-9),
    ),
    Claim(
        "cql-bounds-every-value", TOPIC,
        "CQL's Q-value of every action lies below its true value.",
        "tutorial, result of the conservative regularizer",
        f"Q - Q_pi of every action, expectation form, two policies each; {CASES}",
        pointwise_overestimates, EveryCase(at_most=1e-9),
    ),
    Claim(
        "cql-is-a-penalised-problem", TOPIC,
        "CQL's Q-values are those of a problem whose reward is reduced by alpha / 2 (pi / beta - 1): only actions "
        "that the policy prefers are pushed below their Bellman backup.", "derived; CQL paper, equation 3",
        f"Q - Q of the penalised problem by a linear solve, two policies each; {CASES}",
        distance_from_closed_form, EveryCase(-1e-7, 1e-7), corrects="cql-bounds-every-value",
    ),
    Claim(
        "max-backup-is-conservative", TOPIC,
        "With the soft maximum and the max backup of the official code, the maximum Q-value is a lower bound of the "
        "greedy policy's value.",
        "tutorial, result of the conservative regularizer",
        f"max_a Q - V of the greedy policy; {CASES}", overestimates_of_max_backup, EveryCase(at_most=1e-7),
    ),
    Claim(
        "the-soft-policy-is-bounded", TOPIC,
        "The soft maximum gives a lower bound of the value of the policy ~ exp Q if that policy is also backed up.",
        "derived", f"E_pi[Q] - V_pi of pi ~ exp Q; {CASES}",
        overestimates_of_soft_policy, EveryCase(at_most=1e-7), corrects="max-backup-is-conservative",
    ),
)  # fmt: skip
