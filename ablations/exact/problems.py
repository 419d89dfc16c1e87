"""Finite Markov decision processes with a behaviour policy, and their exact values by linear solves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Action probabilities of behaviour policies are multiples of 1 / ROWS, so a dataset with this many rows per state has
# exactly these frequencies.
ROWS = 8


@dataclass(frozen=True)
class FiniteProblem:
    """A Markov decision process with S states and A actions, in float64."""

    # [S, A, S] transition probabilities; a row that sums to less than one ends the episode with the remainder.
    transition: Tensor
    # [S, A] expected reward.
    reward: Tensor
    discount: float
    # [S, A] the policy that collected the data, in multiples of 1 / ROWS.
    behaviour: Tensor

    @property
    def states(self) -> int:
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        return self.reward.shape[1]


def one_state(rewards: Sequence[float], behaviour: Sequence[float], discount: float = 0.0) -> FiniteProblem:
    """One state in which each action earns its reward; it loops if discount > 0, otherwise the episode ends.

    The tutorial's scenarios are problems of this kind.
    """
    transition = torch.full((1, len(rewards), 1), float(discount > 0), dtype=torch.float64)
    reward = torch.tensor([rewards], dtype=torch.float64)
    return FiniteProblem(transition, reward, discount, torch.tensor([behaviour], dtype=torch.float64))


def chain(length: int, slip: float, discount: float, right: float = 0.75) -> FiniteProblem:
    """A chain from state 0 to a goal beyond the last state, with reward -1 per step and actions left and right.

    A step goes in the opposite direction with probability `slip`; left of state 0 is state 0. The behaviour policy goes
    right with probability `right`.
    """
    transition = torch.zeros(length, 2, length, dtype=torch.float64)
    for state in range(length):
        for action, chance in ((0, slip), (1, 1.0 - slip)):
            transition[state, action, max(state - 1, 0)] += 1.0 - chance
            if state + 1 < length:
                transition[state, action, state + 1] += chance
    reward = torch.full((length, 2), -1.0, dtype=torch.float64)
    behaviour = torch.tensor([[1.0 - right, right]], dtype=torch.float64).expand(length, 2)
    return FiniteProblem(transition, reward, discount, behaviour)


def grid(rows: int, columns: int, slip: float, discount: float) -> FiniteProblem:
    """A grid with its goal in the last cell, reward -1 per step, and actions up, down, left and right.

    Steps into a wall leave the state unchanged. With probability `slip` a step has a random direction. The
    behaviour policy goes down or right in 5 of 8 steps.
    """
    moves = ((-1, 0), (1, 0), (0, -1), (0, 1))
    cells = [(row, column) for row in range(rows) for column in range(columns)][:-1]
    transition = torch.zeros(len(cells), 4, len(cells), dtype=torch.float64)
    for state, (row, column) in enumerate(cells):
        for move, (row_step, column_step) in enumerate(moves):
            target = (min(max(row + row_step, 0), rows - 1), min(max(column + column_step, 0), columns - 1))
            if target != (rows - 1, columns - 1):
                chances = torch.full((4,), slip / 4, dtype=torch.float64)
                chances[move] += 1.0 - slip
                transition[state, :, cells.index(target)] += chances
    reward = torch.full((len(cells), 4), -1.0, dtype=torch.float64)
    behaviour = torch.tensor([[2, 2, 1, 3]], dtype=torch.float64).div(ROWS).expand(len(cells), 4)
    return FiniteProblem(transition, reward, discount, behaviour)


def garnet(seed: int, states: int = 10, actions: int = 4, branching: int = 3, discount: float = 0.8) -> FiniteProblem:
    """A random problem (Archibald et al. 1995): each action leads to `branching` states, rewards lie in [-2, 0].

    The behaviour policy has probability at least 1 / ROWS for every action; the rest is assigned at random.
    """
    rng = torch.Generator().manual_seed(seed)
    transition = torch.zeros(states, actions, states, dtype=torch.float64)
    followers = torch.rand(states, actions, states, generator=rng).topk(branching).indices
    chances = torch.rand(states, actions, branching, generator=rng, dtype=torch.float64)
    transition.scatter_(-1, followers, chances / chances.sum(-1, keepdim=True))
    reward = -2.0 * torch.rand(states, actions, generator=rng, dtype=torch.float64)
    extra = torch.randint(actions, (states, ROWS - actions), generator=rng)
    counts = torch.ones(states, actions, dtype=torch.float64)
    counts.scatter_add_(1, extra, torch.ones_like(extra, dtype=torch.float64))
    return FiniteProblem(transition, reward, discount, counts / ROWS)


def side_by_side(problems: Sequence[FiniteProblem]) -> FiniteProblem:
    """Combine problems with equal actions and discount into one with disconnected parts."""
    offsets = torch.tensor([problem.states for problem in problems]).cumsum(0)
    states, actions = int(offsets[-1]), problems[0].actions
    transition = torch.zeros(states, actions, states, dtype=torch.float64)
    for problem, end in zip(problems, offsets.tolist(), strict=True):
        block = slice(end - problem.states, end)
        transition[block, :, block] = problem.transition
    reward = torch.cat([problem.reward for problem in problems])
    behaviour = torch.cat([problem.behaviour for problem in problems])
    return FiniteProblem(transition, reward, problems[0].discount, behaviour)


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
