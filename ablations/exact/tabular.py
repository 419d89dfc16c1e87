"""CQL and Cal-QL on tables: the gradient flow of the project's own critic loss, followed to where it rests.

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

# How far a mean may lie from its floor, in relative terms, and still count as lying on it.
ON_THE_FLOOR = 1e-12


@dataclass(frozen=True)
class Rows:
    """A dataset of B rows; how often a state or an action occurs is its frequency."""

    states: Tensor  # [B]
    actions: Tensor  # [B]

    @classmethod
    def of(cls, problem: FiniteProblem) -> "Rows":
        """ROWS rows for every state, with the frequencies of the behaviour policy."""
        counts = (problem.behaviour * ROWS).round().long()
        pairs = counts.nonzero().repeat_interleave(counts[counts > 0], dim=0)
        return cls(pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True)
class PushDown:
    """Which actions are pushed down at every state, and what their next value is."""

    form: CriticLossForm
    slots: Tensor  # [S, n] actions
    log_density: Tensor  # [S, n] of each slot, divided out of the soft maximum
    # Table [R, S, A] -> value of every state [R, S] in the Bellman target.
    next_value: Callable[[Tensor], Tensor]


def expectation(policy: Tensor, masking: Masking = "per_action") -> PushDown:
    """Push down E_pi[Q] and back up E_pi[Q], for a fixed policy [S, A] in multiples of 1 / ROWS (Cal-QL Eq. 5.1)."""
    slots = _repeated(policy)
    form = CriticLossForm("expectation", False, False, masking)
    return PushDown(form, slots, torch.zeros(slots.shape, dtype=torch.float64), lambda table: (policy * table).sum(-1))


def soft_maximum(problem: FiniteProblem, backup: Literal["maximum", "soft"] = "maximum") -> PushDown:
    """Push down log sum_a exp Q (CQL Eq. 4) and back up the best action's value, or that of the policy ~ exp Q."""
    slots = torch.arange(problem.actions).expand(problem.states, -1)
    form = CriticLossForm("soft_maximum", True, False)

    def next_value(table: Tensor) -> Tensor:
        return table.amax(-1) if backup == "maximum" else (table.softmax(-1) * table).sum(-1)

    return PushDown(form, slots, torch.zeros(slots.shape, dtype=torch.float64), next_value)


def soft_maximum_of(policy: Tensor, masking: Masking = "per_action") -> PushDown:
    """Push down log sum_a exp Q and back up E_pi[Q], for a fixed policy [S, A] that takes every action.

    Its actions enter as often as it takes them, divided by how often that is: importance sampling without the chance.
    """
    slots = _repeated(policy)
    form = CriticLossForm("soft_maximum", True, False, masking)
    return PushDown(form, slots, (policy * ROWS).gather(1, slots).log(), lambda table: (policy * table).sum(-1))


