"""An update in torch operations, for any device."""

from torch import Tensor

from algorithms.critic_loss import CriticLoss, bellman_target, critic_loss
from algorithms.kernels.inputs import CriticInputs, PolicyInputs
from algorithms.optimizer import Adam
from algorithms.parameters import Parameters
from algorithms.policy_loss import over_critics, policy_loss
from algorithms.policy_network import PolicyNetwork, Sample, sample
from algorithms.value_network import ValueNetwork

__all__ = ["adam_step", "bellman_target", "critic_gradient", "policy_gradient", "polyak_update", "samples", "values"]


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `Kernel`."""
    critics = len(parameters.flat) // len(states)
    result, _ = network.forward(parameters, _per_critic(states, critics), _per_critic(actions, critics))
    return result.view(-1, critics, *result.shape[1:])


def critic_gradient(
    network: ValueNetwork, parameters: Parameters, inputs: CriticInputs, gradient: Parameters
) -> CriticLoss:
    """See `Kernel`."""
    critics = len(parameters.flat) // len(inputs.states)
    states, actions = _per_critic(inputs.states, critics), _per_critic(inputs.actions, critics)
    result, hidden = network.forward(parameters, states, actions)
    critic_values = result.view(-1, critics, *result.shape[1:])
    loss = critic_loss(critic_values, inputs.target, inputs.log_density, inputs.floor, inputs.form, inputs.scalars)
    network.backward(parameters, gradient, states, actions, hidden, loss.gradient.view(result.shape))
    return loss


def samples(network: PolicyNetwork, parameters: Parameters, states: Tensor, noise: Tensor) -> Sample:
    """See `Kernel`."""
    return sample(network.distribution(parameters, states), noise)


def policy_gradient(
    network: PolicyNetwork, parameters: Parameters, inputs: PolicyInputs, gradient: Parameters
) -> tuple[Tensor, Tensor]:
    """See `Kernel`."""
    distribution = network.distribution(parameters, inputs.states)
    sampled = sample(distribution, inputs.noise.unsqueeze(2))
    critic, critic_parameters = inputs.critic, inputs.critic_parameters
    critics = len(critic_parameters.flat) // len(inputs.states)
    result, hidden = critic.forward(
        critic_parameters, _per_critic(inputs.states, critics), _per_critic(sampled.action, critics)
    )
    value, value_gradient = over_critics(result.view(-1, critics, *result.shape[1:]), inputs.value)
    action_gradient = critic.action_gradient(critic_parameters, hidden, value_gradient.view(result.shape))
    action_gradient = action_gradient.view(-1, critics, *action_gradient.shape[1:]).sum(1).squeeze(2)
    loss = policy_loss(
        distribution, sampled, inputs.noise, value.squeeze(-1), action_gradient, inputs.entropy_temperature
    )
    network.backward(parameters, gradient, distribution, loss.mean_gradient, loss.log_std_gradient)
    return loss.loss, sampled.log_prob.mean((1, 2))


def adam_step(adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
    """See `Kernel`."""
    adam.step(flat, gradient, learning_rate)


def polyak_update(targets: Tensor, flat: Tensor, tau: Tensor) -> None:
    """See `Kernel`."""
    targets.add_((flat - targets).mul_(tau))


def _per_critic(tensor: Tensor, critics: int) -> Tensor:
    """Repeat [R, ...] for each critic: [R * C, ...]."""
    return tensor.unsqueeze(1).expand(-1, critics, *tensor.shape[1:]).reshape(-1, *tensor.shape[1:])
