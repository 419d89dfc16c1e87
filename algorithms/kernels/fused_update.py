"""The whole update of a pack in one call of C++: to the bit what the fused kernel's functions compute one by one."""

from typing import Protocol

import torch
from torch import Tensor

from algorithms.adam import BETA_1, BETA_2, Adam, StepCount
from algorithms.batch import Batch, Noise
from algorithms.critic_loss import CriticLossForm, CriticLossScalars, multiplier_of, uniform_log_density
from algorithms.kernels.fused_kernel import switches
from algorithms.learned_scalars import LearnedScalars
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import ValueNetwork


class Learning(Protocol):
    """What an update reads and moves of a learner of R runs."""

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
    policy_rate: Tensor  # [R, 1]
    critic_rate: Tensor  # [2 R, 1]
    tau: Tensor  # [2 R, 1]
    discount: Tensor  # [R]
    target_entropy: Tensor  # [R]
    scalars: LearnedScalars
    critic_scalars: CriticLossScalars
    count: StepCount
    sums: Tensor  # [R, logged]
    sum_of: dict[str, Tensor]  # [R] each, columns of `sums`


class FusedUpdate:
    """Holds the tensors of a learner, which stay where they are, and moves them by a batch and its noise."""

    def __init__(self, learner: Learning, following: int):
        """Of a learner whose library is loaded; `following` actions are sampled at s', the target's at the end."""
        shape, scalars = learner.shape, learner.scalars
        self._log_temperature, self._corrections = scalars.log_temperature, learner.count.corrections
        self._lagrange, self._kind = learner.form.lagrange, shape.lagrange_multiplier
        self._learned_multiplier, self._multiplier_sum = scalars.log_multiplier, learner.sum_of["lagrange_multiplier"]
        loss = vars(learner.critic_scalars)
        names = ("alpha", "temperature", "target_action_gap", "difference_min", "difference_max")
        tensors = {
            "discount": learner.discount,
            "target_entropy": learner.target_entropy,
            "target": learner.target_parameters.flat,
            "tau": learner.tau,
            "sums": learner.sums,
            **{name: loss[name] for name in names},
        }
        learned = {
            "policy": (learner.policy_parameters.flat, learner.policy_adam, learner.policy_gradient.flat),
            "critic": (learner.critic_parameters.flat, learner.critic_adam, learner.critic_gradient.flat),
            "scalars": (scalars.flat, scalars.adam, scalars.gradient),
        }
        rates = {"policy": learner.policy_rate, "critic": learner.critic_rate, "scalars": scalars.rate}
        for name, (flat, adam, gradient) in learned.items():
            tensors[name], tensors[f"{name}_gradient"], tensors[f"{name}_rate"] = flat, gradient, rates[name]
            tensors[f"{name}_first"], tensors[f"{name}_second"] = adam.first, adam.second
        policy, critic = learner.policy, learner.critic
        update = torch.classes.floorbench.Update(
            tensors,
            [policy.widths, learner.policy_parameters.offsets, critic.widths, learner.critic_parameters.offsets],
            [policy.state_dim, policy.action_dim, shape.batch_size, shape.n_actions, following],
            switches(learner.form),
            [shape.max_backup == "max_then_min", shape.backup_entropy, shape.max_backup == "mean_action"],
            uniform_log_density(policy.action_dim),
            BETA_1,
            BETA_2,
        )
        self._step = update.step

    def __call__(self, batch: Batch, noise: Noise) -> None:
        """One update; the count of steps has advanced."""
        if self._lagrange:
            self._multiplier_sum.add_(multiplier_of(self._learned_multiplier, self._kind))
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
            self._log_temperature.exp(),
            self._corrections,
        )
