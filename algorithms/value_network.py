"""Packs of ReLU networks that map states, or states and actions, to a value, with gradients written out.

Critics evaluate K actions per state; the state's part of the first layer is computed once per state. The value network
of the behaviour policy has no actions (K = 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional

from algorithms.parameters import Parameters, fill, orthogonal, padded_width

# Added to the variance by the layer normalisation (flax: 1e-6, torch: 1e-5).
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class HiddenLayer:
    """What the backward pass needs of a hidden layer; the normalisation is None without layer normalisation."""

    activation: Tensor  # [N, rows, W] after the ReLU
    normalised: Tensor | None = None  # [N, rows, W] before the learned scale and shift
    inverse_deviation: Tensor | None = None  # [N, rows, 1] of the linear map's output


@dataclass(frozen=True)
class ValueNetwork:
    """The architecture of N networks; their weights are in `Parameters`."""

    state_dim: int
    action_dim: int  # 0: state values
    hidden: tuple[int, ...]
    layer_norm: bool = False  # between the linear map and the ReLU of every hidden layer

    @cached_property
    def widths(self) -> list[int]:
        """Widths of the hidden layers in memory."""
        return [padded_width(width) for width in self.hidden]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one network's tensors."""
        widths = self.widths
        shapes: dict[str, tuple[int, ...]] = {"state_weight": (self.state_dim, widths[0])}
        if self.action_dim:
            shapes["action_weight"] = (padded_width(self.action_dim), widths[0])
        shapes["bias_0"] = (1, widths[0])
        for layer, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            shapes[f"weight_{layer}"] = (inputs, outputs)
            shapes[f"bias_{layer}"] = (1, outputs)
        norms = norm_shapes(widths) if self.layer_norm else {}
        return {**shapes, "output_weight": (1, widths[-1]), "output_bias": (1, 1), **norms}

    def initialise(self, parameters: Parameters, index: int, normal: Callable[..., Tensor], output_gain: float) -> None:
        """Initialise network `index`: orthogonal weights (gain sqrt 2, output layer `output_gain`), zero biases."""
        first = orthogonal(normal(self.state_dim + self.action_dim, self.hidden[0]), sqrt(2.0))
        parameters["state_weight"][index, :, : self.hidden[0]] = first[: self.state_dim]
        if self.action_dim:
            parameters["action_weight"][index, : self.action_dim, : self.hidden[0]] = first[self.state_dim :]
        for layer, (inputs, outputs) in enumerate(pairwise(self.hidden), start=1):
            fill(parameters[f"weight_{layer}"][index], normal, inputs, outputs, sqrt(2.0))
        fill(parameters["output_weight"][index].T, normal, self.hidden[-1], 1, output_gain)
        if self.layer_norm:
            initialise_norms(parameters, index, self.hidden)

    def forward(
        self, parameters: Parameters, states: Tensor, actions: Tensor | None
    ) -> tuple[Tensor, list[HiddenLayer]]:
        """Values [N, B, K] and every hidden layer, for states [N, B, S] and actions [N, B, K, A]."""
        networks, batch = states.shape[:2]
        first = torch.baddbmm(parameters["bias_0"], states, parameters["state_weight"])
        count = 1
        if actions is not None:
            count = actions.shape[2]
            flat = actions.reshape(networks, batch * count, self.action_dim)
            from_actions = torch.bmm(flat, parameters["action_weight"][:, : self.action_dim]).view(
                networks, batch, count, -1
            )
            first = from_actions.add_(first.unsqueeze(2)).view(networks, batch * count, -1)
        hidden = [self._activate(parameters, 0, first)]
        for layer in range(1, len(self.hidden)):
            weight, bias = parameters[f"weight_{layer}"], parameters[f"bias_{layer}"]
            hidden.append(self._activate(parameters, layer, torch.baddbmm(bias, hidden[-1].activation, weight)))
        # Row times matrix, because a matrix times a column has an output width of 1 (see WIDTH_STEP).
        values = torch.bmm(parameters["output_weight"], hidden[-1].activation.transpose(1, 2)).squeeze(1)
        values = values + parameters["output_bias"].squeeze(-1)
        return values.view(networks, batch, count), hidden

    def backward(
        self,
        parameters: Parameters,
        gradient: Parameters,
        states: Tensor,
        actions: Tensor | None,
        hidden: list[HiddenLayer],
        value_gradient: Tensor,
    ) -> None:
        """Backpropagate `value_gradient` [N, B, K] into `gradient`."""
        networks, batch, count = value_gradient.shape
        rows = value_gradient.reshape(networks, 1, batch * count)
        product_(gradient["output_weight"], rows, hidden[-1].activation)
        sum_(gradient["output_bias"], rows, -1)
        delta = self._last_delta(parameters, hidden, rows, gradient)
        for layer in range(len(self.hidden) - 1, 0, -1):
            product_(gradient[f"weight_{layer}"], hidden[layer - 1].activation.transpose(1, 2), delta)
            sum_(gradient[f"bias_{layer}"], delta, 1)
            delta = self._previous_delta(parameters, hidden, layer, delta, gradient)
        if actions is not None:
            flat = actions.reshape(networks, batch * count, self.action_dim)
            product_(gradient["action_weight"][:, : self.action_dim], flat.transpose(1, 2), delta)
            delta = delta.view(networks, batch, count, -1).sum(2)
        product_(gradient["state_weight"], states.transpose(1, 2), delta)
        sum_(gradient["bias_0"], delta, 1)

    def action_gradient(self, parameters: Parameters, hidden: list[HiddenLayer], value_gradient: Tensor) -> Tensor:
        """Gradient [N, B, K, A] with respect to the actions, from `value_gradient` [N, B, K]."""
        networks, batch, count = value_gradient.shape
        delta = self._last_delta(parameters, hidden, value_gradient.reshape(networks, 1, batch * count))
        for layer in range(len(self.hidden) - 1, 0, -1):
            delta = self._previous_delta(parameters, hidden, layer, delta)
        from_actions = torch.bmm(delta, parameters["action_weight"].transpose(1, 2))[..., : self.action_dim]
        return from_actions.reshape(networks, batch, count, self.action_dim)

    def _activate(self, parameters: Parameters, layer: int, linear: Tensor) -> HiddenLayer:
        return hidden_layer(parameters, layer, linear, self.hidden[layer] if self.layer_norm else None)

    def _last_delta(
        self, parameters: Parameters, hidden: list[HiddenLayer], rows: Tensor, gradient: Parameters | None = None
    ) -> Tensor:
        delta = rows.transpose(1, 2) * parameters["output_weight"]
        last = len(self.hidden) - 1
        return hidden_layer_backward_(parameters, last, hidden[last], delta, self.hidden[last], gradient)

    def _previous_delta(
        self,
        parameters: Parameters,
        hidden: list[HiddenLayer],
        layer: int,
        delta: Tensor,
        gradient: Parameters | None = None,
    ) -> Tensor:
        delta = torch.bmm(delta, parameters[f"weight_{layer}"].transpose(1, 2))
        before = layer - 1
        return hidden_layer_backward_(parameters, before, hidden[before], delta, self.hidden[before], gradient)


