"""Exact values of finite problems, by linear solves."""

import torch
from torch import Tensor

from ablations.exact.problems import FiniteProblem


def policy_value(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """V_pi [..., S] of policies [..., S, A]: the solution of V = r_pi + discount P_pi V."""
    return _solve(_transition(problem, policy), problem.discount, (policy * problem.reward).sum(-1))


def action_value(problem: FiniteProblem, value: Tensor) -> Tensor:
    """Q [..., S, A] of one step with any action, followed by `value` [..., S]: r + discount P V."""
    return problem.reward + problem.discount * torch.einsum("saz,...z->...sa", problem.transition, value)


def greedy(action_values: Tensor) -> Tensor:
    """The policy [..., S, A] that takes the best action, the first of ties."""
    return torch.nn.functional.one_hot(action_values.argmax(-1), action_values.shape[-1]).to(action_values.dtype)


def optimal_value(problem: FiniteProblem) -> Tensor:
    """V_star [S], by policy iteration."""
    policy = problem.behaviour
    while True:
        value = policy_value(problem, policy)
        values = action_value(problem, value)
        if (values.amax(-1) - value).max() < 1e-10:
            return value
        policy = greedy(values)


def stopping_value(problem: FiniteProblem, policy: Tensor, payoff: Tensor) -> Tensor:
    """Value [..., S] of `policy` [S, A] with the right to stop for `payoff` [..., S]: U = max(payoff, T_pi U).

    By policy iteration over the set of states in which to stop.
    """
    transition, reward = _transition(problem, policy), (policy * problem.reward).sum(-1)
    stops = torch.zeros(payoff.shape, dtype=torch.bool)
    while True:
        active = (~stops).to(payoff.dtype)
        value = _solve(active.unsqueeze(-1) * transition, problem.discount, torch.where(stops, payoff, reward))
        continuation = reward + problem.discount * (transition @ value.unsqueeze(-1)).squeeze(-1)
        stops_better = payoff > continuation + 1e-12
        if torch.equal(stops_better, stops):
            return value
        stops = stops_better


def return_variance(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """Variance [S] of the return of `policy` [S, A] (rewards are deterministic given state and action).

    The second moment obeys M = E[r^2 + 2 discount r V(s') + discount^2 M(s')] (Sobel 1982).
    """
    value = policy_value(problem, policy)
    continuation = torch.einsum("saz,z->sa", problem.transition, value)
    moment = (policy * (problem.reward.square() + 2 * problem.discount * problem.reward * continuation)).sum(-1)
    return _solve(_transition(problem, policy), problem.discount**2, moment) - value.square()


def return_distribution(
    problem: FiniteProblem, policy: Tensor, start: int, tail: float = 1e-13
) -> tuple[Tensor, Tensor]:
    """Returns [K] from state `start` and their probabilities, omitting episodes of total probability `tail`.

    Episodes in the same state with the same return so far are merged, which is fast if rewards rarely distinguish paths
    (-1 per step, for example).
    """
    active = {(start, 0.0): 1.0}
    finished: dict[float, float] = {}
    transitions = torch.einsum("sa,saz->saz", policy, problem.transition).tolist()
    ends = (policy * (1.0 - problem.transition.sum(-1))).tolist()
    rewards = problem.reward.tolist()
    weight = 1.0
    while sum(active.values()) > tail:
        next_active: dict[tuple[int, float], float] = {}
        for (state, return_so_far), mass in active.items():
            for action, reward in enumerate(rewards[state]):
                total = return_so_far + weight * reward
                if ends[state][action] > 1e-15:
                    finished[total] = finished.get(total, 0.0) + mass * ends[state][action]
                for target, probability in enumerate(transitions[state][action]):
                    if probability:
                        key = (target, total)
                        next_active[key] = next_active.get(key, 0.0) + mass * probability
        active = next_active
        weight *= problem.discount
    returns = torch.tensor(sorted(finished), dtype=torch.float64)
    return returns, torch.tensor([finished[value] for value in returns.tolist()], dtype=torch.float64)


def _transition(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """Probabilities [..., S, S] of the next state under policies [..., S, A]."""
    return torch.einsum("...sa,saz->...sz", policy, problem.transition)


def _solve(transition: Tensor, discount: float, reward: Tensor) -> Tensor:
    identity = torch.eye(transition.shape[-1], dtype=transition.dtype)
    return torch.linalg.solve(identity - discount * transition, reward.unsqueeze(-1)).squeeze(-1)
