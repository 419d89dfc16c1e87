"""An update in C++: passes over tiles that stay in the caches; for the CPU. `build.load_library` comes first."""

import torch
from torch import Tensor

from algorithms.adam import BETA_1, BETA_2, Adam
from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork, Sample
from algorithms.settings import MaxBackup
from algorithms.value_network import ValueNetwork


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `Kernel`."""
    return torch.ops.floorbench.critic_values(parameters.flat, states, actions, network.widths, parameters.offsets)


def bellman_target(
    reward: Tensor,
    terminal: Tensor,
    discount: Tensor,
    next_values: Tensor,
    next_log_prob: Tensor,
    max_backup: MaxBackup,
    entropy_temperature: Tensor | None,
) -> Tensor:
    """See `Kernel`."""
    best_first = max_backup == "max_then_min"
    return torch.ops.floorbench.bellman_target(
        reward, terminal, discount, next_values, next_log_prob, best_first, entropy_temperature
    )


def critic_gradient(
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
    """See `Kernel`."""
    of_runs, slopes = torch.ops.floorbench.critic_gradient(
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
        switches(form),
        gradient.flat,
    )
    loss, *others = of_runs.unbind()
    return CriticLoss(loss, slopes, *others)


def switches(form: CriticLossForm) -> list[bool]:
    """The form of the loss as the C++ code takes it."""
    return [
        form.form == "expectation",
        form.importance_sampling,
        form.lagrange,
        form.floor_masking == "expectation",
        form.floor_uniform,
        form.bounds_terms,
        form.lagrange_alpha != "nothing",
        form.lagrange_alpha == "difference_and_gap",
        form.lagrange_multiplier == "softplus",
    ]


def samples(network: PolicyNetwork, parameters: Parameters, states: Tensor, noise: Tensor) -> Sample:
    """See `Kernel`."""
    operator = torch.ops.floorbench.policy_samples
    actions, log_prob = operator(parameters.flat, states, noise, network.widths, parameters.offsets)
    return Sample(actions, log_prob)


def policy_gradient(
    network: PolicyNetwork,
    parameters: Parameters,
    critic: ValueNetwork,
    critic_parameters: Parameters,
    states: Tensor,
    noise: Tensor,
    entropy_temperature: Tensor,
    gradient: Parameters,
) -> tuple[Tensor, Tensor]:
    """See `Kernel`."""
    return torch.ops.floorbench.policy_gradient(
        parameters.flat,
        critic_parameters.flat,
        states,
        noise,
        network.widths,
        parameters.offsets,
        critic.widths,
        critic_parameters.offsets,
        entropy_temperature,
        gradient.flat,
    )


def adam_step(adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
    """See `Kernel`."""
    operator, corrections = torch.ops.floorbench.adam_step, adam.count.corrections
    operator(flat, adam.first, adam.second, gradient, learning_rate, corrections, BETA_1, BETA_2)


def follow(targets: Tensor, flat: Tensor, tau: Tensor) -> None:
    """See `Kernel`."""
    torch.ops.floorbench.follow(targets, flat, tau)
