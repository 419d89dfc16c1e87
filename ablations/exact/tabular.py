"""Tabular CQL and Cal-QL: the gradient flow of floorbench's critic loss, integrated until it converges.

Nothing is sampled: every action enters the push-down with its exact weight, and the Bellman target is the exact
expectation over the next state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from ablations.exact.problems import ROWS, FiniteProblem
from algorithms.critic_loss import CriticLossForm, CriticLossScalars, TargetInputs, bellman_target, critic_loss

Masking = Literal["per_action", "expectation"]

# Relative tolerance within which a mean counts as lying on its floor.
ON_THE_FLOOR = 1e-12


@dataclass(frozen=True)
class Rows:
    """A dataset of B state-action pairs; repeated rows give the frequencies."""

    states: Tensor  # [B]
    actions: Tensor  # [B]

    @classmethod
    def of(cls, problem: FiniteProblem) -> "Rows":
        """Return ROWS rows for every state, with the frequencies of the behaviour policy."""
        counts = (problem.behaviour * ROWS).round().long()
        pairs = counts.nonzero().repeat_interleave(counts[counts > 0], dim=0)
        return cls(pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True)
class PushDown:
    """The actions that are pushed down in every state, and the value that the Bellman target backs up."""

    form: CriticLossForm
    slots: Tensor  # [S, n] actions
    log_density: Tensor  # [S, n] of each slot, for importance weights in the soft maximum
    # Maps tables [R, S, A] to the state values [R, S] of the Bellman target.
    next_value: Callable[[Tensor], Tensor]


def expectation(policy: Tensor, masking: Masking = "per_action") -> PushDown:
    """Push down E_pi[Q] and back up E_pi[Q], for a fixed policy [S, A] in multiples of 1 / ROWS (Cal-QL Eq. 5.1)."""
    slots = _actions_by_frequency(policy)
    form = CriticLossForm("expectation", False, False, masking)
    return PushDown(form, slots, torch.zeros(slots.shape, dtype=torch.float64), lambda table: (policy * table).sum(-1))


def soft_maximum(problem: FiniteProblem, backup: Literal["maximum", "soft"] = "maximum") -> PushDown:
    """Push down log sum_a exp Q (CQL Eq. 4) and back up the maximum of Q, or the value of the policy ~ exp Q."""
    slots = torch.arange(problem.actions).expand(problem.states, -1)
    form = CriticLossForm("soft_maximum", True, False)

    def next_value(table: Tensor) -> Tensor:
        return table.amax(-1) if backup == "maximum" else (table.softmax(-1) * table).sum(-1)

    return PushDown(form, slots, torch.zeros(slots.shape, dtype=torch.float64), next_value)


def soft_maximum_of(policy: Tensor, masking: Masking = "per_action") -> PushDown:
    """Push down log sum_a exp Q and back up E_pi[Q], for a fixed policy [S, A] that takes every action.

    Its actions enter with their frequencies, divided by the same frequencies: noise-free importance sampling.
    """
    slots = _actions_by_frequency(policy)
    form = CriticLossForm("soft_maximum", True, False, masking)
    return PushDown(form, slots, (policy * ROWS).gather(1, slots).log(), lambda table: (policy * table).sum(-1))


class CriticTables:
    """R tables Q [R, S, A] that learn from one dataset, with a weight and floors per table.

    `alpha` is [R]; `floor` is [R, B], one number per row; `start` is the initial value, a number or [R, S, A].
    """

    def __init__(
        self,
        problem: FiniteProblem,
        push_down: PushDown,
        alpha: Tensor,
        floor: Tensor,
        start: Tensor | float = 0.0,
        rows: Rows | None = None,
    ):
        self.problem, self.push_down = problem, push_down
        self.rows = rows = rows or Rows.of(problem)
        self.alpha, self.floor = alpha, floor
        runs = len(alpha)
        shape = (problem.states, problem.actions)
        self.values = torch.as_tensor(start, dtype=torch.float64).expand(runs, *shape).clone()
        counts = torch.zeros(shape, dtype=torch.float64)
        counts.index_put_((rows.states, rows.actions), torch.ones(len(rows.states), dtype=torch.float64), True)
        state_counts = counts.sum(-1, keepdim=True)
        # The gradient of a value is divided by the frequency of its rows, so that a unit step is a full Bellman backup.
        # An action without data moves as if it had all rows of its state.
        self.share = torch.where(counts > 0, counts, state_counts).clamp(min=1.0) / len(rows.states)
        rarest = float((counts / state_counts)[counts > 0].min())
        soft = push_down.form.form == "soft_maximum"
        # [R, 1, 1], small enough for the curvature of the soft maximum.
        self.step_size = 1.0 / (1.0 + soft * alpha / (4.0 * rarest)).view(-1, 1, 1)
        self._state_floors = _group_by_state(floor, rows.states, problem.states)
        slots = push_down.slots[rows.states]
        n = slots.shape[1]
        columns = torch.cat((rows.actions[:, None], slots, slots, slots), dim=1)
        # Indices into a flattened table of the values that enter the critic loss, [B, 1 + 3n].
        self._cells = rows.states[:, None] * problem.actions + columns
        # Of the three sets of actions, only those of pi(.|s) have weight; the others get infinite density.
        self._log_density = torch.full((len(columns), 3 * n), inf, dtype=torch.float64)
        self._log_density[:, n : 2 * n] = push_down.log_density[rows.states]
        # Frequency of each action among the slots of a state, [S, A].
        self._weights = torch.zeros(shape, dtype=torch.float64)
        self._weights.scatter_add_(1, push_down.slots, torch.full(push_down.slots.shape, 1.0 / n, dtype=torch.float64))

    def velocity(self) -> Tensor:
        """Velocity [R, S, A] of the gradient flow; zero where a value is pushed to its floor from both sides."""
        if self.push_down.form.floor_masking == "per_action":
            on_floor = (self.values.unsqueeze(-1) == self._state_floors.unsqueeze(-2)).any(-1)
            low, high = self._sides(bool(on_floor.any()))
            between = torch.where((low > 0) & (high < 0), 0.0, torch.where(high >= 0, high, low))
            return torch.where(on_floor, between, low)
        weights, on_floor = self._weights, self._mean_on_floor()
        low, high = self._sides(bool(on_floor.any()))
        up, down = (weights * low).sum(-1), (weights * high).sum(-1)
        is_held = on_floor & (up > 0) & (down < 0)
        fraction = torch.where(is_held, up / torch.where(is_held, up - down, 1.0), 0.0)
        fraction = torch.where(on_floor & (down >= 0), 1.0, fraction).unsqueeze(-1)
        return low + fraction * (high - low)

    def step(self, size: Tensor | float) -> Tensor:
        """Integrate the flow by one step, at most to the next floor. Returns the velocity [R, S, A]."""
        velocity = self.velocity()
        moved = self.values + size * velocity
        if self.push_down.form.floor_masking == "per_action":
            floors = self._state_floors.unsqueeze(-2)
            before, after = self.values.unsqueeze(-1), moved.unsqueeze(-1)
            floor_below = torch.where((floors < before) & (floors > after), floors, -inf).amax(-1)
            floor_above = torch.where((floors > before) & (floors < after), floors, inf).amin(-1)
            self.values = torch.where(
                floor_below > -inf, floor_below, torch.where(floor_above < inf, floor_above, moved)
            )
            return velocity
        floor = self._state_floors[..., 0]
        weights = self._weights
        before, after = (weights * self.values).sum(-1), (weights * moved).sum(-1)
        crosses = ((before - floor) * (after - floor) < 0) & ~self._mean_on_floor()
        fraction = torch.where(crosses, (floor - before) / torch.where(crosses, after - before, 1.0), 1.0)
        self.values = self.values + size * fraction.unsqueeze(-1) * velocity
        return velocity

    def converge(self, tolerance: float = 1e-9, limit: int = 30_000) -> Tensor:
        """Integrate until no value moves faster than `tolerance`, and return the tables [R, S, A].

        Raises RuntimeError if they do not converge within `limit` steps.
        """
        for _ in range(limit):
            speed = float(self.step(self.step_size).abs().max())
            if speed < tolerance:
                return self.values
        raise RuntimeError(f"tables not converged after {limit} steps: still changing by {speed:.1e} per step")

    def targets(self) -> Tensor:
        """The Bellman target of every row, [R, B]: `bellman_target` of the exact expectation over the next state."""
        expected_next = torch.einsum("saz,rz->rsa", self.problem.transition, self.push_down.next_value(self.values))
        states, actions = self.rows.states, self.rows.actions
        rewards = self.problem.reward[states, actions].expand(len(self.alpha), -1)
        next_values = expected_next[:, states, actions][:, None, :, None]
        discount = torch.full_like(self.alpha, self.problem.discount)
        zero = torch.zeros_like(next_values[:, 0])
        return bellman_target(TargetInputs(rewards, torch.zeros_like(rewards), discount, next_values, zero, "off"))

    def _sides(self, has_value_on_floor: bool) -> tuple[Tensor, Tensor]:
        """Velocity just below and just above the floors: without and with the push-down of values on the floor."""
        target = self.targets()
        if not has_value_on_floor:
            velocity = -self._gradient(self.values, target, self.floor) / (2.0 * self.share)
            return velocity, velocity
        if self.push_down.form.floor_masking == "per_action":
            raised = torch.nextafter(self.values, torch.full_like(self.values, inf))
            tables, floors = torch.cat((self.values, raised)), self.floor.repeat(2, 1)
        else:
            tables = self.values.repeat(2, 1, 1)
            on_floor = self._mean_on_floor()[:, self.rows.states]
            floors = torch.cat((torch.where(on_floor, inf, self.floor), torch.where(on_floor, -inf, self.floor)))
        runs = len(self.alpha)
        velocity = -self._gradient(tables, target.repeat(2, 1), floors) / (2.0 * self.share)
        return velocity[:runs], velocity[runs:]

    def _gradient(self, tables: Tensor, target: Tensor, floor: Tensor) -> Tensor:
        """Gradient [R, S, A] of the critic loss with respect to the tables."""
        runs, flat = len(tables), tables.flatten(1)
        values = flat[:, self._cells].unsqueeze(1)
        density = self._log_density.expand(runs, -1, -1)
        weights = scalars(self.alpha.repeat(runs // len(self.alpha)))
        gradient = critic_loss(values, target, density, floor, self.push_down.form, weights).gradient
        return torch.zeros_like(flat).index_add_(1, self._cells.view(-1), gradient.flatten(1)).view(tables.shape)

    def _mean_on_floor(self) -> Tensor:
        """Where the mean over the slots lies on the state's floor, [R, S]."""
        floor, mean = self._state_floors[..., 0], (self._weights * self.values).sum(-1)
        return floor.isfinite() & ((mean - floor).abs() <= ON_THE_FLOOR * (1.0 + floor.abs()))


