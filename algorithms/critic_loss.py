"""The critic loss of CQL and Cal-QL as one function of tensors: critic values in, loss and gradients out.

The floor is a column of the batch; minus infinity everywhere gives CQL. The gradients are written out by hand, so
nothing here needs autograd. kernels/source/critic_loss.h says the same state by state: a switch added here is added
there.
"""

from dataclasses import dataclass, fields
from math import exp, expm1, inf, log
from typing import Literal

import torch
from torch import Tensor

from algorithms.settings import AlgorithmSettings, LagrangeAlpha, LagrangeMultiplier

# The official code clips the Lagrange multiplier to this range.
MULTIPLIER_MAX = 1e6


@dataclass(frozen=True)
class CriticLossForm:
    """What decides the shape of the loss: the same for all runs of a pack (see algorithms.settings)."""

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
        """The form of some settings."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    @property
    def bounds_terms(self) -> bool:
        """Whether the floor bounds values less their log-densities: where there are any."""
        return self.floor_after_density and self.importance_sampling and self.form == "soft_maximum"


@dataclass(frozen=True)
class CriticLossScalars:
    """Per-run numbers of the loss, each [R]."""

    alpha: Tensor
    temperature: Tensor
    target_action_gap: Tensor
    difference_min: Tensor
    difference_max: Tensor
    # What is learned of the Lagrange multiplier: its logarithm, or with "softplus" its inverse softplus.
    log_multiplier: Tensor


@dataclass(frozen=True)
class CriticLoss:
    """The loss, its gradient in every critic value and what is logged of it."""

    loss: Tensor  # [R] summed over critics, averaged over the batch
    gradient: Tensor  # [R, C, B, 1 + 3n] of the loss in every value
    lagrange_loss: Tensor  # [R]
    lagrange_gradient: Tensor  # [R] of the Lagrange loss in what is learned of the multiplier
    td_error: Tensor  # [R] mean squared, averaged over critics
    difference: Tensor  # [R] push-down minus push-up after the clip, averaged over critics
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

    `values` [R, C, B, 1 + 3n] are the C critics at s: of the data action, n uniform actions, n actions of pi(.|s) and n
    of pi(.|s'); `log_density` [R, B, 3n] says how likely each sampled action was. `target` [R, B] is the Bellman target
    and `floor` [R, B] is minus infinity for CQL. Values of the policy's actions (with `floor_uniform` of the uniform
    ones too) are raised to the floor before densities are divided out (with `floor_after_density` after that); a value
    at or below its floor feels no push-down. With `floor_masking` "expectation" no single value is raised: where the
    mean over pi(.|s) is at or below the floor, the whole push-down of that state is the floor and feels nothing, so
    that the floor bounds E_pi[Q] alone.
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
    push_down, slope, slope_of_data = _push_down(data, torch.maximum(bounded, floors), log_density, form, scalars)
    if form.floor_masking == "expectation":
        above = sampled[..., n : 2 * n].mean(-1) > floor[:, None]
        push_down = torch.where(above, push_down, floor[:, None])
        slope, slope_of_data = slope * above.unsqueeze(-1), slope_of_data * above

    raw = push_down - data
    low, high = (_column(bound, 3) for bound in (scalars.difference_min, scalars.difference_max))
    difference = raw.clamp(low, high).mean(-1)
    weight, regulariser, lagrange_gradient = _weighted(difference, form, scalars)

    # The clip passes gradient only inside its range.
    share = _column(weight / batch, 3) * ((raw >= low) & (raw <= high))
    of_data = (2.0 / batch) * td + share * (slope_of_data - 1.0)
    of_sampled = share.unsqueeze(-1) * slope * (bounded > floors)
    squared = td.square().mean(-1)
    return CriticLoss(
        loss=squared.sum(-1) + regulariser,
        gradient=torch.cat((of_data.unsqueeze(-1), of_sampled), dim=-1),
        lagrange_loss=-0.5 * regulariser if form.lagrange else torch.zeros_like(weight),
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
    """Share [R, C] of the values [R, C, B, n] that lie below the floor [R, B]."""
    return (values < floor[:, None, :, None]).to(values.dtype).mean((-2, -1))


def multiplier_of(learned: Tensor, kind: LagrangeMultiplier) -> Tensor:
    """The Lagrange multiplier by what is learned of it."""
    if kind == "exponential":
        return learned.exp().clamp(0.0, MULTIPLIER_MAX)
    # Not torch's softplus: its result would depend on how many runs the tensor holds.
    return (learned.clamp(min=0.0) + (-learned.abs()).exp().log1p()).clamp(0.0, MULTIPLIER_MAX)


def learned_of(log_multiplier: float, kind: LagrangeMultiplier) -> float:
    """What is learned of a Lagrange multiplier, by the multiplier's logarithm."""
    multiplier = exp(min(log_multiplier, log(MULTIPLIER_MAX)))
    # A small number is nearly its own softplus's logarithm.
    if kind == "exponential" or multiplier < 1e-12:
        return log_multiplier
    return multiplier + log(-expm1(-multiplier))


def _weighted(difference: Tensor, form: CriticLossForm, scalars: CriticLossScalars) -> tuple[Tensor, Tensor, Tensor]:
    """Of `difference` [R, C]: its weight in the loss, the regulariser, and the Lagrange gradient, each [R]."""
    if not form.lagrange:
        return scalars.alpha, scalars.alpha * difference.sum(-1), torch.zeros_like(scalars.alpha)
    gap = scalars.target_action_gap * (scalars.alpha if form.lagrange_alpha == "difference_and_gap" else 1.0)
    alpha = torch.ones_like(scalars.alpha) if form.lagrange_alpha == "nothing" else scalars.alpha
    learned = scalars.log_multiplier
    multiplier = multiplier_of(learned, form.lagrange_multiplier)
    excess = (alpha[:, None] * difference - gap[:, None]).sum(-1)
    # Not torch's sigmoid either, see `multiplier_of`.
    slope = 1.0 / (1.0 + (-learned).exp()) if form.lagrange_multiplier == "softplus" else multiplier
    below_limit = multiplier < MULTIPLIER_MAX
    return multiplier * alpha, multiplier * excess, -0.5 * excess * slope * below_limit


def _push_down(
    data: Tensor, floored: Tensor, log_density: Tensor, form: CriticLossForm, scalars: CriticLossScalars
) -> tuple[Tensor, Tensor, Tensor | float]:
    """The pushed-down value [R, C, B] and its slope in every floored value and in the data action's value."""
    n = floored.shape[-1] // 3
    if form.form == "expectation":
        slope = torch.zeros_like(floored)
        slope[..., n : 2 * n].fill_(1.0 / n)
        return floored[..., n : 2 * n].mean(-1), slope, 0.0
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
    slope = weights / total
    return push_down, slope[..., : 3 * n], 0.0 if form.importance_sampling else slope[..., 3 * n]


def _column(scalar: Tensor, dimensions: int) -> Tensor:
    """A per-run scalar [R] with trailing axes, to meet a tensor of that many dimensions."""
    return scalar.reshape(-1, *(1,) * (dimensions - 1))