def norm_shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the learned scales and shifts of layers with these widths in memory."""
    return {f"norm_{name}_{layer}": (1, width) for layer, width in enumerate(widths) for name in ("scale", "shift")}


def initialise_norms(parameters: Parameters, index: int, hidden: Sequence[int]) -> None:
    """Initialise the scales of network `index` to 1, the shifts to 0."""
    for layer, width in enumerate(hidden):
        parameters[f"norm_scale_{layer}"][index, :, :width] = 1.0


def hidden_layer(parameters: Parameters, layer: int, linear: Tensor, normalised_width: int | None) -> HiddenLayer:
    """ReLU of the output [N, rows, W] of a linear map, which is overwritten.

    With a width, its first columns are normalised before (Ba et al. 2016); the other columns are unused and zero.
    """
    if normalised_width is None:
        return HiddenLayer(linear.relu_())
    used = linear[..., :normalised_width]
    normalised, _, inverse = torch.native_layer_norm(used, [normalised_width], None, None, NORM_EPSILON)
    normalised = functional.pad(normalised, (0, linear.shape[-1] - normalised_width))
    scaled = normalised * parameters[f"norm_scale_{layer}"]
    return HiddenLayer(scaled.add_(parameters[f"norm_shift_{layer}"]).relu_(), normalised, inverse)


def hidden_layer_backward_(
    parameters: Parameters, layer: int, hidden: HiddenLayer, delta: Tensor, width: int, gradient: Parameters | None
) -> Tensor:
    """Backpropagate `delta` [N, rows, W], which is overwritten, from a layer's activation to its linear map's output.

    Writes the gradients of scale and shift into `gradient` unless it is None.
    """
    delta = relu_backward_(delta, hidden.activation)
    normalised, inverse = hidden.normalised, hidden.inverse_deviation
    if normalised is None or inverse is None:
        return delta
    if gradient is not None:
        sum_(gradient[f"norm_scale_{layer}"], delta * normalised, 1)
        sum_(gradient[f"norm_shift_{layer}"], delta, 1)
    delta = delta * parameters[f"norm_scale_{layer}"]
    mean = delta.sum(-1, keepdim=True) / width
    projection = (delta * normalised).sum(-1, keepdim=True) / width
    delta = (delta - mean).sub_(normalised * projection).mul_(inverse)
    delta[..., width:].zero_()
    return delta


def product_(into: Tensor, left: Tensor, right: Tensor) -> None:
    """Write the batched matrix product of `left` and `right` to `into`, which need not be contiguous."""
    if torch.compiler.is_compiling():
        # torch.compile cannot trace a write to a tensor that is not contiguous, but fuses the copy.
        into.copy_(torch.bmm(left, right))
    else:
        torch.bmm(left, right, out=into)


def sum_(into: Tensor, values: Tensor, dimension: int) -> None:
    """Write the sum over a dimension, which is kept, to `into`, which need not be contiguous."""
    if torch.compiler.is_compiling():
        into.copy_(values.sum(dimension, keepdim=True))
    else:
        torch.sum(values, dimension, keepdim=True, out=into)


def relu_backward_(delta: Tensor, activation: Tensor) -> Tensor:
    """Backward of ReLU: set `delta` to zero, in place, where the ReLU's output is zero."""
    return torch.ops.aten.threshold_backward.grad_input(delta, activation, 0.0, grad_input=delta)