def scalars(alpha: Tensor) -> CriticLossScalars:
    """Per-run scalars of a loss with fixed weights `alpha` [R] and temperature 1."""
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    return CriticLossScalars(alpha, one, zero, torch.full_like(alpha, -inf), torch.full_like(alpha, inf), zero)


def no_floor(runs: int, rows: Rows) -> Tensor:
    """Minus infinity for every row: CQL."""
    return torch.full((runs, len(rows.states)), -inf, dtype=torch.float64)


def _actions_by_frequency(policy: Tensor) -> Tensor:
    """Actions [S, n] with the frequencies of a policy [S, A]; n is 1 if it is deterministic, otherwise ROWS."""
    if ((policy == 0) | (policy == 1)).all():
        return policy.argmax(-1, keepdim=True)
    counts = (policy * ROWS).round().long()
    if not torch.allclose(counts.to(policy.dtype) / ROWS, policy):
        raise ValueError(f"policy: probabilities must be multiples of 1/{ROWS}")
    actions = torch.arange(policy.shape[1]).expand_as(counts)
    return actions.reshape(-1).repeat_interleave(counts.reshape(-1)).view(len(policy), ROWS)


def _group_by_state(floor: Tensor, states: Tensor, count: int) -> Tensor:
    """Group floors [R, B] by state, [R, S, K], padded with minus infinity."""
    largest = int(torch.bincount(states, minlength=count).max())
    result = torch.full((len(floor), count, largest), -inf, dtype=torch.float64)
    position = torch.zeros(count, dtype=torch.long)
    for row, state in enumerate(states.tolist()):
        result[:, state, position[state]] = floor[:, row]
        position[state] += 1
    return result
