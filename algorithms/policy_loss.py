"""The policy loss and the loss of the entropy temperature, with their gradients written out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.policy_network import Distribution, Sample


@dataclass(frozen=True)
class PolicyLoss:
    """Loss [R] and its slopes [R, B, A] in the Gaussian's mean and log-std."""

    loss: Tensor
    of_mean: Tensor
    of_log_std: Tensor


def smaller_critic(values: Tensor) -> tuple[Tensor, Tensor]:
    """The smaller critic's value [R, B, K] of values [R, C, B, K], and its slope [R, C, B, K] in each critic's."""
    value, chosen = values.min(1)
    slope = torch.zeros_like(values).scatter_(1, chosen.unsqueeze(1), 1.0)
    return value, slope


def policy_loss(
    distribution: Distribution,
    sampled: Sample,
    noise: Tensor,
    value: Tensor,
    of_action: Tensor,
    entropy_temperature: Tensor,
) -> PolicyLoss:
    """`mean(entropy_temperature * log pi(a|s) - min over critics Q(s, a))` with a reparametrised (SAC; official code).

    `sampled` holds one action per state (n = 1), from `noise` [R, B, A]; `value` [R, B] is the smaller critic there,
    `of_action` [R, B, A] its slope in the action; `entropy_temperature` [R].
    """
    action, log_prob = sampled.action.squeeze(2), sampled.log_prob.squeeze(2)
    batch = value.shape[-1]
    temperature = entropy_temperature[:, None, None]
    # d log pi / d raw = 2 tanh(raw); d action / d raw = 1 - tanh(raw)^2.
    of_raw = (temperature * 2.0 * action - of_action * (1.0 - action.square())) / batch
    return PolicyLoss(
        loss=(entropy_temperature[:, None] * log_prob - value).mean(-1),
        of_mean=of_raw,
        of_log_std=of_raw * distribution.log_std.exp() * noise - temperature / batch,
    )


def cloning_loss(distribution: Distribution, actions: Tensor) -> PolicyLoss:
    """`mean((tanh(mean) - a)^2)` over the data's actions [R, B, A] and their numbers; the log-std does not matter."""
    chosen = distribution.mean.tanh()
    error = chosen - actions
    count = error[0].numel()
    return PolicyLoss(
        loss=error.square().sum((1, 2)) / count,
        of_mean=2.0 / count * error * (1.0 - chosen.square()),
        of_log_std=torch.zeros_like(error),
    )


def temperature_gradient(temperature: Tensor, log_prob: Tensor, target_entropy: Tensor) -> Tensor:
    """Slope [R] of `-temperature * (log_prob + target entropy)` in the temperature's logarithm; mean `log_prob` [R]."""
    return -temperature * (log_prob + target_entropy)
