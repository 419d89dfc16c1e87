"""The learned floor: a value network of the behaviour policy, fitted to returns-to-go by regression."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.optimizer import Adam
from algorithms.parameters import Parameters
from algorithms.settings import BehaviourValueSettings
from algorithms.value_network import ValueNetwork

# States per forward pass: the hidden layers of a whole dataset would take gigabytes.
FORWARD_ROWS = 16_384


@dataclass(frozen=True)
class FitReport:
    """How well a value network predicts the returns-to-go of held-out trajectories."""

    held_out_rmse: float  # root mean squared error, in units of return
    held_out_r2: float  # share of the held-out variance that is explained
    steps: int  # gradient steps until the parameters that were kept


class BehaviourValue:
    """Value networks of the behaviour policy for R runs, on standardised states and returns."""

    def __init__(
        self,
        settings: BehaviourValueSettings,
        states: Tensor,
        returns: Tensor,
        normals: Sequence[Callable[..., Tensor]],
    ):
        """Initialise and compute the standardisation from `states` [N, S], shared by the runs, and `returns` [R, N]."""
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

    def values(self, states: Tensor, run: int | None = None) -> Tensor:
        """Values [R, B] of states [R, B, S]; with `run`, of that run only (R = 1)."""
        chosen = slice(None) if run is None else slice(run, run + 1)
        parameters = Parameters(self.parameters.shapes, self.parameters.flat[chosen])
        parts = [
            self.network.forward(parameters, self._standardise(part), None)[0].squeeze(-1)
            for part in states.split(FORWARD_ROWS, dim=1)
        ]
        return torch.cat(parts, dim=1) * self.scale[chosen, None] + self.mean[chosen, None]

    def step(self, states: Tensor, returns: Tensor) -> None:
        """One gradient step on the mean squared error for states [R, B, S] and returns [R, B]."""
        inputs = self._standardise(states)
        outputs, hidden = self.network.forward(self.parameters, inputs, None)
        error = outputs.squeeze(-1) - (returns - self.mean[:, None]) / self.scale[:, None]
        value_gradient = (2.0 / error.shape[1]) * error.unsqueeze(-1)
        self.network.backward(self.parameters, self.gradient, inputs, None, hidden, value_gradient)
        self.adam.count.advance()
        self.adam.step(self.parameters.flat, self.gradient.flat, self.learning_rate)

    def fit(
        self, states: Tensor, returns: Tensor, held_out: Tensor, uniforms: Sequence[Callable[[int], Tensor]]
    ) -> list[FitReport]:
        """Fit to the transitions that are not `held_out` [R, N] (bool); keep the parameters of least held-out error.

        `uniforms` has one source of uniform numbers on [0, 1) per run, which selects its batches. A run's parameters
        are final after `patience` evaluations without improvement; the fit ends when those of all runs are.
        """
        settings, runs = self.settings, returns.shape[0]
        kept_in = [(~held_out[run]).nonzero().squeeze(1) for run in range(runs)]
        best = self.parameters.flat.clone()
        best_error = [self._held_out_error(run, states, returns[run], held_out[run]) for run in range(runs)]
        best_step, waited = [0] * runs, [0] * runs
        for step in range(1, settings.max_steps + 1):
            draws = [uniform(settings.batch_size) for uniform in uniforms]
            rows = torch.stack([fitted[(u * len(fitted)).long()] for fitted, u in zip(kept_in, draws, strict=True)])
            self.step(states[rows], returns.gather(1, rows))
            if step % settings.check_interval and step != settings.max_steps:
                continue
            for run in range(runs):
                if waited[run] >= settings.patience:
                    continue
                error = self._held_out_error(run, states, returns[run], held_out[run])
                if error < best_error[run]:
                    best[run], best_error[run], best_step[run] = self.parameters.flat[run], error, step
                    waited[run] = 0
                else:
                    waited[run] += 1
            if min(waited) >= settings.patience:
                break
        self.parameters.flat.copy_(best)
        # The step count depends on the other runs of the pack; a new optimizer does not.
        self.adam = Adam.of(self.parameters.flat)
        variances = [float(returns[run][held_out[run]].var(correction=0)) for run in range(runs)]
        return [
            FitReport(error**0.5, 1.0 - error / variance if variance > 0 else 0.0, taken)
            for error, variance, taken in zip(best_error, variances, best_step, strict=True)
        ]

    def state(self, run: int) -> dict[str, Tensor]:
        """The state of one run for a checkpoint, as views, in addition to `adam.count.steps`."""
        rows = slice(run, run + 1)
        buffers = {"value": self.parameters.flat, "value_first": self.adam.first, "value_second": self.adam.second}
        return {name: buffer[rows] for name, buffer in buffers.items()}

    def restore(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore the `state` of one run."""
        for name, part in self.state(run).items():
            part.copy_(state[name])

    def _held_out_error(self, run: int, states: Tensor, returns: Tensor, held_out: Tensor) -> float:
        error = self.values(states[held_out][None], run)[0] - returns[held_out]
        return float(error.double().square().mean())

    def _standardise(self, states: Tensor) -> Tensor:
        return (states - self.state_mean) / self.state_scale
