"""Of what the values of CQL are a lower bound."""

from functools import cache

import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import ROWS, FiniteProblem
from ablations.exact.scale import greedy_tables, small_problems
from ablations.exact.tabular import CriticTables, Rows, expectation, no_floor, soft_maximum
from ablations.exact.values import action_value, greedy, policy_value

TOPIC = "Conservatism of CQL"
ALPHAS = (1.0, 5.0)


def better_policies(problem: FiniteProblem) -> tuple[Tensor, Tensor]:
    """Two policies [S, A] that improve on the behaviour policy: its greedy one, and half of that, half uniform."""
    best = greedy(action_value(problem, policy_value(problem, problem.behaviour)))
    extra = ROWS - problem.actions
    return best, (1.0 + extra * best) / ROWS


@cache
def fixed_policy_tables() -> list[tuple[FiniteProblem, Tensor, Tensor]]:
    """Every problem with each better policy and the converged CQL tables [2, S, A] of `ALPHAS`, expectation form."""
    weights = torch.tensor(ALPHAS, dtype=torch.float64)
    return [
        (problem, policy, CriticTables(problem, expectation(policy), weights, no_floor(2, Rows.of(problem))).converge())
        for problem in small_problems()
        for policy in better_policies(problem)
    ]


def over_estimates() -> Tensor:
    """E_pi[Q] - V_pi at every state of `fixed_policy_tables`."""
    parts = [
        (policy * table).sum(-1) - policy_value(problem, policy) for problem, policy, table in fixed_policy_tables()
    ]
    return torch.cat([part.flatten() for part in parts])


def pointwise_over_estimates() -> Tensor:
    """Q - Q_pi of every action at every state of `fixed_policy_tables`."""
    return torch.cat([
        (table - action_value(problem, policy_value(problem, policy))).flatten()
        for problem, policy, table in fixed_policy_tables()
    ])  # fmt: skip


def distance_from_closed_form() -> Tensor:
    """Q - (Q of the penalised problem, r - alpha / 2 (pi / beta - 1) in place of r) at every state and action."""
    distances = []
    for problem, policy, tables in fixed_policy_tables():
        for alpha, table in zip(ALPHAS, tables, strict=True):
            penalty = alpha / 2 * (policy / problem.behaviour - 1.0)
            penalised = FiniteProblem(problem.transition, problem.reward - penalty, problem.discount, problem.behaviour)
            distances.append((table - action_value(penalised, policy_value(penalised, policy))).flatten())
    return torch.cat(distances)


def over_estimates_of_max_backup() -> Tensor:
    """max_a Q - V of the greedy policy at every state; soft maximum, max backup, alpha 1 and 5."""
    parts = []
    for problem in small_problems():
        table = greedy_tables(problem)
        parts.append((table.amax(-1) - policy_value(problem, greedy(table))).flatten())
    return torch.cat(parts)


def over_estimates_of_the_soft_policy() -> Tensor:
    """E_pi[Q] - V_pi of pi ~ exp Q at every state; soft maximum, backup of the same policy, alpha 1 and 5."""
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
        "The expectation of CQL's values over the policy lies below the policy's true value.",
        "CQL paper, theorem 3.2", f"E_pi[Q] - V_pi, expectation form, two policies each; {CASES}",
        over_estimates, EveryCase(at_most=1e-9),
    ),
    Claim(
        "cql-bounds-every-value", TOPIC,
        "CQL's value of every single action lies below its true value.",
        "tutorial, result of the conservative regularizer",
        f"Q - Q_pi of every action, expectation form, two policies each; {CASES}",
        pointwise_over_estimates, EveryCase(at_most=1e-9),
    ),
    Claim(
        "cql-is-a-penalised-problem", TOPIC,
        "Each action's value is that of a problem with alpha / 2 (pi / beta - 1) taken off its reward: only actions "
        "that the policy prefers are pushed below their own backup.", "derived; CQL paper, equation 3",
        f"Q - Q of the penalised problem by a linear solve, two policies each; {CASES}",
        distance_from_closed_form, EveryCase(-1e-7, 1e-7), corrects="cql-bounds-every-value",
    ),
    Claim(
        "max-backup-is-conservative", TOPIC,
        "With the soft maximum and the max backup of the official code the greedy value is a lower bound.",
        "tutorial, result of the conservative regularizer",
        f"max_a Q - V of the greedy policy; {CASES}", over_estimates_of_max_backup, EveryCase(at_most=1e-7),
    ),
    Claim(
        "the-soft-policy-is-bounded", TOPIC,
        "The soft maximum bounds the value of the policy ~ exp Q, where that policy is also the one that is backed up.",
        "derived", f"E_pi[Q] - V_pi of pi ~ exp Q; {CASES}",
        over_estimates_of_the_soft_policy, EveryCase(at_most=1e-7), corrects="max-backup-is-conservative",
    ),
)  # fmt: skip
