"""Return-to-go: the Monte Carlo value of each step of a trajectory, and what to think of a trajectory that was cut."""

import torch

from algorithms.settings import Truncation


def return_to_go(
    rewards: torch.Tensor,
    terminated: torch.Tensor,
    discount: float,
    truncation: Truncation = "failure_rule",
    failure_reward: float | None = None,
    bootstrap_value: float = 0.0,
) -> torch.Tensor:
    """Discounted sum of the rewards from each step to the end of its trajectory; float32 [T], summed in float64.

    `rewards` [T] (mapped) and `terminated` [T] (bool) are one trajectory; the sum starts afresh after a terminal.
    `truncation` says what follows a last step that is no terminal:

    - "failure_rule": nothing, unless every reward of the trajectory is `failure_reward`: such a trajectory is taken to
      fail for ever, so that every step is worth `failure_reward / (1 - discount)` (official Cal-QL, sparse tasks).
      Without a `failure_reward` (dense task) it is the plain sum, here and below.
    - "last_reward_rule": the same of a trajectory whose last reward is `failure_reward` (CORL).
    - "suffix_rule": the same of every step from which on all rewards are `failure_reward`; the steps before are summed
      to the end as if nothing followed (d3rlpy).
    - "sum": nothing; a failed trajectory then looks better than it is, the later the step the more.
    - "bootstrap": a state worth `bootstrap_value`.
    """
    failing = failing_steps(rewards, truncation, failure_reward)
    following = bootstrap_value if truncation == "bootstrap" else 0.0
    values = []
    for reward, ends in zip(reversed(rewards.tolist()), reversed(terminated.tolist()), strict=True):
        following = reward if ends else reward + discount * following
        values.append(following)
    summed = torch.tensor(values[::-1], dtype=torch.float64).to(torch.float32)
    return summed if failure_reward is None else summed.masked_fill(failing, failure_reward / (1.0 - discount))


def failing_steps(rewards: torch.Tensor, truncation: Truncation, failure_reward: float | None) -> torch.Tensor:
    """Which steps [T] of a trajectory fail for ever by the rule `truncation`."""
    failure = rewards == failure_reward if failure_reward is not None else torch.zeros_like(rewards, dtype=torch.bool)
    if truncation == "failure_rule":
        return failure.all().expand(rewards.shape)
    if truncation == "last_reward_rule":
        return failure[-1:].all().expand(rewards.shape)
    if truncation == "suffix_rule":
        return failure.flip(0).cummin(0).values.flip(0)
    return torch.zeros_like(failure)
