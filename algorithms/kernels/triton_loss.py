"""The critic loss in Triton: of a tile of states with its gradient, and of a run. See `algorithms.critic_loss`.

Imports Triton, which is optional: import this module only where it is needed.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels.fused_kernel import form_flags


class Options(NamedTuple):
    """The form of the loss as constants of the compiled kernels; the same names as in `critic_loss.h`."""

    expectation: bool
    importance_sampling: bool
    lagrange: bool
    mask_by_expectation: bool
    floor_uniform: bool
    floor_after_density: bool
    alpha_of_difference: bool
    alpha_of_gap: bool
    softplus: bool

    @classmethod
    def of(cls, form: CriticLossForm) -> "Options":
        """The options that a form means, in the order of the C++ code."""
        return cls(*form_flags(form))


@triton.jit
def lagrange_multiplier(raw, softplus: tl.constexpr):
    """The Lagrange multiplier of a raw parameter, and its derivative."""
    if softplus:
        # log(1 + y) = 2 artanh(y / (2 + y)), because the logarithm itself is inexact near 1. At most 1/3 to the power
        # of 36 is neglected.
        smaller = tl.exp(-tl.abs(raw))
        ratio = smaller / (2.0 + smaller)
        series = ratio * 0.0
        for term in tl.static_range(17, -1, -1):
            series = series * ratio * ratio + 1.0 / (2 * term + 1)
        value = tl.where(raw > 0.0, raw, 0.0 * raw) + 2.0 * ratio * series
        derivative = 1.0 / (1.0 + tl.exp(-raw))
    else:
        value = tl.exp(raw)
        derivative = value
    limited = value >= 1e6  # critic_loss.MULTIPLIER_MAX
    return tl.where(limited, 1e6, value), tl.where(limited, 0.0, derivative)


@triton.jit
def regulariser_weight(alpha, raw_multiplier, options: tl.constexpr):
    """The weight of push-down minus push-up in the loss of a run."""
    weight = alpha
    if options[2]:  # lagrange
        weight, _ = lagrange_multiplier(raw_multiplier, options[8])
        if options[6]:  # alpha_of_difference
            weight = weight * alpha
    return weight


@triton.jit
def tile_loss(
    values,  # [states, columns]: the data action, n uniform ones, n of pi(.|s), n of pi(.|s'), and unused columns
    log_density,  # [states, columns]
    target,  # [states]
    floor,  # [states]
    used,  # [states] whether there is such a state
    weight,
    temperature,
    difference_min,
    difference_max,
    batch: tl.constexpr,
    n: tl.constexpr,
    columns: tl.constexpr,
    options: tl.constexpr,
):
    """The gradient with respect to `values` for a mean over `batch` states, and four sums over the states of the tile.

    The sums are squared TD errors, clipped differences, and values of pi(.|s) and of pi(.|s') below the floor.
    Comparisons are written such that NaN passes, so that a diverged run is noticed.
    """
    column = tl.arange(0, columns)[None, :]
    is_data, sampled = column == 0, (column >= 1) & (column <= 3 * n)
    current = (column > n) & (column <= 2 * n)
    following = (column > 2 * n) & (column <= 3 * n)
    data = tl.sum(tl.where(is_data, values, 0.0), 1)

    floors = tl.where(used, floor, 0.0)[:, None]
    if options[3]:  # mask_by_expectation
        bounds = tl.full(values.shape, float("-inf"), values.dtype)
    elif options[4]:  # floor_uniform
        bounds = tl.where(sampled, floors, float("-inf"))
    else:
        bounds = tl.where(current | following, floors, float("-inf"))
    bounded = values
    if options[5]:  # floor_after_density
        bounded = values - log_density
    floored = tl.where(bounded < bounds, bounds, bounded)

    if options[0]:  # expectation
        push_down = tl.sum(tl.where(current, floored, 0.0), 1) / n
        of_value = tl.where(current, tl.full(values.shape, 1.0 / n, values.dtype), 0.0)
    else:
        if options[1]:  # importance_sampling
            terms, valid = floored, sampled
            if not options[5]:
                terms = floored - log_density
        else:
            terms, valid = tl.where(is_data, values, floored), is_data | sampled
        scaled = tl.where(valid, terms / temperature, float("-inf"))
        peak = tl.max(scaled, 1)
        shares = tl.where(valid, tl.exp(scaled - peak[:, None]), 0.0)
        total = tl.sum(shares, 1)
        push_down = temperature * (peak + tl.log(total))
        of_value = shares / total[:, None]
    if options[3]:
        above = tl.sum(tl.where(current, values, 0.0), 1) / n > floor
        push_down = tl.where(above, push_down, floor)
        of_value = tl.where(above[:, None], of_value, 0.0)

    raw, td = push_down - data, data - target
    # The clip has no gradient outside its range.
    factor = tl.where((raw >= difference_min) & (raw <= difference_max), weight / batch, 0.0)
    of_data = tl.sum(tl.where(is_data, of_value, 0.0), 1)
    of_data = (2.0 / batch) * td + factor * (of_data - 1.0)
    of_sampled = tl.where(sampled & (bounded > bounds), factor[:, None] * of_value, 0.0)
    gradient = tl.where(used[:, None], tl.where(is_data, of_data[:, None], of_sampled), 0.0)

    clipped = tl.where(raw < difference_min, difference_min, tl.where(raw > difference_max, difference_max, raw))
    below = (values < floor[:, None]) & used[:, None]
    return (
        gradient,
        tl.sum(tl.where(used, td * td, 0.0), 0),
        tl.sum(tl.where(used, clipped, 0.0), 0),
        tl.sum(tl.sum(tl.where(below & current, 1.0, 0.0).to(values.dtype), 1), 0),
        tl.sum(tl.sum(tl.where(below & following, 1.0, 0.0).to(values.dtype), 1), 0),
    )


@triton.jit
def run_loss_kernel(
    sums,  # [R * C, parts, 4], see `tile_loss`
    alpha,  # [R], and so are the others
    target_action_gap,
    raw_multiplier,
    result,  # [R, 7]: the fields of `CriticLoss` without the gradient, in their order
    critics: tl.constexpr,
    parts: tl.constexpr,
    batch: tl.constexpr,
    n: tl.constexpr,
    chosen: tl.constexpr,
):
    """The loss of one run, from the sums of its critics in their order."""
    run = tl.program_id(0)
    alpha_of_run = tl.load(alpha + run)
    zero = alpha_of_run * 0.0
    squared, difference, below_current, below_following = zero, zero, zero, zero
    for part in range(critics * parts):
        row = sums + (run * critics * parts + part) * 4
        squared += tl.load(row)
        difference += tl.load(row + 1)
        below_current += tl.load(row + 2)
        below_following += tl.load(row + 3)
    squared /= batch
    difference /= batch
    regulariser = alpha_of_run * difference
    lagrange_loss, lagrange_gradient = zero, zero
    if chosen[2]:  # lagrange
        multiplier, derivative = lagrange_multiplier(tl.load(raw_multiplier + run), chosen[8])
        gap = tl.load(target_action_gap + run)
        if chosen[7]:  # alpha_of_gap
            gap = gap * alpha_of_run
        excess = regulariser - critics * gap
        if not chosen[6]:  # alpha_of_difference
            excess = difference - critics * gap
        regulariser = multiplier * excess
        lagrange_loss = -regulariser / critics
        lagrange_gradient = -excess * derivative / critics
    row = result + 7 * run
    tl.store(row, squared + regulariser)
    tl.store(row + 1, lagrange_loss)
    tl.store(row + 2, lagrange_gradient)
    tl.store(row + 3, squared / critics)
    tl.store(row + 4, difference / critics)
    tl.store(row + 5, below_current / (critics * batch * n))
    tl.store(row + 6, below_following / (critics * batch * n))
