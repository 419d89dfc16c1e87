"""Return-to-go: the Monte Carlo value of each step of a trajectory, and what to think of a trajectory that was cut."""

from typing import Literal

import torch

Truncation = Literal["failure_rule", "sum", "bootstrap"]


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
      Without a `failure_reward` (dense task) it is the plain sum.
    - "sum": nothing; a failed trajectory then looks better than it is, the later the step the more.
    - "bootstrap": a state worth `bootstrap_value`.
    """
    if truncation == "failure_rule" and failure_reward is not None and bool((rewards == failure_reward).all()):
        return torch.full(rewards.shape, failure_reward / (1.0 - discount), dtype=torch.float32)
    following = bootstrap_value if truncation == "bootstrap" else 0.0
    values = []
    for reward, ends in zip(reversed(rewards.tolist()), reversed(terminated.tolist()), strict=True):
        following = reward if ends else reward + discount * following
        values.append(following)
    return torch.tensor(values[::-1], dtype=torch.float64).to(torch.float32)
