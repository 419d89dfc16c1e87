"""The critics in C++, one pass over tiles that stay in the caches; for the CPU. `build.load_library` comes first."""

import torch
from torch import Tensor

from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars
from algorithms.parameters import Parameters
from algorithms.value_network import ValueNetwork


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `critic_kernel.Values`."""
    return torch.ops.floorbench.critic_values(parameters.flat, states, actions, network.widths, parameters.offsets)


def action_slopes(
    network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor]:
    """See `critic_kernel.ActionSlopes`."""
    operator = torch.ops.floorbench.critic_action_slopes
    return operator(parameters.flat, states, actions, network.widths, parameters.offsets)


def gradient(
    network: ValueNetwork,
    parameters: Parameters,
    states: Tensor,
    actions: Tensor,
    target: Tensor,
    log_density: Tensor,
    floor: Tensor,
    form: CriticLossForm,
    scalars: CriticLossScalars,
    gradient: Parameters,
) -> CriticLoss:
    """See `critic_kernel.Gradient`."""
    of_runs, bound_rates, slopes = torch.ops.floorbench.critic_gradient(
        parameters.flat,
        states,
        actions,
        network.widths,
        parameters.offsets,
        target,
        log_density,
        floor,
        [
            scalars.alpha,
            scalars.temperature,
            scalars.target_action_gap,
            scalars.difference_min,
            scalars.difference_max,
            scalars.log_multiplier,
        ],
        [
            form.form == "expectation",
            form.importance_sampling,
            form.lagrange,
            form.floor_masking == "expectation",
            form.floor_uniform,
        ],
        gradient.flat,
    )
    loss, lagrange_loss, lagrange_gradient, td_error, difference = of_runs.unbind()
    return CriticLoss(loss, slopes, lagrange_loss, lagrange_gradient, td_error, difference, *bound_rates.unbind())
