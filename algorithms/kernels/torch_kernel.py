"""An update in torch operations: the reference, for any device. `bellman_target` is a part of it as it stands."""

from torch import Tensor

from algorithms.adam import Adam
from algorithms.backup import bellman_target
from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars, critic_loss
from algorithms.parameters import Parameters
from algorithms.policy_loss import policy_loss, smaller_critic
from algorithms.policy_network import PolicyNetwork, Sample, sample
from algorithms.value_network import ValueNetwork

__all__ = ["adam_step", "bellman_target", "critic_gradient", "follow", "policy_gradient", "samples", "values"]


def values(network: ValueNetwork, parameters: Parameters, states: Tensor, actions: Tensor) -> Tensor:
    """See `Kernel`."""
    critics = len(parameters.flat) // len(states)
    result, _ = network.forward(parameters, _per_critic(states, critics), _per_critic(actions, critics))
    return result.view(-1, critics, *result.shape[1:])


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
    critics = len(parameters.flat) // len(states)
    states, actions = _per_critic(states, critics), _per_critic(actions, critics)
    result, hidden = network.forward(parameters, states, actions)
    of_pairs = result.view(-1, critics, *result.shape[1:])
    loss = critic_loss(of_pairs, target, log_density, floor, form, scalars)
    network.backward(parameters, gradient, states, actions, hidden, loss.gradient.view(result.shape))
    return loss


def samples(network: PolicyNetwork, parameters: Parameters, states: Tensor, noise: Tensor) -> Sample:
    """See `Kernel`."""
    return sample(network.distribution(parameters, states), noise)


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
    distribution = network.distribution(parameters, states)
    sampled = sample(distribution, noise.unsqueeze(2))
    critics = len(critic_parameters.flat) // len(states)
    inputs = _per_critic(states, critics), _per_critic(sampled.action, critics)
    result, hidden = critic.forward(critic_parameters, *inputs)
    value, chosen = smaller_critic(result.view(-1, critics, *result.shape[1:]))
    slopes = critic.action_gradient(critic_parameters, hidden, chosen.view(result.shape))
    of_action = slopes.view(-1, critics, *slopes.shape[1:]).sum(1).squeeze(2)
    loss = policy_loss(distribution, sampled, noise, value.squeeze(-1), of_action, entropy_temperature)
    network.backward(parameters, gradient, distribution, loss.of_mean, loss.of_log_std)
    return loss.loss, sampled.log_prob.mean((1, 2))


def adam_step(adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
    """See `Kernel`."""
    adam.step(flat, gradient, learning_rate)


def follow(targets: Tensor, flat: Tensor, tau: Tensor) -> None:
    """See `Kernel`."""
    targets.add_((flat - targets).mul_(tau))


def _per_critic(tensor: Tensor, critics: int) -> Tensor:
    """[R, ...] repeated for each critic: [R * C, ...]."""
    return tensor.unsqueeze(1).expand(-1, critics, *tensor.shape[1:]).reshape(-1, *tensor.shape[1:])
