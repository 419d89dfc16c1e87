"""The three things an update asks of the critics, and who can compute them."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars
from algorithms.kernels import fused_critic, torch_critic
from algorithms.parameters import Parameters
from algorithms.value_network import ValueNetwork


class Values(Protocol):
    """Critic values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S]; `parameters` are of R * C networks."""

    def __call__(self, network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor: ...


class ActionSlopes(Protocol):
    """The values, and the slope [R, C, B, K, A] of each in its action."""

    def __call__(
        self, network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]: ...


class Gradient(Protocol):
    """The critic loss at 1 + 3n actions per state, see `critic_loss`; its slopes in the parameters go to `gradient`."""

    def __call__(
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
    ) -> CriticLoss: ...


@dataclass(frozen=True)
class CriticKernel:
    """One way to compute the critics."""

    values: Values
    action_slopes: ActionSlopes
    gradient: Gradient


KERNELS = {
    "torch": CriticKernel(torch_critic.values, torch_critic.action_slopes, torch_critic.gradient),
    "fused": CriticKernel(fused_critic.values, fused_critic.action_slopes, fused_critic.gradient),
}
