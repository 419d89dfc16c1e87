"""An update in C++ for the CPU, in passes over tiles that stay in the cache. Call `build.load_library` first.

The functions of `Kernel` compute the parts; `FusedUpdate` computes a whole update in one call, bit-identical to the
parts.
"""

from typing import Protocol

import torch
from torch import Tensor

from algorithms.batch import Batch, Noise
from algorithms.critic_loss import (
    CriticLoss,
    CriticLossForm,
    CriticLossScalars,
    TargetInputs,
    lagrange_multiplier,
    uniform_log_density,
)
from algorithms.kernels.inputs import CriticInputs, PolicyInputs
from algorithms.optimizer import BETA_1, BETA_2, Adam, LearnedScalars, StepCount
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork, Sample
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import ValueNetwork


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `Kernel`."""
    return torch.ops.floorbench.critic_values(parameters.flat, states, actions, *layout(network, parameters))


def bellman_target(inputs: TargetInputs) -> Tensor:
    """See `Kernel`."""
    return torch.ops.floorbench.bellman_target(
        inputs.rewards,
        inputs.terminals,
        inputs.discount,
        inputs.next_values,
        inputs.next_log_prob,
        inputs.max_backup == "max_then_min",
        inputs.entropy_temperature,
    )


def critic_gradient(
    network: ValueNetwork, parameters: Parameters, inputs: CriticInputs, gradient: Parameters
) -> CriticLoss:
    """See `Kernel`."""
    scalars = inputs.scalars
    per_run, value_gradient = torch.ops.floorbench.critic_gradient(
        parameters.flat,
        inputs.states,
        inputs.actions,
        *layout(network, parameters),
        inputs.target,
        inputs.log_density,
        inputs.floor,
        [
            scalars.alpha,
            scalars.temperature,
            scalars.target_action_gap,
            scalars.difference_min,
            scalars.difference_max,
            scalars.raw_multiplier,
        ],
        form_flags(inputs.form),
        gradient.flat,
    )
    loss, *others = per_run.unbind()
    return CriticLoss(loss, value_gradient, *others)


def layout(network: ValueNetwork | PolicyNetwork, parameters: Parameters) -> tuple[list[int], list[int], list[int]]:
    """Widths of the layers, offsets of the tensors, and normalised columns of the hidden layers (none: empty)."""
    return network.widths, parameters.offsets, list(network.hidden) if network.layer_norm else []


def form_flags(form: CriticLossForm) -> list[bool]:
    """The form of the loss in the order in which the C++ code takes it."""
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
    actions, log_prob = operator(parameters.flat, states, noise, *layout(network, parameters))
    return Sample(actions, log_prob)


def policy_gradient(
    network: PolicyNetwork, parameters: Parameters, inputs: PolicyInputs, gradient: Parameters
) -> tuple[Tensor, Tensor]:
    """See `Kernel`."""
    return torch.ops.floorbench.policy_gradient(
        parameters.flat,
        inputs.critic_parameters.flat,
        inputs.states,
        inputs.noise,
        *layout(network, parameters),
        *layout(inputs.critic, inputs.critic_parameters),
        inputs.entropy_temperature,
        inputs.value == "mean",
        gradient.flat,
    )


def adam_step(adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
    """See `Kernel`."""
    operator, corrections = torch.ops.floorbench.adam_step, adam.count.corrections
    operator(flat, adam.first, adam.second, gradient, learning_rate, corrections, BETA_1, BETA_2)


def polyak_update(targets: Tensor, flat: Tensor, tau: Tensor) -> None:
    """See `Kernel`."""
    torch.ops.floorbench.polyak_update(targets, flat, tau)


class LearnerTensors(Protocol):
    """What `FusedUpdate` reads and updates of a learner of R runs."""

    shape: AlgorithmSettings
    form: CriticLossForm
    policy: PolicyNetwork
    critic: ValueNetwork
    policy_parameters: Parameters
    critic_parameters: Parameters
    target_parameters: Parameters
    policy_gradient: Parameters
    critic_gradient: Parameters
    policy_adam: Adam
    critic_adam: Adam
    policy_learning_rate: Tensor  # [R, 1]
    critic_learning_rate: Tensor  # [R * C, 1]
    tau: Tensor  # [R * C, 1]
    discount: Tensor  # [R]
    target_entropy: Tensor  # [R]
    scalars: LearnedScalars
    critic_scalars: CriticLossScalars
    count: StepCount
    policy_count: StepCount
    sums: Tensor  # [R, logged]
    sum_of: dict[str, Tensor]  # [R] each, columns of `sums`


class FusedUpdate:
    """A whole update of a learner in one C++ call. It keeps pointers to the learner's tensors, which must not move."""

    def __init__(self, learner: LearnerTensors, next_actions: int):
        """`next_actions` are sampled at s': for the push-down first, then for the target."""
        shape, scalars = learner.shape, learner.scalars
        self._log_temperature = scalars.log_temperature
        self._corrections = learner.count.corrections, learner.policy_count.corrections
        self._lagrange, self._kind = learner.form.lagrange, shape.lagrange_multiplier
        self._raw_multiplier, self._multiplier_sum = scalars.raw_multiplier, learner.sum_of["lagrange_multiplier"]
        loss_scalars = vars(learner.critic_scalars)
        names = ("alpha", "temperature", "target_action_gap", "difference_min", "difference_max")
        tensors = {
            "discount": learner.discount,
            "target_entropy": learner.target_entropy,
            "target": learner.target_parameters.flat,
            "tau": learner.tau,
            "sums": learner.sums,
            **{name: loss_scalars[name] for name in names},
        }
        learned = {
            "policy": (learner.policy_parameters.flat, learner.policy_adam, learner.policy_gradient.flat),
            "critic": (learner.critic_parameters.flat, learner.critic_adam, learner.critic_gradient.flat),
            "scalars": (scalars.flat, scalars.adam, scalars.gradient),
        }
        learning_rates = {
            "policy": learner.policy_learning_rate,
            "critic": learner.critic_learning_rate,
            "scalars": scalars.learning_rate,
        }
        for name, (flat, adam, gradient) in learned.items():
            tensors[name], tensors[f"{name}_gradient"] = flat, gradient
            tensors[f"{name}_rate"] = learning_rates[name]
            tensors[f"{name}_first"], tensors[f"{name}_second"] = adam.first, adam.second
        policy, critic = learner.policy, learner.critic
        update = torch.classes.floorbench.Update(
            tensors,
            [*layout(policy, learner.policy_parameters), *layout(critic, learner.critic_parameters)],
            [
                policy.state_dim,
                policy.action_dim,
                shape.batch_size,
                shape.n_actions,
                next_actions,
                shape.target_critics or shape.critics,
            ],
            form_flags(learner.form),
            [
                shape.max_backup == "max_then_min",
                shape.backup_entropy,
                shape.max_backup == "mean_action",
                shape.policy_value == "mean",
            ],
            uniform_log_density(policy.action_dim),
            BETA_1,
            BETA_2,
        )
        self._step = update.step

    def __call__(self, batch: Batch, noise: Noise, with_policy: bool = True) -> None:
        """Make one update; the step counts have been advanced."""
        if self._lagrange:
            self._multiplier_sum.add_(lagrange_multiplier(self._raw_multiplier, self._kind))
        self._step(
            batch.states,
            batch.actions,
            batch.rewards,
            batch.next_states,
            batch.terminals,
            batch.floor,
            noise.uniform,
            noise.state,
            noise.following,
            noise.target_critics,
            self._log_temperature.exp(),
            *self._corrections,
            with_policy,
        )
