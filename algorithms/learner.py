"""One update of CQL / Cal-QL for a pack of runs."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from math import inf

import torch
from torch import Tensor

from algorithms.batch import Batch, Noise, backup_actions, noise_at_next
from algorithms.captured_update import CapturedUpdate, compiled
from algorithms.critic_loss import (
    CriticLoss,
    CriticLossForm,
    CriticLossScalars,
    TargetInputs,
    lagrange_multiplier,
    uniform_log_density,
)
from algorithms.device_replay import DeviceReplay
from algorithms.kernels import gpu
from algorithms.kernels.fused_kernel import FusedUpdate
from algorithms.kernels.gpu import BLOCK
from algorithms.kernels.inputs import CriticInputs, PolicyInputs
from algorithms.kernels.kernel import kernel_of
from algorithms.optimizer import Adam, LearnedScalars, StepCount
from algorithms.parameters import Parameters
from algorithms.policy_loss import behaviour_cloning_loss, temperature_gradient
from algorithms.policy_network import PolicyNetwork, Sample
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import ValueNetwork

# Quantities averaged over the updates between two evaluations, in the order of the columns of `Learner.sums`.
LOGGED = (
    "critic_loss", "td_error", "difference", "bound_rate_current", "bound_rate_next",
    "policy_loss", "policy_log_prob", "entropy_temperature", "lagrange_multiplier",
)  # fmt: skip

# Those of them that only updates with a step of the policies add to.
POLICY_LOGGED = ("policy_loss", "policy_log_prob")


class Learner:
    """Policies, critics, target critics and learned scalars of R runs, and their update.

    `settings` has one entry per run, equal in all settings that are not "per run"; `normals` one source of standard
    normal numbers per run (its "init" stream); `discounts` one discount per run. State is kept on `device` (None: the
    kernel's), results are returned on the CPU. Raises KernelUnavailableError.
    """

    def __init__(
        self,
        settings: Sequence[AlgorithmSettings],
        state_dim: int,
        action_dim: int,
        discounts: Sequence[float],
        normals: Sequence[Callable[..., Tensor]],
        dtype: torch.dtype = torch.float32,
        device: str | None = None,
    ):
        self.shape = shape = settings[0]
        runs = len(settings)
        self.runs, self.critics, self.action_dim = runs, shape.critics, action_dim
        self.form = CriticLossForm.of(shape)
        self.kernel = kernel_of(shape)
        device = device or (gpu.DEVICE if shape.on_gpu else "cpu")

        def per_run(name: str, missing: float = 0.0) -> Tensor:
            values = [getattr(run, name) for run in settings]
            numbers = [missing if value is None else value for value in values]
            return torch.tensor(numbers, dtype=dtype, device=device)

        self.discount = torch.tensor(discounts, dtype=dtype, device=device)
        self.device = self.discount.device
        self.count, self.policy_count = (StepCount(self.discount, shape.on_gpu) for _ in range(2))
        self.target_entropy = per_run("target_entropy", -float(action_dim))
        self.tau = self._per_critic(per_run("tau"))
        self.policy_learning_rate = per_run("policy_learning_rate")[:, None]
        self.critic_learning_rate = self._per_critic(per_run("critic_learning_rate"))

        self.policy = PolicyNetwork.of(state_dim, action_dim, shape)
        self.critic = ValueNetwork(state_dim, action_dim, shape.critic_hidden, shape.layer_norm != "none")
        self.policy_parameters = Parameters.zeros(self.policy.shapes(), runs, dtype, device)
        self.critic_parameters = Parameters.zeros(self.critic.shapes(), self.critics * runs, dtype, device)
        for run, (run_settings, normal) in enumerate(zip(settings, normals, strict=True)):
            self.policy.initialise(self.policy_parameters, run, normal, run_settings.output_gain)
            for critic in range(self.critics * run, self.critics * (run + 1)):
                self.critic.initialise(self.critic_parameters, critic, normal, run_settings.output_gain)
        self.target_parameters = self.critic_parameters.clone()
        self._policies: dict[tuple[int, int], Parameters] = {}  # by first and last + 1 of consecutive runs
        self.scalars = LearnedScalars(settings, dtype, device, self.count, self.policy_count)
        self.critic_scalars = CriticLossScalars(
            alpha=per_run("alpha"),
            temperature=per_run("temperature"),
            target_action_gap=per_run("target_action_gap"),
            difference_min=per_run("difference_min", -inf),
            difference_max=per_run("difference_max", inf),
            raw_multiplier=self.scalars.raw_multiplier,
        )
        self.policy_gradient = self.policy_parameters.like()
        self.critic_gradient = self.critic_parameters.like()
        self.policy_adam = Adam.of(self.policy_parameters.flat, self.policy_count)
        self.critic_adam = Adam.of(self.critic_parameters.flat, self.count)
        per_action = runs, shape.batch_size, shape.n_actions
        self._uniform_density = self.discount.new_full(per_action, uniform_log_density(action_dim))
        self.sums = torch.zeros(runs, len(LOGGED), dtype=dtype, device=device)
        self.sum_of = dict(zip(LOGGED, self.sums.unbind(1), strict=True))
        self._summed = self._policy_summed = 0
        self._first_critics = torch.arange(0, self.critics * runs, self.critics, device=device)[:, None]
        self._fused: FusedUpdate | None = None
        self._captured: dict[tuple[str, bool], CapturedUpdate] = {}
        if shape.kernel == "fused" and shape.policy_objective == "value":
            self._fused = FusedUpdate(self, shape.n_actions + backup_actions(shape))

    def update(self, batch: Batch, noise: Noise, with_policy: bool = True) -> None:
        """Make one gradient step; all gradients are taken at the parameters before the step.

        Without `with_policy`, the policies and entropy temperatures keep their values.
        """
        self._advance(1, with_policy)
        if self._fused is not None:
            self._fused(batch, noise, with_policy)
        elif self.shape.on_gpu:
            # Nothing reads the return-to-go here, so that it need not be sent to the GPU.
            batch = replace(batch, return_to_go=batch.rewards.new_empty(0))
            self._capture("given", with_policy, [])(partial(self._counted, with_policy=with_policy), batch, noise)
        else:
            self._compute(batch, noise, with_policy)

    def update_from(self, replay: DeviceReplay, updates: int, with_policy: bool = True) -> None:
        """Make updates of a kernel for GPUs whose batches and noise are drawn on the device; see `update`.

        Whole blocks of `BLOCK` updates are recorded, and replayed, as one graph.
        """
        end = self.count.steps + updates
        while self.count.steps < end:
            number = self.count.steps
            replay.go_to(number)
            block, within = divmod(number, BLOCK)
            at_once = BLOCK if within == 0 and end - number >= BLOCK else 1
            if at_once == 1 and replay.block != block:
                self._capture("draw", True, [replay.number])(replay.draw)
            compute = partial(self._drawn, replay, at_once, with_policy)
            self._capture(f"{at_once} drawn", with_policy, [replay.number])(compute)
            replay.passed(at_once)
            replay.block = block
            self._advance(at_once, with_policy)

    def _advance(self, updates: int, with_policy: bool) -> None:
        """Count updates on the host."""
        for count in (self.count, self.policy_count)[: 1 + with_policy]:
            for _ in range(updates):
                count.advance()
        self._summed += updates
        self._policy_summed += updates * with_policy

    def _capture(self, what: str, with_policy: bool, further: Sequence[Tensor]) -> CapturedUpdate:
        """The captured computation of that name; its state are the learner's buffers and `further` tensors.

        It is given what it computes and does not keep it: a cycle of references would keep the memory of a GPU until
        the next collection.
        """
        if (what, with_policy) not in self._captured:
            buffers = [buffer for buffer, _ in self._buffers().values()]
            numbers = [count.number for count in (self.count, self.policy_count) if count.number is not None]
            self._captured[what, with_policy] = CapturedUpdate([*buffers, *numbers, *further])
        return self._captured[what, with_policy]

    def _drawn(self, replay: DeviceReplay, updates: int, with_policy: bool) -> None:
        """Updates with batches and noise of a replay; for a whole block, they are drawn first."""
        if updates == BLOCK:
            replay.draw()
        for _ in range(updates):
            self._counted(*replay.take(), with_policy)

    def _counted(self, batch: Batch, noise: Noise, with_policy: bool) -> None:
        """An update as it is recorded: it counts in tensors, too."""
        self.count.advance_tensors()
        if with_policy:
            self.policy_count.advance_tensors()
        compute = compiled(Learner._compute) if self.shape.kernel == "cuda_compiled" else Learner._compute
        compute(self, batch, noise, with_policy)

    def _compute(self, batch: Batch, noise: Noise, with_policy: bool = True) -> None:
        """The tensor operations of an update. No Python state changes, so they can be recorded and replayed."""
        kernel, policy, parameters = self.kernel, self.policy, self.policy_parameters
        current = kernel.samples(policy, parameters, batch.states, noise.state[:, :, 1:])
        at_next = kernel.samples(policy, parameters, batch.next_states, noise_at_next(noise, self.shape))
        following, candidates = at_next.split(self.shape.n_actions, backup_actions(self.shape))
        scalars = self.scalars
        entropy_temperature = scalars.log_temperature.exp()

        target = self._target(batch, noise, candidates, entropy_temperature)
        critic_loss = self._critic_gradient(batch, target, noise.uniform, current, following)
        scalars.multiplier_gradient.copy_(critic_loss.lagrange_gradient)
        self._log(critic_loss, entropy_temperature)
        if with_policy:
            policy_loss, log_prob = self._policy_gradient(batch, noise, current, entropy_temperature)
            scalars.temperature_gradient.copy_(temperature_gradient(entropy_temperature, log_prob, self.target_entropy))
            self.sum_of["policy_loss"].add_(policy_loss)
            self.sum_of["policy_log_prob"].add_(log_prob)
            kernel.adam_step(self.policy_adam, parameters.flat, self.policy_gradient.flat, self.policy_learning_rate)
            kernel.adam_step(*scalars.temperature_step)
        kernel.adam_step(
            self.critic_adam, self.critic_parameters.flat, self.critic_gradient.flat, self.critic_learning_rate
        )
        kernel.adam_step(*scalars.multiplier_step)
        kernel.polyak_update(self.target_parameters.flat, self.critic_parameters.flat, self.tau)

    def values(self, states: Tensor, actions: Tensor, run: int | None = None) -> Tensor:
        """Critic values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S]; with `run`, of that run (R = 1)."""
        parameters = self.critic_parameters
        if run is not None:
            parameters = parameters.part(self.critics * run, self.critics * (run + 1))
        return self.kernel.values(self.critic, parameters, states.to(self.device), actions.to(self.device)).cpu()

    @property
    def acts_by_row(self) -> bool:
        """Whether the bits of an action depend on its state alone, or on a GPU also on the number of states.

        Products of matrices on the CPU are computed otherwise for other numbers of rows.
        """
        return self.shape.kernel != "torch"

    def act(self, states: Tensor, noise: Tensor | None = None, run: int | slice | None = None) -> Tensor:
        """Actions [R, B, A] at states [R, B, S]: sampled with standard normal `noise` [R, B, A], or the mode.

        With `run`, of that run (R = 1) or those runs only.
        """
        if run is None:
            parameters = self.policy_parameters
        else:
            part = (run.start, run.stop) if isinstance(run, slice) else (run, run + 1)
            if part not in self._policies:
                self._policies[part] = self.policy_parameters.part(*part)
            parameters = self._policies[part]
        if noise is None:
            noise = states.new_zeros(*states.shape[:2], self.action_dim)
        states, noise = states.to(self.device), noise.to(self.device)
        return self.kernel.samples(self.policy, parameters, states, noise.unsqueeze(2)).action.squeeze(2).cpu()

    def set_alpha(self, alpha: Tensor) -> None:
        """Replace the weight of the regulariser of every run, [R]."""
        self.critic_scalars.alpha.copy_(alpha)

    def shift_critics(self, shift: Tensor) -> None:
        """Add a constant per run, [R], to the values of its critics and target critics."""
        per_critic = self._per_critic(shift.to(self.critic_parameters.flat))
        for parameters in (self.critic_parameters, self.target_parameters):
            parameters["output_bias"].add_(per_critic[:, :, None])

    def renew_critics(self, run: int, normal: Callable[..., Tensor], output_gain: float) -> None:
        """Replace the critics of one run, their targets and moments by new ones; Adam's step count goes on."""
        first, last = self.critics * run, self.critics * (run + 1)
        for flat in (self.critic_parameters.flat, self.critic_adam.first, self.critic_adam.second):
            flat[first:last] = 0.0
        for critic in range(first, last):
            self.critic.initialise(self.critic_parameters, critic, normal, output_gain)
        self.target_parameters.flat[first:last] = self.critic_parameters.flat[first:last]

    def synchronize(self) -> None:
        """Block until queued GPU work has finished (no-op on the CPU)."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def take_logged(self) -> dict[str, Tensor]:
        """Means [R] of the logged quantities since the last call; NaN without updates."""
        means = (self.sums / (self._summed or torch.nan)).cpu()
        if self._policy_summed != self._summed:
            for name in POLICY_LOGGED:
                means[:, LOGGED.index(name)] = self.sum_of[name].cpu() / (self._policy_summed or torch.nan)
        if not self.form.lagrange:
            means[:, LOGGED.index("lagrange_multiplier")] = torch.nan
        self.sums.zero_()
        self._summed = self._policy_summed = 0
        return dict(zip(LOGGED, means.unbind(1), strict=True))

    def snapshot(self) -> "Learner":
        """A copy of parameters and logged sums, for `act`, `values` and `take_logged`; this learner logs anew."""
        other = copy(self)
        other.policy_parameters = self.policy_parameters.clone()
        other.critic_parameters = self.critic_parameters.clone()
        other._policies = {}
        other.sums = self.sums.clone()
        other.sum_of = dict(zip(LOGGED, other.sums.unbind(1), strict=True))
        self.sums.zero_()
        self._summed = self._policy_summed = 0
        return other

    def state(self, run: int) -> dict[str, Tensor]:
        """The state of one run for a checkpoint, in addition to `counters`. May share memory: do not modify."""
        return {name: part.cpu() for name, part in self._parts(run).items()}

    def restore(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore the `state` of one run."""
        for name, part in self._parts(run).items():
            part.copy_(state[name])

    @property
    def counters(self) -> dict[str, int]:
        """Numbers of updates, and of updates since the last `take_logged`; the same for all runs."""
        return {
            "updates": self.count.steps,
            "summed": self._summed,
            "policy_updates": self.policy_count.steps,
            "policy_summed": self._policy_summed,
        }

    @counters.setter
    def counters(self, values: Mapping[str, int]) -> None:
        self.count.steps, self._summed = values["updates"], values["summed"]
        # Checkpoints of earlier versions lack the numbers of the policies, which had a step in every update.
        self.policy_count.steps = values.get("policy_updates", values["updates"])
        self._policy_summed = values.get("policy_summed", values["summed"])

    def _parts(self, run: int) -> dict[str, Tensor]:
        """One run's rows of the `_buffers`."""
        return {name: buffer[rows * run : rows * (run + 1)] for name, (buffer, rows) in self._buffers().items()}

    def _buffers(self) -> dict[str, tuple[Tensor, int]]:
        """Every buffer that updates change, [R * rows, ...], with the number of rows per run."""
        learned = {
            "policy": (self.policy_parameters.flat, self.policy_adam, 1),
            "critic": (self.critic_parameters.flat, self.critic_adam, self.critics),
            "scalars": (self.scalars.flat, self.scalars.adam, LearnedScalars.ROWS),
        }
        buffers = {"target": (self.target_parameters.flat, self.critics), "sums": (self.sums, 1)}
        for name, (flat, adam, rows) in learned.items():
            buffers[name] = (flat, rows)
            buffers[f"{name}_first"] = (adam.first, rows)
            buffers[f"{name}_second"] = (adam.second, rows)
        return buffers

    def finite(self) -> Tensor:
        """Whether all parameters of each run are finite, [R]."""
        critics = self.critic_parameters.flat.isfinite().all(-1).view(-1, self.critics).all(-1)
        return (self.policy_parameters.flat.isfinite().all(-1) & critics).cpu()

    def _per_critic(self, values: Tensor) -> Tensor:
        """A number of every run [R] for each of its critics, [R * C, 1]."""
        return values.repeat_interleave(self.critics)[:, None]

    def _target(self, batch: Batch, noise: Noise, candidates: Sample, entropy_temperature: Tensor) -> Tensor:
        targets = self.target_parameters
        if self.shape.target_critics is not None:
            chosen = (self._first_critics + noise.target_critics).flatten()
            targets = Parameters(targets.shapes, targets.flat.index_select(0, chosen))
        inputs = TargetInputs(
            batch.rewards,
            batch.terminals,
            self.discount,
            self.kernel.values(self.critic, targets, batch.next_states, candidates.action),
            candidates.log_prob,
            self.shape.max_backup,
            entropy_temperature if self.shape.backup_entropy else None,
        )
        return self.kernel.bellman_target(inputs)

    def _policy_gradient(
        self, batch: Batch, noise: Noise, current: Sample, entropy_temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The policy loss and the mean log-probability, each [R]."""
        policy, parameters = self.policy, self.policy_parameters
        if self.shape.policy_objective == "cloning":
            distribution = policy.distribution(parameters, batch.states)
            loss = behaviour_cloning_loss(distribution, batch.actions)
            policy.backward(parameters, self.policy_gradient, distribution, loss.mean_gradient, loss.log_std_gradient)
            return loss.loss, current.log_prob.mean((1, 2))
        inputs = PolicyInputs(
            batch.states, noise.state[:, :, 0], entropy_temperature, self.critic, self.critic_parameters,
            self.shape.policy_value,
        )  # fmt: skip
        return self.kernel.policy_gradient(policy, parameters, inputs, self.policy_gradient)

    def _critic_gradient(
        self, batch: Batch, target: Tensor, uniform: Tensor, current: Sample, following: Sample
    ) -> CriticLoss:
        actions = torch.cat((batch.actions.unsqueeze(2), uniform, current.action, following.action), dim=2)
        log_density = torch.cat((self._uniform_density, current.log_prob, following.log_prob), dim=-1)
        scalars, precision = self.critic_scalars, self.shape.precision
        inputs = CriticInputs(batch.states, actions, target, log_density, batch.floor, self.form, scalars, precision)
        return self.kernel.critic_gradient(self.critic, self.critic_parameters, inputs, self.critic_gradient)

    def _log(self, critic: CriticLoss, entropy_temperature: Tensor) -> None:
        logged = {
            "critic_loss": critic.loss,
            "td_error": critic.td_error,
            "difference": critic.difference,
            "bound_rate_current": critic.bound_rate_current,
            "bound_rate_next": critic.bound_rate_following,
            "entropy_temperature": entropy_temperature,
        }
        if self.form.lagrange:
            logged["lagrange_multiplier"] = lagrange_multiplier(
                self.scalars.raw_multiplier, self.shape.lagrange_multiplier
            )
        for name, value in logged.items():
            self.sum_of[name].add_(value)
