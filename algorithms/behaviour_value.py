"""The learned floor: value networks of the behaviour policy, fitted to returns-to-go or by temporal differences."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from math import log

import torch
from torch import Tensor

from algorithms.optimizer import Adam
from algorithms.parameters import Parameters
from algorithms.settings import BehaviourValueSettings
from algorithms.value_network import HiddenLayer, ValueNetwork

# States per forward pass: the hidden layers of a whole dataset would take gigabytes.
FORWARD_ROWS = 16_384


@dataclass(frozen=True)
class FitReport:
    """How well an estimate predicts the returns-to-go of held-out trajectories, in units of return."""

    held_out_rmse: float  # root mean squared error
    held_out_r2: float  # share of the held-out variance that is explained
    steps: int  # gradient steps until the parameters that were kept
    held_out_bias: float | None = None  # mean estimate minus return
    # Mean and root mean square of the estimate minus the true value over the dataset; None: the truth is unknown.
    exact_bias: float | None = None
    exact_rmse: float | None = None

    @classmethod
    def of(cls, estimates: Tensor, returns: Tensor, steps: int) -> "FitReport":
        """Compare estimates with returns-to-go [K] of held-out transitions."""
        error = (estimates - returns).double()
        squared, variance = float(error.square().mean()), float(returns.var(correction=0))
        r2 = 1.0 - squared / variance if variance > 0 else 0.0
        return cls(squared**0.5, r2, steps, float(error.mean()))


@dataclass(frozen=True)
class Successors:
    """What the targets of temporal differences need, for the N transitions of a dataset."""

    next_states: Tensor  # [N, S]
    terminated: Tensor  # [N] bool
    ends: Tensor  # [N] index of the next terminal or last transition of the trajectory
    sums: Tensor  # [N] float64, discounted sums of rewards to the end of the trajectory
    discount: float

    def on(self, device: str) -> "Successors":
        """The same on a device."""
        next_states, terminated = self.next_states.to(device), self.terminated.to(device)
        return Successors(next_states, terminated, self.ends.to(device), self.sums.to(device), self.discount)

    def targets(self, rows: Tensor, steps: Tensor, values: Callable[[Tensor], Tensor]) -> Tensor:
        """The n-step targets [R, B] of transitions `rows` with n = `steps` (both [R, B]).

        `values` maps states [R, B, S] to values [R, B]. A trajectory that ends within n steps is summed to its end,
        plus the value of its last state unless that is terminal.
        """
        last = torch.minimum(rows + steps - 1, self.ends[rows])
        following = torch.where(last < self.ends[rows], self.sums[(last + 1).clamp(max=len(self.sums) - 1)], 0.0)
        later = torch.where(self.terminated[last], 0.0, values(self.next_states[last]).double())
        discount = self.discount ** (last - rows + 1).double()
        return (self.sums[rows] + discount * (later - following)).float()


def td_steps(uniform: Tensor, td_lambda: float) -> Tensor:
    """Numbers of steps n, geometrically distributed: the expectation of n-step targets is the target of TD(lambda)."""
    if td_lambda == 0.0:
        return torch.ones(uniform.shape, dtype=torch.int64)
    steps = 1.0 + ((1.0 - uniform).log() / log(td_lambda)).floor()
    return steps.clamp(max=2.0**31).long()


class BehaviourValue:
    """Value networks of the behaviour policy for R runs, on standardised states and returns."""

    def __init__(
        self,
        settings: BehaviourValueSettings,
        states: Tensor,
        returns: Tensor,
        normals: Sequence[Callable[..., Tensor]],
        excluded: Tensor | None = None,
    ):
        """Initialise and compute the standardisation from `states` [N, S], shared by the runs, and `returns` [R, N].

        The standardisation of returns leaves `excluded` transitions [R, N] (bool) out.
        """
        self.settings = settings
        self.network = ValueNetwork(states.shape[1], 0, settings.hidden)
        runs = returns.shape[0]
        self.parameters = Parameters.zeros(self.network.shapes(), runs, returns.dtype, str(returns.device))
        for run, normal in enumerate(normals):
            self.network.initialise(self.parameters, run, normal, output_gain=1e-2)
        self.gradient = self.parameters.like()
        self.adam = Adam.of(self.parameters.flat)
        self.learning_rate = torch.full((runs, 1), settings.learning_rate, dtype=returns.dtype, device=returns.device)
        self.state_mean, self.state_scale = states.mean(0), states.std(0, correction=0) + 1e-6
        self.mean, self.scale = returns.mean(1), returns.std(1, correction=0) + 1e-6
        if excluded is not None:
            used = [values[~without] for values, without in zip(returns, excluded, strict=True)]
            self.mean = torch.stack([values.mean() for values in used])
            self.scale = torch.stack([values.std(correction=0) for values in used]) + 1e-6

    def on(self, device: str) -> "BehaviourValue":
        """A copy on a device, as the networks stand, with a new optimizer."""
        moved = copy(self)
        moved.parameters = Parameters(self.parameters.shapes, self.parameters.flat.to(device, copy=True))
        moved.gradient, moved.adam = moved.parameters.like(), Adam.of(moved.parameters.flat)
        for name in ("learning_rate", "state_mean", "state_scale", "mean", "scale"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def values(self, states: Tensor, run: int | None = None) -> Tensor:
        """Values [R, B] of states [R, B, S]; with `run`, of that run only (R = 1)."""
        if run is None:
            chosen, forward = slice(None), self._forward
        else:
            chosen = slice(run, run + 1)
            parameters = Parameters(self.parameters.shapes, self.parameters.flat[chosen])
            forward = partial(self.network.forward, parameters, actions=None)
        parts = [forward(self._standardise(part))[0].squeeze(-1) for part in states.split(FORWARD_ROWS, dim=1)]
        return torch.cat(parts, dim=1) * self.scale[chosen, None] + self.mean[chosen, None]

    def step(self, states: Tensor, returns: Tensor) -> None:
        """One gradient step on the mean loss (see `loss`) for states [R, B, S] and returns [R, B]."""
        inputs = self._standardise(states)
        outputs, hidden = self._forward(inputs)
        error = outputs.squeeze(-1) - (returns - self.mean[:, None]) / self.scale[:, None]
        value_gradient = (2.0 / error.shape[1]) * self._half_slope(error).unsqueeze(-1)
        self.network.backward(self.parameters, self.gradient, inputs, None, hidden, value_gradient)
        self.adam.count.advance()
        self.adam.step(self.parameters.flat, self.gradient.flat, self.learning_rate)

    def loss(self, error: Tensor) -> Tensor:
        """The loss of errors (estimate minus return): squared, or asymmetric for an expectile or a quantile.

        The scale is such that a level of 0.5 gives the squared and the absolute error.
        """
        if self.settings.estimator == "quantile":
            return self._weight(error) * error.abs()
        return self._weight(error) * error.square()

    def _half_slope(self, error: Tensor) -> Tensor:
        """Half the derivative of the loss."""
        if self.settings.estimator == "quantile":
            return self._weight(error) * 0.5 * error.sign()
        return self._weight(error) * error

    def _weight(self, error: Tensor) -> Tensor | float:
        if self.settings.estimator not in ("expectile", "quantile"):
            return 1.0
        level = self.settings.level
        return torch.where(error < 0, 2.0 * level, 2.0 * (1.0 - level)).to(error.dtype)

    def fit(
        self,
        states: Tensor,
        returns: Tensor,
        held_out: Tensor,
        uniforms: Sequence[Callable[[int], Tensor]],
        excluded: Tensor | None = None,
        successors: Successors | None = None,
    ) -> list[FitReport]:
        """Fit to the transitions that are not `held_out` [R, N] (bool); keep the parameters of least held-out loss.

        `uniforms` has one source of uniform numbers on [0, 1) per run, which selects its batches. `excluded`
        transitions [R, N] are neither fitted nor held out. The estimator "td" needs `successors`. A run's parameters
        are final after `patience` evaluations without improvement; the fit ends when those of all runs are.

        `states`, `returns` and `successors` are on the device of the networks, the masks and `uniforms` on the CPU.
        """
        settings, runs, device = self.settings, returns.shape[0], self.parameters.flat.device
        outside = held_out if excluded is None else held_out | excluded
        kept_in = [(~outside[run]).nonzero().squeeze(1) for run in range(runs)]
        held_out = held_out.to(device)
        best = self.parameters.flat.clone()
        best_loss = [self._held_out_loss(run, states, returns[run], held_out[run]) for run in range(runs)]
        best_step, waited = [0] * runs, [0] * runs
        bootstraps = settings.estimator == "td" and settings.td_lambda < 1.0
        for step in range(1, settings.max_steps + 1):
            draws = [uniform(settings.batch_size) for uniform in uniforms]
            chosen = [fitted[(u * len(fitted)).long()] for fitted, u in zip(kept_in, draws, strict=True)]
            rows = torch.stack(chosen).to(device)
            if bootstraps:
                assert successors is not None
                horizons = torch.stack([uniform(settings.batch_size) for uniform in uniforms])
                steps = td_steps(horizons, settings.td_lambda).to(device)
                targets = successors.targets(rows, steps, self.values)
            else:
                targets = returns.gather(1, rows)
            self.step(states[rows], targets)
            if step % settings.check_interval and step != settings.max_steps:
                continue
            for run in range(runs):
                if waited[run] >= settings.patience:
                    continue
                loss = self._held_out_loss(run, states, returns[run], held_out[run])
                if loss < best_loss[run]:
                    best[run], best_loss[run], best_step[run] = self.parameters.flat[run], loss, step
                    waited[run] = 0
                else:
                    waited[run] += 1
            if min(waited) >= settings.patience:
                break
        self.parameters.flat.copy_(best)
        # The step count depends on the other runs of the pack; a new optimizer does not.
        self.adam = Adam.of(self.parameters.flat)
        return [
            FitReport.of(self.values(states[held_out[run]][None], run)[0], returns[run][held_out[run]], best_step[run])
            for run in range(runs)
        ]

    def state(self, run: int, count: int = 1) -> dict[str, Tensor]:
        """The state of `count` runs from `run` on, for a checkpoint, as views, in addition to `adam.count.steps`."""
        rows = slice(run, run + count)
        buffers = {"value": self.parameters.flat, "value_first": self.adam.first, "value_second": self.adam.second}
        return {name: buffer[rows] for name, buffer in buffers.items()}

    def restore(self, run: int, state: Mapping[str, Tensor], count: int = 1) -> None:
        """Restore the `state` of `count` runs."""
        for name, part in self.state(run, count).items():
            part.copy_(state[name])

    def _held_out_loss(self, run: int, states: Tensor, returns: Tensor, held_out: Tensor) -> float:
        error = self.values(states[held_out][None], run)[0] - returns[held_out]
        return float(self.loss(error.double()).mean())

    def _forward(self, inputs: Tensor) -> tuple[Tensor, list[HiddenLayer]]:
        """Outputs and hidden layers of all runs at `inputs` [R, B, S], byte-identical for any number of runs."""
        if inputs.shape[0] > 1 or inputs.shape[2] > 1:
            return self.network.forward(self.parameters, inputs, None)
        # BLAS rounds products with an inner width of 1 in a batch of one otherwise than in larger batches.
        pair = Parameters(self.parameters.shapes, self.parameters.flat.repeat(2, 1))
        outputs, hidden = self.network.forward(pair, inputs.repeat(2, 1, 1), None)
        return outputs[:1], [HiddenLayer(layer.activation[:1]) for layer in hidden]

    def _standardise(self, states: Tensor) -> Tensor:
        return (states - self.state_mean) / self.state_scale
