"""One update of CQL / Cal-QL for a pack of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor

from algorithms.adam import Adam
from algorithms.backup import bellman_target
from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars, CriticValues, critic_loss
from algorithms.parameters import Parameters
from algorithms.policy_loss import policy_loss, smaller_critic, temperature_gradient
from algorithms.policy_network import Distribution, PolicyNetwork, mode, sample
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import ValueNetwork

CRITICS = 2


@dataclass(frozen=True)
class Batch:
    """B transitions of each of R runs."""

    states: Tensor  # [R, B, S]
    actions: Tensor  # [R, B, A]
    rewards: Tensor  # [R, B]
    next_states: Tensor  # [R, B, S]
    terminals: Tensor  # [R, B] 1 where the episode ended at a terminal
    return_to_go: Tensor  # [R, B]
    floor: Tensor  # [R, B] minus infinity: no floor


@dataclass(frozen=True)
class Noise:
    """The random numbers of one update."""

    uniform: Tensor  # [R, B, n, A] uniform on [-1, 1]: the uniform actions themselves
    current: Tensor  # [R, B, n, A] standard normal, for pi(.|s) in the push-down
    following: Tensor  # [R, B, n, A] for pi(.|s') in the push-down
    backup: Tensor  # [R, B, m, A] for pi(.|s') in the target; m = n with a max backup, else 1
    policy: Tensor  # [R, B, 1, A] for pi(.|s) in the policy loss


def backup_actions(settings: AlgorithmSettings) -> int:
    """Number of actions m sampled for the target."""
    return 1 if settings.max_backup == "off" else settings.n_actions


# What is averaged over the updates between two evaluations, in the order in which `Learner` sums it.
LOGGED = (
    "critic_loss", "td_error", "difference", "bound_rate_current", "bound_rate_next",
    "policy_loss", "policy_log_prob", "entropy_temperature", "lagrange_multiplier",
)  # fmt: skip


class Learner:
    """Policies, twin critics, targets and temperatures of R runs, and the update that moves them.

    `settings` holds one entry per run, equal in everything that decides shapes; `normals` one source of standard
    normal numbers per run (its "init" stream); `discounts` one discount per run.
    """

    def __init__(
        self,
        settings: Sequence[AlgorithmSettings],
        state_dim: int,
        action_dim: int,
        discounts: Sequence[float],
        normals: Sequence[Callable[..., Tensor]],
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        self.shape = shape = settings[0]
        runs = len(settings)
        self.runs, self.action_dim = runs, action_dim
        self.form = CriticLossForm(shape.form, shape.importance_sampling, shape.lagrange)

        def per_run(values: Sequence[float | None], missing: float = 0.0) -> Tensor:
            numbers = [missing if value is None else value for value in values]
            return torch.tensor(numbers, dtype=dtype, device=device)

        self.discount = per_run(discounts)
        self.alpha = per_run([s.alpha for s in settings])
        self.temperature = per_run([s.temperature for s in settings])
        self.target_action_gap = per_run([s.target_action_gap for s in settings])
        self.difference_min = per_run([s.difference_min for s in settings], -inf)
        self.difference_max = per_run([s.difference_max for s in settings], inf)
        self.target_entropy = per_run([s.target_entropy for s in settings], -float(action_dim))
        self.tau = per_run([s.tau for s in settings]).repeat_interleave(CRITICS)[:, None]
        self.policy_rate = per_run([s.policy_learning_rate for s in settings])[:, None]
        self.critic_rate = per_run([s.critic_learning_rate for s in settings]).repeat_interleave(CRITICS)[:, None]
        self.multiplier_rate = per_run([s.critic_learning_rate for s in settings])[:, None]
        self.entropy_rate = per_run([s.entropy_learning_rate for s in settings])[:, None]

        self.policy = PolicyNetwork(state_dim, action_dim, shape.policy_hidden)
        self.critic = ValueNetwork(state_dim, action_dim, shape.critic_hidden)
        self.policy_parameters = Parameters.zeros(self.policy.shapes(), runs, dtype, device)
        self.critic_parameters = Parameters.zeros(self.critic.shapes(), CRITICS * runs, dtype, device)
        for run, (own, normal) in enumerate(zip(settings, normals, strict=True)):
            self.policy.initialise(self.policy_parameters, run, normal, own.output_gain)
            for critic in range(CRITICS):
                self.critic.initialise(self.critic_parameters, CRITICS * run + critic, normal, own.output_gain)
        self.target_parameters = self.critic_parameters.clone()
        self.log_temperature = per_run([log(s.entropy_temperature_initial) for s in settings])[:, None]
        self.log_multiplier = per_run([s.lagrange_initial_log for s in settings])[:, None]

        self.policy_gradient = self.policy_parameters.like()
        self.critic_gradient = self.critic_parameters.like()
        self.policy_adam = Adam.of(self.policy_parameters.flat)
        self.critic_adam = Adam.of(self.critic_parameters.flat)
        self.temperature_adam = Adam.of(self.log_temperature)
        self.multiplier_adam = Adam.of(self.log_multiplier)
        self._sums = torch.zeros(len(LOGGED), runs, dtype=dtype, device=device)
        self._summed = 0

    def update(self, batch: Batch, noise: Noise) -> None:
        """One gradient step of everything; all gradients are taken at the parameters before the step."""
        pair_states = _pairs(batch.states)
        at_state = self.policy.distribution(self.policy_parameters, batch.states)
        at_next = self.policy.distribution(self.policy_parameters, batch.next_states)
        entropy_temperature = self.log_temperature.exp().squeeze(1)

        target = self._target(batch, at_next, noise.backup, entropy_temperature)
        critic = self._critic_gradient(batch, pair_states, target, at_state, at_next, noise)
        policy, log_prob = self._policy_gradient(pair_states, at_state, noise.policy, entropy_temperature)
        of_temperature = temperature_gradient(self.log_temperature.squeeze(1), log_prob, self.target_entropy)

        self._log(critic, policy, log_prob, entropy_temperature)
        self.policy_adam.step(self.policy_parameters.flat, self.policy_gradient.flat, self.policy_rate)
        self.critic_adam.step(self.critic_parameters.flat, self.critic_gradient.flat, self.critic_rate)
        self.temperature_adam.step(self.log_temperature, of_temperature[:, None], self.entropy_rate)
        if self.form.lagrange:
            self.multiplier_adam.step(self.log_multiplier, critic.lagrange_gradient[:, None], self.multiplier_rate)
        towards = (self.critic_parameters.flat - self.target_parameters.flat).mul_(self.tau)
        self.target_parameters.flat.add_(towards)

    def values(self, states: Tensor, actions: Tensor, run: int | None = None) -> Tensor:
        """Critic values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S]; with `run`, of that run alone."""
        parameters = self.critic_parameters
        if run is not None:
            parameters = parameters.part(CRITICS * run, CRITICS * (run + 1))
        values, _ = self.critic.forward(parameters, _pairs(states), _pairs(actions))
        return values.view(-1, CRITICS, *values.shape[1:])

    def act(self, states: Tensor, noise: Tensor | None = None, run: int | None = None) -> Tensor:
        """Actions [R, B, A] at states [R, B, S]: sampled with standard normal `noise` [R, B, A], or the mode.

        With `run`, of that run alone (then R = 1).
        """
        parameters = self.policy_parameters if run is None else self.policy_parameters.part(run, run + 1)
        distribution = self.policy.distribution(parameters, states)
        if noise is None:
            return mode(distribution)
        return sample(distribution, noise.unsqueeze(2)).action.squeeze(2)

    def take_logged(self) -> dict[str, Tensor]:
        """Means [R] of the logged numbers since the last call; NaN where there was nothing to average."""
        means = self._sums / (self._summed or torch.nan)
        if not self.form.lagrange:
            means[LOGGED.index("lagrange_multiplier")] = torch.nan
        self._sums.zero_()
        self._summed = 0
        return dict(zip(LOGGED, means.unbind(), strict=True))

    def finite(self) -> Tensor:
        """Whether all parameters of each run are finite numbers, [R]."""
        critics = self.critic_parameters.flat.isfinite().all(-1).view(-1, CRITICS).all(-1)
        return self.policy_parameters.flat.isfinite().all(-1) & critics

    def _target(self, batch: Batch, at_next: Distribution, noise: Tensor, entropy_temperature: Tensor) -> Tensor:
        candidates = sample(at_next, noise)
        values, _ = self.critic.forward(self.target_parameters, _pairs(batch.next_states), _pairs(candidates.action))
        return bellman_target(
            batch.rewards,
            batch.terminals,
            self.discount,
            values.view(self.runs, CRITICS, *values.shape[1:]),
            candidates.log_prob,
            self.shape.max_backup,
            entropy_temperature if self.shape.backup_entropy else None,
        )

    def _critic_gradient(
        self,
        batch: Batch,
        pair_states: Tensor,
        target: Tensor,
        at_state: Distribution,
        at_next: Distribution,
        noise: Noise,
    ) -> CriticLoss:
        current, following = sample(at_state, noise.current), sample(at_next, noise.following)
        data = batch.actions.unsqueeze(2)
        actions = _pairs(torch.cat((data, noise.uniform, current.action, following.action), dim=2))
        values, hidden = self.critic.forward(self.critic_parameters, pair_states, actions)
        result = critic_loss(
            CriticValues.split(values.view(self.runs, CRITICS, *values.shape[1:])),
            target,
            current.log_prob,
            following.log_prob,
            batch.floor,
            self.action_dim,
            self.form,
            CriticLossScalars(
                self.alpha,
                self.temperature,
                self.target_action_gap,
                self.difference_min,
                self.difference_max,
                self.log_multiplier.squeeze(1),
            ),
        )
        slope = result.gradient.join().view(values.shape)
        self.critic.backward(self.critic_parameters, self.critic_gradient, pair_states, actions, hidden, slope)
        return result

    def _policy_gradient(
        self, pair_states: Tensor, at_state: Distribution, noise: Tensor, entropy_temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        sampled = sample(at_state, noise)
        values, hidden = self.critic.forward(self.critic_parameters, pair_states, _pairs(sampled.action))
        value, slope = smaller_critic(values.view(self.runs, CRITICS, *values.shape[1:]))
        of_action = self.critic.action_gradient(self.critic_parameters, hidden, slope.view(values.shape))
        of_action = of_action.view(self.runs, CRITICS, *of_action.shape[1:]).sum(1).squeeze(2)
        result = policy_loss(at_state, sampled, value.squeeze(-1), of_action, entropy_temperature)
        self.policy.backward(self.policy_parameters, self.policy_gradient, at_state, result.of_mean, result.of_log_std)
        return result.loss, sampled.log_prob.squeeze(-1)

    def _log(self, critic: CriticLoss, policy: Tensor, log_prob: Tensor, entropy_temperature: Tensor) -> None:
        self._sums += torch.stack(
            (
                critic.loss,
                critic.td_error,
                critic.difference,
                critic.bound_rate_current.mean(-1),
                critic.bound_rate_following.mean(-1),
                policy,
                log_prob.mean(-1),
                entropy_temperature,
                self.log_multiplier.squeeze(1).exp(),
            )
        )
        self._summed += 1


def _pairs(tensor: Tensor) -> Tensor:
    """[R, ...] repeated for each critic: [C * R, ...]."""
    return tensor.repeat_interleave(CRITICS, dim=0)