class CriticTables:
    """R tables Q [R, S, A] that learn side by side from one dataset, each with its own weight and floors.

    `alpha` [R]; `floor` [R, B], one number per row; `start` is where the tables begin: a number or [R, S, A].
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
        of_state = counts.sum(-1, keepdim=True)
        # The gradient of a value is divided by the frequency of its row, so that a unit step is a full Bellman backup;
        # an action without data moves as if it had all the rows of its state.
        self.share = torch.where(counts > 0, counts, of_state).clamp(min=1.0) / len(rows.states)
        rarest = float((counts / of_state)[counts > 0].min())
        soft = push_down.form.form == "soft_maximum"
        # Short enough for the curvature of the soft maximum, [R, 1, 1].
        self.step_size = 1.0 / (1.0 + soft * alpha / (4.0 * rarest)).view(-1, 1, 1)
        self._floors_of_state = _by_state(floor, rows.states, problem.states)
        slots = push_down.slots[rows.states]
        n = slots.shape[1]
        columns = torch.cat((rows.actions[:, None], slots, slots, slots), dim=1)
        # Places in a flat table of the values that the critic loss sees, [B, 1 + 3n].
        self._cells = rows.states[:, None] * problem.actions + columns
        # Of the three sets of actions only pi(.|s) takes part: the others have infinite density, that is no weight.
        self._log_density = torch.full((len(columns), 3 * n), inf, dtype=torch.float64)
        self._log_density[:, n : 2 * n] = push_down.log_density[rows.states]
        # How often each action is among the slots of a state, [S, A].
        self._weights = torch.zeros(shape, dtype=torch.float64)
        self._weights.scatter_add_(1, push_down.slots, torch.full(push_down.slots.shape, 1.0 / n, dtype=torch.float64))

    def velocity(self) -> Tensor:
        """Where the gradient flow moves the tables, [R, S, A]; a value held at its floor from both sides rests."""
        if self.push_down.form.floor_masking == "per_action":
            on_floor = (self.values.unsqueeze(-1) == self._floors_of_state.unsqueeze(-2)).any(-1)
            low, high = self._sides(bool(on_floor.any()))
            between = torch.where((low > 0) & (high < 0), 0.0, torch.where(high >= 0, high, low))
            return torch.where(on_floor, between, low)
        weights, on_floor = self._weights, self._mean_on_floor()
        low, high = self._sides(bool(on_floor.any()))
        up, down = (weights * low).sum(-1), (weights * high).sum(-1)
        held = on_floor & (up > 0) & (down < 0)
        part = torch.where(held, up / torch.where(held, up - down, 1.0), 0.0)
        part = torch.where(on_floor & (down >= 0), 1.0, part).unsqueeze(-1)
        return low + part * (high - low)

    def step(self, size: Tensor | float) -> Tensor:
        """Follow the flow for a while, at most to the next floor; the velocity [R, S, A]."""
        velocity = self.velocity()
        moved = self.values + size * velocity
        if self.push_down.form.floor_masking == "per_action":
            floors = self._floors_of_state.unsqueeze(-2)
            before, after = self.values.unsqueeze(-1), moved.unsqueeze(-1)
            fallen = torch.where((floors < before) & (floors > after), floors, -inf).amax(-1)
            risen = torch.where((floors > before) & (floors < after), floors, inf).amin(-1)
            self.values = torch.where(fallen > -inf, fallen, torch.where(risen < inf, risen, moved))
            return velocity
        floor = self._floors_of_state[..., 0]
        weights = self._weights
        before, after = (weights * self.values).sum(-1), (weights * moved).sum(-1)
        crosses = ((before - floor) * (after - floor) < 0) & ~self._mean_on_floor()
        part = torch.where(crosses, (floor - before) / torch.where(crosses, after - before, 1.0), 1.0)
        self.values = self.values + size * part.unsqueeze(-1) * velocity
        return velocity

    def converge(self, tolerance: float = 1e-9, limit: int = 30_000) -> Tensor:
        """Follow the flow until nothing moves faster than `tolerance`; the tables [R, S, A].

        Raises RuntimeError if they still move after `limit` steps.
        """
        for _ in range(limit):
            speed = float(self.step(self.step_size).abs().max())
            if speed < tolerance:
                return self.values
        raise RuntimeError(f"the tables still move by {speed:.1e} per step after {limit} steps")

    def targets(self) -> Tensor:
        """The Bellman target of every row, [R, B]: `bellman_target` of the exact expectation over the next state."""
        onward = torch.einsum("saz,rz->rsa", self.problem.transition, self.push_down.next_value(self.values))
        states, actions = self.rows.states, self.rows.actions
        rewards = self.problem.reward[states, actions].expand(len(self.alpha), -1)
        following = onward[:, states, actions][:, None, :, None]
        discount = torch.full_like(self.alpha, self.problem.discount)
        zero = torch.zeros_like(following[:, 0])
        return bellman_target(TargetInputs(rewards, torch.zeros_like(rewards), discount, following, zero, "off"))

    def _sides(self, differ: bool) -> tuple[Tensor, Tensor]:
        """Velocity just below and just above the floors: without and with the push-down of what lies on them."""
        target = self.targets()
        if not differ:
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
        """Gradient [R, S, A] of the critic loss in the tables."""
        runs, flat = len(tables), tables.flatten(1)
        values = flat[:, self._cells].unsqueeze(1)
        density = self._log_density.expand(runs, -1, -1)
        weights = scalars(self.alpha.repeat(runs // len(self.alpha)))
        slope = critic_loss(values, target, density, floor, self.push_down.form, weights).gradient
        return torch.zeros_like(flat).index_add_(1, self._cells.view(-1), slope.flatten(1)).view(tables.shape)

    def _mean_on_floor(self) -> Tensor:
        """Where the mean over the slots lies on the state's floor, [R, S]."""
        floor, mean = self._floors_of_state[..., 0], (self._weights * self.values).sum(-1)
        return floor.isfinite() & ((mean - floor).abs() <= ON_THE_FLOOR * (1.0 + floor.abs()))


def scalars(alpha: Tensor) -> CriticLossScalars:
    """The per-run numbers of a loss with fixed weights `alpha` [R] and temperature 1."""
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    return CriticLossScalars(alpha, one, zero, torch.full_like(alpha, -inf), torch.full_like(alpha, inf), zero)


def no_floor(runs: int, rows: Rows) -> Tensor:
    """Minus infinity for every row: CQL."""
    return torch.full((runs, len(rows.states)), -inf, dtype=torch.float64)


def _repeated(policy: Tensor) -> Tensor:
    """Actions [S, n] that occur as often as a policy [S, A] takes them; n is 1 for a deterministic one, else ROWS."""
    if ((policy == 0) | (policy == 1)).all():
        return policy.argmax(-1, keepdim=True)
    counts = (policy * ROWS).round().long()
    if not torch.allclose(counts.to(policy.dtype) / ROWS, policy):
        raise ValueError(f"a policy in multiples of 1/{ROWS} is needed")
    actions = torch.arange(policy.shape[1]).expand_as(counts)
    return actions.reshape(-1).repeat_interleave(counts.reshape(-1)).view(len(policy), ROWS)


def _by_state(floor: Tensor, states: Tensor, count: int) -> Tensor:
    """The floors [R, B] of every state's rows, [R, S, K]; shorter lists are filled up with minus infinity."""
    most = int(torch.bincount(states, minlength=count).max())
    result = torch.full((len(floor), count, most), -inf, dtype=torch.float64)
    place = torch.zeros(count, dtype=torch.long)
    for row, state in enumerate(states.tolist()):
        result[:, state, place[state]] = floor[:, row]
        place[state] += 1
    return result
