"""The functions that an update needs of a kernel, their inputs, and the registry of kernels."""

from typing import Protocol

import torch
from torch import Tensor

from algorithms.critic_loss import CriticLoss, TargetInputs
from algorithms.kernels import fused_kernel, torch_kernel, triton_kernel
from algorithms.kernels.build import load_library
from algorithms.kernels.inputs import CriticInputs, PolicyInputs
from algorithms.optimizer import Adam
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork, Sample
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import ValueNetwork


class Kernel(Protocol):
    """The functions that every kernel module provides, for packs of R runs with C critics each.

    `parameters` hold R policies or R * C critics, ordered by run.
    """

    def values(self, network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
        """Critic values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S]."""
        ...

    def bellman_target(self, inputs: TargetInputs) -> Tensor:
        """See `critic_loss.bellman_target`."""
        ...

    def critic_gradient(
        self, network: ValueNetwork, parameters: Parameters, inputs: CriticInputs, gradient: Parameters
    ) -> CriticLoss:
        """Compute `critic_loss` and write its gradient with respect to the critics' parameters into `gradient`."""
        ...

    def samples(self, network: PolicyNetwork, parameters: Parameters, states: Tensor, noise: Tensor) -> Sample:
        """Sample actions at states [R, B, S] from standard normal `noise` [R, B, n, A]."""
        ...

    def policy_gradient(
        self, network: PolicyNetwork, parameters: Parameters, inputs: PolicyInputs, gradient: Parameters
    ) -> tuple[Tensor, Tensor]:
        """Compute `policy_loss` and write its gradient with respect to the policies' parameters into `gradient`.

        Returns the loss [R] and the mean log-probability [R] of one sampled action per state.
        """
        ...

    def adam_step(self, adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
        """See `Adam.step`."""
        ...

    def polyak_update(self, targets: Tensor, flat: Tensor, tau: Tensor) -> None:
        """`targets += tau * (flat - targets)` for `targets` and `flat` [N, P] and `tau` [N, 1]."""
        ...


def kernel_of(settings: AlgorithmSettings) -> Kernel:
    """The kernel of these settings, ready to compute in this process, in their precision.

    Containers for GPUs may set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, which is replaced.
    """
    if settings.kernel == "fused":
        load_library()
    if settings.on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
    return KERNELS[settings.kernel]


# On a GPU the torch kernel or the Triton kernel computes, recorded once as a CUDA graph (`CapturedUpdate`).
KERNELS: dict[str, Kernel] = {
    "torch": torch_kernel, "fused": fused_kernel, "cuda": torch_kernel, "cuda_compiled": torch_kernel,
    "triton": triton_kernel,
}  # fmt: skip
