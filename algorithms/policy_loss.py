"""The losses of the policy and of the entropy temperature, with their gradients written out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.policy_network import Distribution, Sample
from algorithms.settings import PolicyValue


@dataclass(frozen=True)
class PolicyLoss:
    """A loss [R] with its gradients [R, B, A] with respect to the Gaussian's mean and log-std."""

    loss: Tensor
    mean_gradient: Tensor
    log_std_gradient: Tensor


def over_critics(values: Tensor, kind: PolicyValue) -> tuple[Tensor, Tensor]:
    """The minimum or mean [R, B, K] of `values` [R, C, B, K] over critics, and its gradient [R, C, B, K]."""
    if kind == "mean":
        return values.mean(1), torch.full_like(values, 1.0 / values.shape[1])
    minimum, chosen = values.min(1)
    gradient = torch.zeros_like(values).scatter_(1, chosen.unsqueeze(1), 1.0)
    return minimum, gradient


def policy_loss(
    distribution: Distribution,
    sampled: Sample,
    noise: Tensor,
    value: Tensor,
    action_gradient: Tensor,
    entropy_temperature: Tensor,
) -> PolicyLoss:
    """`mean(entropy_temperature * log pi(a|s) - Q(s, a))`, reparametrised (SAC; official code).

    `sampled` holds one action per state (n = 1), drawn with `noise` [R, B, A]. `value` [R, B] is the minimum or mean
    over critics at that action, `action_gradient` [R, B, A] its gradient; `entropy_temperature` is [R].
    """
    action, log_prob = sampled.action.squeeze(2), sampled.log_prob.squeeze(2)
    batch = value.shape[-1]
    temperature = entropy_temperature[:, None, None]
    # d log pi / d raw = 2 tanh(raw); d action / d raw = 1 - tanh(raw)^2.
    raw_gradient = (temperature * 2.0 * action - action_gradient * (1.0 - action.square())) / batch
    return PolicyLoss(
        loss=(entropy_temperature[:, None] * log_prob - value).mean(-1),
        mean_gradient=raw_gradient,
        log_std_gradient=raw_gradient * distribution.log_std.exp() * noise - temperature / batch,
    )


def behaviour_cloning_loss(distribution: Distribution, actions: Tensor) -> PolicyLoss:
    """`mean((tanh(mean) - a)^2)` over the data actions [R, B, A] and their components; independent of the log-std."""
    mode = distribution.mean.tanh()
    error = mode - actions
    count = error[0].numel()
    return PolicyLoss(
        loss=error.square().sum((1, 2)) / count,
        mean_gradient=2.0 / count * error * (1.0 - mode.square()),
        log_std_gradient=torch.zeros_like(error),
    )


def temperature_gradient(temperature: Tensor, log_prob: Tensor, target_entropy: Tensor) -> Tensor:
    """Gradient [R] of `-temperature * (log_prob + target_entropy)` with respect to the log temperature.

    `log_prob` [R] is the mean log-probability of the sampled actions.
    """
    return -temperature * (log_prob + target_entropy)
