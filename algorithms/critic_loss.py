"""The critic loss of CQL and Cal-QL as one function of tensors: critic values in, loss and gradients out.

The floor is a column of the batch; minus infinity everywhere gives CQL. The gradients are written out by hand, so
nothing here needs autograd and a fused kernel can take this function's place.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# The official code clips the Lagrange multiplier to this range.
MULTIPLIER_MAX = 1e6

# Log-density of the uniform distribution on [-1, 1] per action dimension.
LOG_UNIFORM_DENSITY = -0.6931471805599453


@dataclass(frozen=True)
class CriticLossForm:
    """What decides the shape of the loss: the same for all runs of a pack (see algorithms.settings)."""

    form: Literal["soft_maximum", "expectation"]
    importance_sampling: bool
    lagrange: bool


@dataclass(frozen=True)
class CriticLossScalars:
    """Per-run numbers of the loss, each [R]."""

    alpha: Tensor
    temperature: Tensor
    target_action_gap: Tensor
    difference_min: Tensor
    difference_max: Tensor
    log_multiplier: Tensor


@dataclass(frozen=True)
class CriticValues:
    """Values of C critics for a batch of B states, n sampled actions of each kind, R runs."""

    data: Tensor  # [R, C, B] the data action
    uniform: Tensor  # [R, C, B, n] uniform actions
    current: Tensor  # [R, C, B, n] actions of pi(.|s)
    following: Tensor  # [R, C, B, n] actions of pi(.|s'), valued at s

    @classmethod
    def split(cls, values: Tensor) -> "CriticValues":
        """From one tensor [R, C, B, 1 + 3n] in the order of the fields."""
        n = (values.shape[-1] - 1) // 3
        data, uniform, current, following = values.split((1, n, n, n), dim=-1)
        return cls(data.squeeze(-1), uniform, current, following)

    def join(self) -> Tensor:
        """The one tensor [R, C, B, 1 + 3n] that `split` takes apart."""
        return torch.cat((self.data.unsqueeze(-1), self.uniform, self.current, self.following), dim=-1)


@dataclass(frozen=True)
class CriticLoss:
    """The loss, its gradient in every critic value and what is logged of it."""

    loss: Tensor  # [R] summed over critics, averaged over the batch
    gradient: CriticValues  # of the loss, in the shapes of the values
    lagrange_loss: Tensor  # [R]
    lagrange_gradient: Tensor  # [R] of the Lagrange loss in the logarithm of the multiplier
    td_error: Tensor  # [R] mean squared, averaged over critics
    difference: Tensor  # [R] push-down minus push-up after the clip, averaged over critics
    bound_rate_current: Tensor  # [R, C] share of values of pi(.|s) below the floor
    bound_rate_following: Tensor  # [R, C] share of values of pi(.|s') below the floor


def critic_loss(
    values: CriticValues,
    target: Tensor,
    log_prob_current: Tensor,
    log_prob_following: Tensor,
    floor: Tensor,
    action_dim: int,
    form: CriticLossForm,
    scalars: CriticLossScalars,
) -> CriticLoss:
    """TD error plus weighted regulariser of every run, with gradients (CQL Eq. 4, Cal-QL Eq. 5.1; official code).

    `target` [R, B] is the Bellman target, `log_prob_current` and `log_prob_following` [R, B, n] are the policy's
    log-probabilities of its sampled actions, `floor` [R, B] is minus infinity for CQL. Values of the policy's actions
    are raised to the floor before densities are divided out; one at or below it feels no push-down.
    """
    batch = floor.shape[-1]
    floor = floor[:, None, :, None]
    td = values.data - target[:, None]
    push_down, slope = _push_down(values, floor, log_prob_current, log_prob_following, action_dim, form, scalars)

    raw = push_down - values.data
    low, high = (_column(bound, 3) for bound in (scalars.difference_min, scalars.difference_max))
    difference = raw.clamp(low, high)
    mean_difference = difference.mean(-1)
    multiplier, gap = torch.ones_like(scalars.alpha), torch.zeros_like(scalars.alpha)
    if form.lagrange:
        multiplier, gap = scalars.log_multiplier.exp().clamp(0.0, MULTIPLIER_MAX), scalars.target_action_gap
    weight = multiplier * scalars.alpha
    regulariser = weight * (mean_difference - gap[:, None]).sum(-1)

    # The clip passes gradient only inside its range.
    share = _column(weight / batch, 3) * ((raw >= low) & (raw <= high))
    spread = share.unsqueeze(-1)
    inside = (scalars.log_multiplier.exp() <= MULTIPLIER_MAX).to(weight.dtype)
    lagrange_loss = -0.5 * regulariser if form.lagrange else torch.zeros_like(weight)
    return CriticLoss(
        loss=td.square().mean(-1).sum(-1) + regulariser,
        gradient=CriticValues(
            data=(2.0 / batch) * td + share * (slope.data - 1.0),
            uniform=spread * slope.uniform,
            current=spread * slope.current * (values.current > floor),
            following=spread * slope.following * (values.following > floor),
        ),
        lagrange_loss=lagrange_loss,
        lagrange_gradient=lagrange_loss * inside,
        td_error=td.square().mean((-2, -1)),
        difference=mean_difference.mean(-1),
        bound_rate_current=bound_rate(values.current, floor),
        bound_rate_following=bound_rate(values.following, floor),
    )


def bound_rate(values: Tensor, floor: Tensor) -> Tensor:
    """Share [R, C] of the values [R, C, B, n] that lie below the floor [R, 1, B, 1]."""
    return (values < floor).to(values.dtype).mean((-2, -1))


def _push_down(
    values: CriticValues,
    floor: Tensor,
    log_prob_current: Tensor,
    log_prob_following: Tensor,
    action_dim: int,
    form: CriticLossForm,
    scalars: CriticLossScalars,
) -> tuple[Tensor, CriticValues]:
    """The pushed-down value [R, C, B] and its slope in every (floored) value."""
    current = torch.maximum(values.current, floor)
    if form.form == "expectation":
        none = torch.zeros_like(current)
        even = torch.full_like(current, 1.0 / current.shape[-1])
        return current.mean(-1), CriticValues(torch.zeros_like(values.data), none, even, none)
    following = torch.maximum(values.following, floor)
    temperature = _column(scalars.temperature, 4)
    if form.importance_sampling:
        uniform = values.uniform - LOG_UNIFORM_DENSITY * action_dim
        current = current - log_prob_current[:, None]
        following = following - log_prob_following[:, None]
        terms = torch.cat((uniform, current, following), dim=-1)
    else:
        terms = torch.cat((values.uniform, current, following, values.data.unsqueeze(-1)), dim=-1)
    scaled = terms / temperature
    peak = scaled.amax(-1, keepdim=True)
    weights = (scaled - peak).exp()
    total = weights.sum(-1, keepdim=True)
    push_down = (temperature * (peak + total.log())).squeeze(-1)
    slopes = weights / total
    n = current.shape[-1]
    of_data = torch.zeros_like(values.data) if form.importance_sampling else slopes[..., 3 * n]
    return push_down, CriticValues(of_data, slopes[..., :n], slopes[..., n : 2 * n], slopes[..., 2 * n : 3 * n])


def _column(scalar: Tensor, dimensions: int) -> Tensor:
    """A per-run scalar [R] with trailing axes, to meet a tensor of that many dimensions."""
    return scalar.reshape(-1, *(1,) * (dimensions - 1))
