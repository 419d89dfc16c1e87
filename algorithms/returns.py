"""Return-to-go: the Monte Carlo value of every step of a trajectory, with rules for truncated trajectories."""

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
    """Discounted sum of rewards from each step to the end of the trajectory: float32 [T], summed in float64.

    `rewards` [T] (mapped) and `terminated` [T] (bool) belong to one trajectory; the sum restarts after a terminal step.
    `truncation` is the rule for a trajectory that does not end at a terminal step:

    - "failure_rule": if every reward is `failure_reward`, the trajectory is assumed to fail forever and every step has
      the value `failure_reward / (1 - discount)`; otherwise the plain sum (official Cal-QL, sparse tasks). Without a
      `failure_reward` (dense tasks) this and the next two rules are the plain sum.
    - "last_reward_rule": the same if the last reward is `failure_reward` (CORL).
    - "suffix_rule": the same for the steps from which on all rewards are `failure_reward`; earlier steps get the plain
      sum (d3rlpy).
    - "sum": the plain sum. It overestimates failed trajectories, the more the later the step.
    - "bootstrap": the plain sum with `bootstrap_value` as the value of the last state.
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
    """Which steps [T] of a trajectory fail forever under the rule `truncation`."""
    failure = rewards == failure_reward if failure_reward is not None else torch.zeros_like(rewards, dtype=torch.bool)
    if truncation == "failure_rule":
        return failure.all().expand(rewards.shape)
    if truncation == "last_reward_rule":
        return failure[-1:].all().expand(rewards.shape)
    if truncation == "suffix_rule":
        return failure.flip(0).cummin(0).values.flip(0)
    return torch.zeros_like(failure)
