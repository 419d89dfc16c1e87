"""The update of CQL and Cal-QL for one run in plain PyTorch: autograd, a module per network, torch's optimizers.

This is the reference that the kernels are tested against, and the place to read what an update does. The kernels
compute the same for packs of runs, with gradients written out.
"""

import copy
from math import inf, log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from algorithms.batch import Batch, Noise
from algorithms.critic_loss import MULTIPLIER_MAX, raw_multiplier, uniform_log_density
from algorithms.parameters import Parameters
from algorithms.policy_network import LOG_STD_MAX, LOG_STD_MIN
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import NORM_EPSILON


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int, layer_norm: bool) -> nn.Sequential:
    """A multilayer perceptron with ReLU between its layers, and layer normalisation before the ReLU on demand."""
    layers: list[nn.Module] = []
    for width in hidden:
        norms = [nn.LayerNorm(width, NORM_EPSILON)] if layer_norm else []
        layers += [nn.Linear(inputs, width), *norms, nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Policy(nn.Module):
    """A tanh-Gaussian policy."""

    def __init__(self, state_dim: int, action_dim: int, hidden: tuple[int, ...], layer_norm: bool):
        super().__init__()
        self.body = perceptron(state_dim, hidden, 2 * action_dim, layer_norm)
        self.log_std_multiplier = nn.Parameter(torch.tensor(1.0))
        self.log_std_offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, states: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [B, n, A] and log-probabilities [B, n] at states [B, S], from standard normal `noise` [B, n, A]."""
        mean, log_std = self.body(states).unsqueeze(1).chunk(2, dim=-1)
        log_std = (self.log_std_multiplier * log_std + self.log_std_offset).clamp(LOG_STD_MIN, LOG_STD_MAX)
        raw = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * log(2 * pi)
        log_jacobian = 2 * (log(2) - raw - functional.softplus(-2 * raw))  # log(1 - tanh(raw)^2)
        return raw.tanh(), (log_normal - log_jacobian).sum(-1)

    def mode(self, states: Tensor) -> Tensor:
        """The deterministic actions [B, A]."""
        return self.body(states).chunk(2, dim=-1)[0].tanh()


class Critic(nn.Module):
    """A critic of several actions per state."""

    def __init__(self, state_dim: int, action_dim: int, hidden: tuple[int, ...], layer_norm: bool):
        super().__init__()
        self.body = perceptron(state_dim + action_dim, hidden, 1, layer_norm)

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Values [B, K] of actions [B, K, A] at states [B, S]."""
        states = states.unsqueeze(1).expand(-1, actions.shape[1], -1)
        return self.body(torch.cat([states, actions], dim=-1)).squeeze(-1)


class ReferenceLearner:
    """Policy, critics, targets and learned scalars of one run."""

    def __init__(self, settings: AlgorithmSettings, state_dim: int, action_dim: int, discount: float):
        self.settings, self.discount, self.action_dim = settings, discount, action_dim
        self.policy = Policy(state_dim, action_dim, settings.policy_hidden, settings.layer_norm == "all")
        self.critics = nn.ModuleList(
            Critic(state_dim, action_dim, settings.critic_hidden, settings.layer_norm != "none")
            for _ in range(settings.critics)
        )
        self.targets = copy.deepcopy(self.critics)
        multiplier = raw_multiplier(settings.lagrange_initial_log, settings.lagrange_multiplier)
        temperature = log(settings.entropy_temperature_initial)
        self.log_temperature = nn.Parameter(torch.tensor(temperature, dtype=torch.float64))
        self.raw_multiplier = nn.Parameter(torch.tensor(multiplier, dtype=torch.float64))
        target_entropy = settings.target_entropy
        self.target_entropy = -action_dim if target_entropy is None else target_entropy
        self._make_optimizers()

    def load(self, policy: Parameters, critic: Parameters, run: int = 0) -> None:
        """Copy the weights of a run of a pack, targets included, and start new optimizers of its dtype."""
        for part in (self.policy, self.critics, self.targets):
            part.to(policy.flat.dtype)
        for scalar in (self.log_temperature, self.raw_multiplier):
            scalar.data = scalar.data.to(policy.flat.dtype)
        with torch.no_grad():
            for layer, linear in enumerate(_linears(self.policy.body)):
                _copy(linear, policy[f"weight_{layer}"][run], policy[f"bias_{layer}"][run])
            _copy_norms(self.policy, policy, run)
            self.policy.log_std_multiplier.copy_(policy["log_std_multiplier"][run].squeeze())
            self.policy.log_std_offset.copy_(policy["log_std_offset"][run].squeeze())
            for number, module in enumerate(self.critics):
                row = len(self.critics) * run + number
                first, *others = _linears(module)
                action_weight = critic["action_weight"][row, : self.action_dim]
                _copy(first, torch.cat((critic["state_weight"][row], action_weight)), critic["bias_0"][row])
                for layer, linear in enumerate(others[:-1], start=1):
                    _copy(linear, critic[f"weight_{layer}"][row], critic[f"bias_{layer}"][row])
                _copy(others[-1], critic["output_weight"][row].T, critic["output_bias"][row])
                _copy_norms(module, critic, row)
        self.targets.load_state_dict(self.critics.state_dict())
        self._make_optimizers()

    def update(self, batch: Batch, noise: Noise, with_policy: bool = True) -> dict[str, Tensor]:
        """One gradient step on a batch of one run (R = 1); returns logged quantities.

        All gradients are taken at the parameters before the step. Without `with_policy`, only critics and multiplier
        change.
        """
        settings, n = self.settings, self.settings.n_actions
        states, next_states = batch.states[0], batch.next_states[0]
        temperature = self.log_temperature.exp()

        with torch.no_grad():
            current, current_log_prob = self.policy(states, noise.state[0, :, 1:])
            next_noise = noise.following[0].clone()
            if settings.max_backup == "mean_action":
                next_noise[:, -1] = 0
            following, following_log_prob = self.policy(next_states, next_noise)
            next_value = self._next_value(
                self._chosen_targets(noise), next_states, following[:, n:], following_log_prob[:, n:], temperature
            )
            target = batch.rewards[0] + (1 - batch.terminals[0]) * self.discount * next_value
            uniform_density = torch.full_like(current_log_prob, uniform_log_density(self.action_dim))
            log_density = torch.cat([uniform_density, current_log_prob, following_log_prob[:, :n]], dim=1)
            actions = torch.cat([batch.actions[0].unsqueeze(1), noise.uniform[0], current, following[:, :n]], dim=1)

        values = [critic(states, actions) for critic in self.critics]
        td_error = torch.stack([(value[:, 0] - target).square().mean() for value in values]).sum()
        differences = torch.stack([self.difference(value, log_density, batch.floor[0]) for value in values])
        regulariser, multiplier_loss = self._regulariser(differences)
        critic_loss = td_error + regulariser

        if settings.policy_objective == "cloning":
            policy_loss, log_prob = (self.policy.mode(states) - batch.actions[0]).square().mean(), current_log_prob
        else:
            action, log_prob = self.policy(states, noise.state[0, :, :1])
            value = torch.stack([critic(states, action) for critic in self.critics])
            value = value.mean(0) if settings.policy_value == "mean" else value.amin(0)
            policy_loss = (temperature.detach() * log_prob - value).mean()
        temperature_loss = -temperature * (log_prob.detach().mean() + self.target_entropy)

        losses = {self.critic_optimizer: critic_loss}
        if with_policy:
            losses |= {self.policy_optimizer: policy_loss, self.temperature_optimizer: temperature_loss}
        if settings.lagrange:
            losses[self.multiplier_optimizer] = multiplier_loss
        for optimizer, loss in losses.items():
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        for optimizer in losses:
            optimizer.step()
        with torch.no_grad():
            for target_weight, weight in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                target_weight.lerp_(weight, settings.tau)
        return {
            "critic_loss": critic_loss.detach(),
            "td_error": td_error.detach() / len(self.critics),
            "difference": differences.detach().mean(),
            "policy_loss": policy_loss.detach(),
            "policy_log_prob": log_prob.detach().mean(),
            "entropy_temperature": temperature.detach(),
        }

    def difference(self, values: Tensor, log_density: Tensor, floor: Tensor) -> Tensor:
        """Push-down minus push-up of one critic, clipped and averaged over the batch.

        `values` [B, 1 + 3n] of the data action and of n uniform, current and next actions; `log_density` [B, 3n];
        `floor` [B]. See `critic_loss.critic_loss` for the options.
        """
        settings, n = self.settings, self.settings.n_actions
        data, sampled = values[:, 0], values[:, 1:]
        soft = settings.form == "soft_maximum"
        floors = floor.unsqueeze(1).expand(-1, 3 * n).clone()
        if not settings.floor_uniform:
            floors[:, :n] = -inf
        if settings.floor_masking == "expectation":
            floors[:] = -inf
        bounds_terms = soft and settings.importance_sampling and settings.floor_after_density
        bounded = sampled - log_density if bounds_terms else sampled
        # Not `maximum`, which would pass half of the gradient to a value that equals its floor.
        floored = torch.where(bounded > floors, bounded, floors)
        if not soft:
            push_down = floored[:, n : 2 * n].mean(1)
        else:
            if not settings.importance_sampling:
                floored = torch.cat([floored, data.unsqueeze(1)], dim=1)
            elif not bounds_terms:
                floored = floored - log_density
            push_down = settings.temperature * (floored / settings.temperature).logsumexp(1)
        if settings.floor_masking == "expectation":
            push_down = torch.where(sampled[:, n : 2 * n].mean(1) > floor, push_down, floor)
        low = -inf if settings.difference_min is None else settings.difference_min
        high = inf if settings.difference_max is None else settings.difference_max
        return (push_down - data).clamp(low, high).mean()

    def _chosen_targets(self, noise: Noise) -> list[nn.Module]:
        """The target critics of which the Bellman target takes the minimum."""
        if self.settings.target_critics is None:
            return list(self.targets)
        return [self.targets[number] for number in noise.target_critics[0].tolist()]

    def _next_value(
        self, targets: list[nn.Module], states: Tensor, actions: Tensor, log_prob: Tensor, temperature: Tensor
    ) -> Tensor:
        values = torch.stack([target(states, actions) for target in targets])
        if self.settings.max_backup == "max_then_min":
            best, chosen = values.max(-1)
            value, critic = best.min(0)
            chosen = chosen.gather(0, critic.unsqueeze(0)).squeeze(0)
        else:
            value, chosen = values.amin(0).max(-1)
        if self.settings.backup_entropy:
            value = value - temperature * log_prob.gather(1, chosen.unsqueeze(1)).squeeze(1)
        return value

    def _regulariser(self, differences: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted regulariser and the loss of the Lagrange multiplier, from the `differences` [C]."""
        settings = self.settings
        if not settings.lagrange:
            return settings.alpha * differences.sum(), torch.zeros(())
        alpha = 1.0 if settings.lagrange_alpha == "nothing" else settings.alpha
        gap = settings.target_action_gap * (settings.alpha if settings.lagrange_alpha == "difference_and_gap" else 1.0)
        excess = (alpha * differences - gap).sum()
        exponential = settings.lagrange_multiplier == "exponential"
        multiplier = self.raw_multiplier.exp() if exponential else functional.softplus(self.raw_multiplier)
        multiplier = multiplier.clamp(max=MULTIPLIER_MAX)
        return multiplier.detach() * excess, -multiplier * excess.detach() / len(differences)

    def _make_optimizers(self) -> None:
        settings, adam = self.settings, torch.optim.Adam
        self.policy_optimizer = adam(self.policy.parameters(), lr=settings.policy_learning_rate)
        self.critic_optimizer = adam(self.critics.parameters(), lr=settings.critic_learning_rate)
        self.temperature_optimizer = adam([self.log_temperature], lr=settings.entropy_learning_rate)
        self.multiplier_optimizer = adam([self.raw_multiplier], lr=settings.critic_learning_rate)


def _linears(body: nn.Module) -> list[nn.Linear]:
    return [module for module in body.modules() if isinstance(module, nn.Linear)]


def _copy_norms(module: nn.Module, parameters: Parameters, row: int) -> None:
    """Copy the scales and shifts of the layer normalisation of network `row`, if there are any."""
    norms = [part for part in module.modules() if isinstance(part, nn.LayerNorm)]
    for layer, norm in enumerate(norms):
        norm.weight.copy_(parameters[f"norm_scale_{layer}"][row, 0, : norm.weight.numel()])
        norm.bias.copy_(parameters[f"norm_shift_{layer}"][row, 0, : norm.bias.numel()])


def _copy(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Copy a weight [in, out] and a bias [1, out] of `Parameters`, without their padding."""
    linear.weight.copy_(weight[: linear.in_features, : linear.out_features].T)
    linear.bias.copy_(bias[0, : linear.out_features])
