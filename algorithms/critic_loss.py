"""The Bellman target and the critic loss of CQL and Cal-QL: critic values in, loss and gradients out.

The floor is a column of the batch; minus infinity everywhere gives CQL. The gradients are written out, so no function
here needs autograd. `kernels/source/critic_loss.h` computes the same per state: an option added here is added there.
"""

from dataclasses import dataclass, fields
from math import exp, expm1, inf, log
from typing import Literal

import torch
from torch import Tensor

from algorithms.settings import AlgorithmSettings, LagrangeAlpha, LagrangeMultiplier, MaxBackup

# The official code clips the Lagrange multiplier to this value.
MULTIPLIER_MAX = 1e6


@dataclass(frozen=True)
class TargetInputs:
    """Inputs of the Bellman target: R runs with C target critics, B transitions, m candidate actions at s'."""

    rewards: Tensor  # [R, B]
    terminals: Tensor  # [R, B]
    discount: Tensor  # [R]
    next_values: Tensor  # [R, C, B, m] target critics at the candidate actions
    next_log_prob: Tensor  # [R, B, m] their log-probabilities
    max_backup: MaxBackup
    entropy_temperature: Tensor | None = None  # [R]; None: no entropy term in the target


def bellman_target(inputs: TargetInputs) -> Tensor:
    """`reward + (1 - terminal) * discount * next value`, [R, B].

    m is 1 for `max_backup` "off" (a sample) and "mean_action" (the mode). "min_then_max" takes the minimum over critics
    for each action, then the maximum over actions (official code); "max_then_min" takes each critic's maximum over
    actions, then the minimum over critics (the CQL authors' code). With an entropy temperature, the target subtracts
    temperature times the log-probability of the chosen action.
    """
    next_values = inputs.next_values
    if inputs.max_backup == "max_then_min":
        best, chosen = next_values.max(-1)
        value, critic = best.min(1)
        chosen = chosen.gather(1, critic.unsqueeze(1)).squeeze(1)
    else:
        value, chosen = next_values.amin(1).max(-1)
    if inputs.entropy_temperature is not None:
        log_prob = inputs.next_log_prob.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        value = value - inputs.entropy_temperature[:, None] * log_prob
    return inputs.rewards + (1.0 - inputs.terminals) * inputs.discount[:, None] * value


