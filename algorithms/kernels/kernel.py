"""What an update asks of a kernel, and the kernels there are."""

from typing import Protocol

from torch import Tensor

from algorithms.adam import Adam
from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars
from algorithms.kernels import fused_kernel, torch_kernel
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork, Sample
from algorithms.settings import MaxBackup
from algorithms.value_network import ValueNetwork


class Kernel(Protocol):
    """The functions that each kernel's module has. Packs have R runs with C critics each.

    `parameters` are of R networks for policies and of R * C for critics, run after run.
    """

    def values(self, network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
        """Critic values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S]."""
        ...

    def bellman_target(
        self,
        reward: Tensor,
        terminal: Tensor,
        discount: Tensor,
        next_values: Tensor,
        next_log_prob: Tensor,
        max_backup: MaxBackup,
        entropy_temperature: Tensor | None,
    ) -> Tensor:
        """See `backup.bellman_target`."""
        ...

    def critic_gradient(
        self,
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
        """The critic loss at 1 + 3n actions per state, see `critic_loss`; its slopes in the parameters: `gradient`."""
        ...

    def samples(self, network: PolicyNetwork, parameters: Parameters, states: Tensor, noise: Tensor) -> Sample:
        """Actions of the policies at states [R, B, S], from standard normal `noise` [R, B, n, A]."""
        ...

    def policy_gradient(
        self,
        network: PolicyNetwork,
        parameters: Parameters,
        critic: ValueNetwork,
        critic_parameters: Parameters,
        states: Tensor,
        noise: Tensor,
        entropy_temperature: Tensor,
        gradient: Parameters,
    ) -> tuple[Tensor, Tensor]:
        """The policy loss [R] and mean log-probability [R] of one action per state, from `noise` [R, B, A].

        See `policy_loss`; its slopes in the parameters go to `gradient`.
        """
        ...

    def adam_step(self, adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
        """See `Adam.step`."""
        ...

    def follow(self, targets: Tensor, flat: Tensor, tau: Tensor) -> None:
        """Move `targets` [N, P] towards `flat` [N, P] by the share `tau` [N, 1] of the distance."""
        ...


# On a card torch computes too, but what it is asked for is recorded once (`CapturedUpdate`).
KERNELS: dict[str, Kernel] = {
    "torch": torch_kernel, "fused": fused_kernel, "cuda": torch_kernel, "cuda_compiled": torch_kernel,
}  # fmt: skip
