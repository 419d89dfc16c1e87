"""The critics in torch operations: the reference, for any device."""

from torch import Tensor

from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars, critic_loss
from algorithms.parameters import Parameters
from algorithms.value_network import ValueNetwork


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `critic_kernel.Values`."""
    critics = len(parameters.flat) // len(states)
    result, _ = network.forward(parameters, _per_critic(states, critics), _per_critic(actions, critics))
    return result.view(-1, critics, *result.shape[1:])


def action_slopes(
    network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor]:
    """See `critic_kernel.ActionSlopes`."""
    critics = len(parameters.flat) // len(states)
    result, hidden = network.forward(parameters, _per_critic(states, critics), _per_critic(actions, critics))
    slopes = network.action_gradient(parameters, hidden, result.new_ones(result.shape))
    return result.view(-1, critics, *result.shape[1:]), slopes.view(-1, critics, *slopes.shape[1:])


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
    critics = len(parameters.flat) // len(states)
    states, actions = _per_critic(states, critics), _per_critic(actions, critics)
    result, hidden = network.forward(parameters, states, actions)
    of_pairs = result.view(-1, critics, *result.shape[1:])
    loss = critic_loss(of_pairs, target, log_density, floor, form, scalars)
    network.backward(parameters, gradient, states, actions, hidden, loss.gradient.view(result.shape))
    return loss


def _per_critic(tensor: Tensor, critics: int) -> Tensor:
    """[R, ...] repeated for each critic: [R * C, ...]."""
    return tensor.unsqueeze(1).expand(-1, critics, *tensor.shape[1:]).reshape(-1, *tensor.shape[1:])
