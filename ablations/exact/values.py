"""Exact values of finite problems, by linear solves."""

import torch
from torch import Tensor

from ablations.exact.problems import FiniteProblem


def policy_value(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """V_pi [..., S] of policies [..., S, A]: the solution of V = r_pi + discount P_pi V."""
    return _solve(_steps(problem, policy), problem.discount, (policy * problem.reward).sum(-1))


def action_value(problem: FiniteProblem, value: Tensor) -> Tensor:
    """One step of any action, then `value` [..., S]: r + discount P V, [..., S, A]."""
    return problem.reward + problem.discount * torch.einsum("saz,...z->...sa", problem.transition, value)


def greedy(action_values: Tensor) -> Tensor:
    """The policy [..., S, A] that takes the best action; the first of equals."""
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

    By policy iteration over the set of states at which to stop.
    """
    steps, reward = _steps(problem, policy), (policy * problem.reward).sum(-1)
    stops = torch.zeros(payoff.shape, dtype=torch.bool)
    while True:
        going = (~stops).to(payoff.dtype)
        value = _solve(going.unsqueeze(-1) * steps, problem.discount, torch.where(stops, payoff, reward))
        onward = reward + problem.discount * (steps @ value.unsqueeze(-1)).squeeze(-1)
        better = payoff > onward + 1e-12
        if torch.equal(better, stops):
            return value
        stops = better


def return_variance(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """Variance [S] of the return of `policy` [S, A] (rewards are certain given state and action).

    The second moment obeys M = E[r^2 + 2 discount r V(s') + discount^2 M(s')] (Sobel 1982).
    """
    value = policy_value(problem, policy)
    onward = torch.einsum("saz,z->sa", problem.transition, value)
    moment = (policy * (problem.reward.square() + 2 * problem.discount * problem.reward * onward)).sum(-1)
    return _solve(_steps(problem, policy), problem.discount**2, moment) - value.square()


def return_distribution(
    problem: FiniteProblem, policy: Tensor, start: int, left_out: float = 1e-13
) -> tuple[Tensor, Tensor]:
    """Returns [K] from state `start` and their probabilities, except episodes of total probability `left_out`.

    Episodes are followed together that are in the same state with the same return so far, so it is quick where rewards
    tell little about the way (for example -1 per step).
    """
    going = {(start, 0.0): 1.0}
    ended: dict[float, float] = {}
    chances = torch.einsum("sa,saz->saz", policy, problem.transition).tolist()
    ends = (policy * (1.0 - problem.transition.sum(-1))).tolist()
    rewards = problem.reward.tolist()
    weight = 1.0
    while sum(going.values()) > left_out:
        following: dict[tuple[int, float], float] = {}
        for (state, so_far), mass in going.items():
            for action, reward in enumerate(rewards[state]):
                total = so_far + weight * reward
                if ends[state][action] > 1e-15:
                    ended[total] = ended.get(total, 0.0) + mass * ends[state][action]
                for target, chance in enumerate(chances[state][action]):
                    if chance:
                        key = (target, total)
                        following[key] = following.get(key, 0.0) + mass * chance
        going = following
        weight *= problem.discount
    returns = torch.tensor(sorted(ended), dtype=torch.float64)
    return returns, torch.tensor([ended[value] for value in returns.tolist()], dtype=torch.float64)


def _steps(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """Probabilities [..., S, S] of the next state under policies [..., S, A]."""
    return torch.einsum("...sa,saz->...sz", policy, problem.transition)


def _solve(steps: Tensor, discount: float, reward: Tensor) -> Tensor:
    identity = torch.eye(steps.shape[-1], dtype=steps.dtype)
    return torch.linalg.solve(identity - discount * steps, reward.unsqueeze(-1)).squeeze(-1)
