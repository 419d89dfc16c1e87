"""The policy loss and the loss of the entropy temperature, with their gradients written out."""

from dataclasses import dataclass

from torch import Tensor

from algorithms.policy_network import Distribution, Sample


@dataclass(frozen=True)
class PolicyLoss:
    """Loss [R] and its slopes [R, B, A] in the Gaussian's mean and log-std."""

    loss: Tensor
    of_mean: Tensor
    of_log_std: Tensor


def smaller_critic(values: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The smaller critic's value [R, B, K] and slope [R, B, K, A] of values [R, C, B, K] and slopes [R, C, B, K, A]."""
    value, chosen = values.min(1, keepdim=True)
    slope = slopes.gather(1, chosen.unsqueeze(-1).expand(-1, -1, -1, -1, slopes.shape[-1]))
    return value.squeeze(1), slope.squeeze(1)


def policy_loss(
    distribution: Distribution,
    sampled: Sample,
    value: Tensor,
    of_action: Tensor,
    entropy_temperature: Tensor,
) -> PolicyLoss:
    """`mean(entropy_temperature * log pi(a|s) - min over critics Q(s, a))` with a reparametrised (SAC; official code).

    `sampled` holds one action per state (n = 1), `value` [R, B] is the smaller critic there, `of_action` [R, B, A] its
    slope in the action, `entropy_temperature` [R].
    """
    action, noise = sampled.action.squeeze(2), sampled.noise.squeeze(2)
    log_prob = sampled.log_prob.squeeze(2)
    batch = value.shape[-1]
    temperature = entropy_temperature[:, None, None]
    # d log pi / d raw = 2 tanh(raw); d action / d raw = 1 - tanh(raw)^2.
    of_raw = (temperature * 2.0 * action - of_action * (1.0 - action.square())) / batch
    return PolicyLoss(
        loss=(entropy_temperature[:, None] * log_prob - value).mean(-1),
        of_mean=of_raw,
        of_log_std=of_raw * distribution.log_std.exp() * noise - temperature / batch,
    )


def temperature_gradient(log_temperature: Tensor, log_prob: Tensor, target_entropy: Tensor) -> Tensor:
    """Slope [R] of `-exp(log_temperature) * mean(log pi + target entropy)` in the logarithm; `log_prob` [R, B]."""
    return -log_temperature.exp() * (log_prob.mean(-1) + target_entropy)