@dataclass(frozen=True)
class CriticLossForm:
    """The options of the loss that all runs of a pack share (see `algorithms.settings`)."""

    form: Literal["soft_maximum", "expectation"]
    importance_sampling: bool
    lagrange: bool
    floor_masking: Literal["per_action", "expectation"] = "per_action"
    floor_uniform: bool = False
    floor_after_density: bool = False
    lagrange_alpha: LagrangeAlpha = "difference_and_gap"
    lagrange_multiplier: LagrangeMultiplier = "exponential"

    @classmethod
    def of(cls, settings: AlgorithmSettings) -> "CriticLossForm":
        """The form that the settings describe."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    @property
    def bounds_terms(self) -> bool:
        """Whether the floor bounds values minus their log-densities, in forms that have these terms."""
        return self.floor_after_density and self.importance_sampling and self.form == "soft_maximum"


@dataclass(frozen=True)
class CriticLossScalars:
    """Per-run scalars of the loss, each [R]."""

    alpha: Tensor
    temperature: Tensor
    target_action_gap: Tensor
    difference_min: Tensor
    difference_max: Tensor
    # The learned parameter of the Lagrange multiplier: its logarithm, or its inverse softplus with "softplus".
    raw_multiplier: Tensor


@dataclass(frozen=True)
class CriticLoss:
    """The loss, its gradient with respect to every critic value, and the logged quantities."""

    loss: Tensor  # [R] summed over critics, averaged over the batch
    gradient: Tensor  # [R, C, B, 1 + 3n] of the loss with respect to every value
    lagrange_loss: Tensor  # [R] minus the regulariser, averaged over critics
    lagrange_gradient: Tensor  # [R] of the Lagrange loss with respect to the raw multiplier
    td_error: Tensor  # [R] mean squared, averaged over critics
    difference: Tensor  # [R] push-down minus push-up after clipping, averaged over critics
    bound_rate_current: Tensor  # [R] share of values of pi(.|s) below the floor, averaged over critics
    bound_rate_following: Tensor  # [R] share of values of pi(.|s') below the floor, averaged over critics


def critic_loss(
    values: Tensor,
    target: Tensor,
    log_density: Tensor,
    floor: Tensor,
    form: CriticLossForm,
    scalars: CriticLossScalars,
) -> CriticLoss:
    """TD error plus weighted regulariser of every run, with gradients (CQL Eq. 4, Cal-QL Eq. 5.1; official code).

    `values` [R, C, B, 1 + 3n] are the C critics at s for the data action, n uniform actions, n actions of pi(.|s) and n
    actions of pi(.|s'). `log_density` [R, B, 3n] are the log-densities of the sampled actions, `target` [R, B] the
    Bellman target, `floor` [R, B] minus infinity for CQL.

    Values of the policy's actions are raised to the floor before their log-densities are subtracted (after, with
    `floor_after_density`); with `floor_uniform` the uniform actions' values are raised too. A value at or below its
    floor gets no gradient from the push-down. With `floor_masking` "expectation" no single value is raised; instead,
    where the mean over pi(.|s) is at or below the floor, the push-down of that state is the floor, without gradient.
    """
    batch, n = floor.shape[-1], log_density.shape[-1] // 3
    data, sampled = values[..., 0], values[..., 1:]
    floors = floor[:, None, :, None].expand(-1, 1, -1, 3 * n).clone()
    if not form.floor_uniform:
        floors[..., :n].fill_(-inf)
    if form.floor_masking == "expectation":
        floors.fill_(-inf)
    td = data - target[:, None]
    bounded = sampled - log_density[:, None] if form.bounds_terms else sampled
    push_down, sampled_gradient, data_gradient = _push_down(
        data, torch.maximum(bounded, floors), log_density, form, scalars
    )
    if form.floor_masking == "expectation":
        above = sampled[..., n : 2 * n].mean(-1) > floor[:, None]
        push_down = torch.where(above, push_down, floor[:, None])
        sampled_gradient, data_gradient = sampled_gradient * above.unsqueeze(-1), data_gradient * above

    raw = push_down - data
    low, high = (_column(bound, 3) for bound in (scalars.difference_min, scalars.difference_max))
    difference = raw.clamp(low, high).mean(-1)
    weight, regulariser, lagrange_gradient = _weighted(difference, form, scalars)

    # Clipping passes a gradient only inside the range.
    scale = _column(weight / batch, 3) * ((raw >= low) & (raw <= high))
    data_gradient = (2.0 / batch) * td + scale * (data_gradient - 1.0)
    sampled_gradient = scale.unsqueeze(-1) * sampled_gradient * (bounded > floors)
    squared = td.square().mean(-1)
    return CriticLoss(
        loss=squared.sum(-1) + regulariser,
        gradient=torch.cat((data_gradient.unsqueeze(-1), sampled_gradient), dim=-1),
        lagrange_loss=-regulariser / values.shape[1] if form.lagrange else torch.zeros_like(weight),
        lagrange_gradient=lagrange_gradient,
        td_error=squared.mean(-1),
        difference=difference.mean(-1),
        bound_rate_current=bound_rate(sampled[..., n : 2 * n], floor).mean(-1),
        bound_rate_following=bound_rate(sampled[..., 2 * n :], floor).mean(-1),
    )


def uniform_log_density(action_dim: int) -> float:
    """Log-density of the uniform distribution on [-1, 1]^A."""
    return action_dim * log(0.5)


def bound_rate(values: Tensor, floor: Tensor) -> Tensor:
    """Share [R, C] of the values [R, C, B, n] that are below the floor [R, B]."""
    return (values < floor[:, None, :, None]).to(values.dtype).mean((-2, -1))


def lagrange_multiplier(raw: Tensor, kind: LagrangeMultiplier) -> Tensor:
    """Map the raw parameter to the multiplier."""
    if kind == "exponential":
        return raw.exp().clamp(0.0, MULTIPLIER_MAX)
    # Not torch's softplus, whose result depends on the number of runs in the tensor.
    return (raw.clamp(min=0.0) + (-raw.abs()).exp().log1p()).clamp(0.0, MULTIPLIER_MAX)


def raw_multiplier(log_multiplier: float, kind: LagrangeMultiplier) -> float:
    """The raw parameter of a Lagrange multiplier that is given by its logarithm: inverse of `lagrange_multiplier`."""
    multiplier = exp(min(log_multiplier, log(MULTIPLIER_MAX)))
    # For a small multiplier the inverse softplus is close to the logarithm.
    if kind == "exponential" or multiplier < 1e-12:
        return log_multiplier
    return multiplier + log(-expm1(-multiplier))


def _weighted(difference: Tensor, form: CriticLossForm, scalars: CriticLossScalars) -> tuple[Tensor, Tensor, Tensor]:
    """The weight of `difference` [R, C] in the loss, the regulariser, and the Lagrange gradient, each [R]."""
    if not form.lagrange:
        return scalars.alpha, scalars.alpha * difference.sum(-1), torch.zeros_like(scalars.alpha)
    gap = scalars.target_action_gap * (scalars.alpha if form.lagrange_alpha == "difference_and_gap" else 1.0)
    alpha = torch.ones_like(scalars.alpha) if form.lagrange_alpha == "nothing" else scalars.alpha
    raw = scalars.raw_multiplier
    multiplier = lagrange_multiplier(raw, form.lagrange_multiplier)
    excess = (alpha[:, None] * difference - gap[:, None]).sum(-1)
    # Not torch's sigmoid, for the reason given in `lagrange_multiplier`.
    derivative = 1.0 / (1.0 + (-raw).exp()) if form.lagrange_multiplier == "softplus" else multiplier
    below_limit = multiplier < MULTIPLIER_MAX
    lagrange_gradient = -(1.0 / difference.shape[1]) * excess * derivative * below_limit
    return multiplier * alpha, multiplier * excess, lagrange_gradient


def _push_down(
    data: Tensor, floored: Tensor, log_density: Tensor, form: CriticLossForm, scalars: CriticLossScalars
) -> tuple[Tensor, Tensor, Tensor | float]:
    """The push-down [R, C, B] and its gradients with respect to the floored values and to the data action's value."""
    n = floored.shape[-1] // 3
    if form.form == "expectation":
        gradient = torch.zeros_like(floored)
        gradient[..., n : 2 * n].fill_(1.0 / n)
        return floored[..., n : 2 * n].mean(-1), gradient, 0.0
    temperature = _column(scalars.temperature, 4)
    if form.bounds_terms:
        terms = floored
    elif form.importance_sampling:
        terms = floored - log_density[:, None]
    else:
        terms = torch.cat((floored, data.unsqueeze(-1)), dim=-1)
    scaled = terms / temperature
    peak = scaled.amax(-1, keepdim=True)
    weights = (scaled - peak).exp_()
    total = weights.sum(-1, keepdim=True)
    push_down = (temperature * (peak + total.log())).squeeze(-1)
    gradient = weights / total
    return push_down, gradient[..., : 3 * n], 0.0 if form.importance_sampling else gradient[..., 3 * n]


def _column(scalar: Tensor, dimensions: int) -> Tensor:
    """A per-run scalar [R] with trailing axes of size 1, up to that many dimensions."""
    return scalar.reshape(-1, *(1,) * (dimensions - 1))
