"""Packs of tanh-Gaussian policies, with gradients written out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import log, pi, sqrt

import torch
from torch import Tensor

from algorithms.parameters import Parameters, fill, padded_width
from algorithms.settings import AlgorithmSettings
from algorithms.value_network import (
    HiddenLayer,
    hidden_layer,
    hidden_layer_backward_,
    initialise_norms,
    norm_shapes,
    product_,
    sum_,
)

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


@dataclass(frozen=True)
class Distribution:
    """The Gaussian before the tanh: mean and log-std, each [N, B, A], and intermediates for the backward pass."""

    mean: Tensor
    log_std: Tensor
    raw_log_std: Tensor  # network output before multiplier, offset and clipping
    states: Tensor  # [N, B, S]
    hidden: list[HiddenLayer]


@dataclass(frozen=True)
class Sample:
    """Actions [N, B, n, A] in (-1, 1) with their log-probabilities [N, B, n]."""

    action: Tensor
    log_prob: Tensor

    def split(self, *counts: int) -> "list[Sample]":
        """Split along the actions into samples with these numbers of actions."""
        parts = zip(self.action.split(counts, 2), self.log_prob.split(counts, 2), strict=True)
        return [Sample(*part) for part in parts]


@dataclass(frozen=True)
class PolicyNetwork:
    """The architecture of N policies; their weights are in `Parameters`.

    log-std = learned multiplier (1.0) * output + learned offset (-1.0), clipped to [-20, 2] (official code).
    """

    state_dim: int
    action_dim: int
    hidden: tuple[int, ...]
    layer_norm: bool = False  # between the linear map and the ReLU of every hidden layer

    @classmethod
    def of(cls, state_dim: int, action_dim: int, settings: AlgorithmSettings) -> "PolicyNetwork":
        """The policy network that the settings describe."""
        return cls(state_dim, action_dim, settings.policy_hidden, settings.layer_norm == "all")

    @cached_property
    def widths(self) -> list[int]:
        """Widths of the layers in memory, including the output layer."""
        return [padded_width(width) for width in (*self.hidden, 2 * self.action_dim)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one policy's tensors."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (inputs, outputs) in enumerate(pairwise((self.state_dim, *self.widths))):
            shapes[f"weight_{layer}"] = (inputs, outputs)
            shapes[f"bias_{layer}"] = (1, outputs)
        norms = norm_shapes(self.widths[:-1]) if self.layer_norm else {}
        return {**shapes, "log_std_multiplier": (1, 1), "log_std_offset": (1, 1), **norms}

    def initialise(self, parameters: Parameters, index: int, normal: Callable[..., Tensor], output_gain: float) -> None:
        """Initialise policy `index`: orthogonal weights (gain sqrt 2, output layer `output_gain`), zero biases."""
        widths = (self.state_dim, *self.hidden, 2 * self.action_dim)
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            gain = output_gain if layer == len(self.hidden) else sqrt(2.0)
            fill(parameters[f"weight_{layer}"][index], normal, inputs, outputs, gain)
        parameters["log_std_multiplier"][index] = 1.0
        parameters["log_std_offset"][index] = -1.0
        if self.layer_norm:
            initialise_norms(parameters, index, self.hidden)

    def distribution(self, parameters: Parameters, states: Tensor) -> Distribution:
        """The Gaussians at states [N, B, S]."""
        hidden: list[HiddenLayer] = []
        signal = states
        for layer, width in enumerate(self.hidden):
            linear = torch.baddbmm(parameters[f"bias_{layer}"], signal, parameters[f"weight_{layer}"])
            hidden.append(hidden_layer(parameters, layer, linear, width if self.layer_norm else None))
            signal = hidden[-1].activation
        last = len(self.hidden)
        output = torch.baddbmm(parameters[f"bias_{last}"], signal, parameters[f"weight_{last}"])
        mean, raw, _ = output.split((self.action_dim, self.action_dim, output.shape[-1] - 2 * self.action_dim), dim=-1)
        log_std = parameters["log_std_multiplier"] * raw + parameters["log_std_offset"]
        return Distribution(
            mean.contiguous(), log_std.clamp(LOG_STD_MIN, LOG_STD_MAX), raw.contiguous(), states, hidden
        )

    def backward(
        self,
        parameters: Parameters,
        gradient: Parameters,
        distribution: Distribution,
        mean_gradient: Tensor,
        log_std_gradient: Tensor,
    ) -> None:
        """Backpropagate gradients [N, B, A] with respect to mean and log-std into `gradient`."""
        unclipped = parameters["log_std_multiplier"] * distribution.raw_log_std + parameters["log_std_offset"]
        log_std_gradient = log_std_gradient * ((unclipped >= LOG_STD_MIN) & (unclipped <= LOG_STD_MAX))
        gradient["log_std_offset"].copy_(log_std_gradient.sum((1, 2)).view(-1, 1, 1))
        gradient["log_std_multiplier"].copy_((log_std_gradient * distribution.raw_log_std).sum((1, 2)).view(-1, 1, 1))
        delta = mean_gradient.new_zeros(*mean_gradient.shape[:-1], padded_width(2 * self.action_dim))
        delta[..., : self.action_dim] = mean_gradient
        delta[..., self.action_dim : 2 * self.action_dim] = log_std_gradient * parameters["log_std_multiplier"]
        hidden = distribution.hidden
        inputs = [distribution.states, *(layer.activation for layer in hidden)]
        for layer in range(len(self.hidden), -1, -1):
            product_(gradient[f"weight_{layer}"], inputs[layer].transpose(1, 2), delta)
            sum_(gradient[f"bias_{layer}"], delta, 1)
            if layer:
                delta = torch.bmm(delta, parameters[f"weight_{layer}"].transpose(1, 2))
                before = layer - 1
                delta = hidden_layer_backward_(parameters, before, hidden[before], delta, self.hidden[before], gradient)


def sample(distribution: Distribution, noise: Tensor) -> Sample:
    """Sample actions with standard normal `noise` [N, B, n, A] (reparametrised)."""
    log_std = distribution.log_std.unsqueeze(2)
    raw = distribution.mean.unsqueeze(2) + log_std.exp() * noise
    density = -0.5 * noise.square() - log_std - 0.5 * log(2.0 * pi)
    # log(1 - tanh(u)^2) without cancellation. Not F.softplus, whose result for the last elements depends on the pack.
    squash = 2.0 * (log(2.0) - raw - ((-2.0 * raw).clamp(min=0.0) + (-2.0 * raw.abs()).exp().log1p()))
    return Sample(raw.tanh(), (density - squash).sum(-1))
