"""Packed ReLU networks from states (and actions) to one value, with their gradients written out.

Critics value K actions per state; the state's share of the first layer is computed once per state. A network of the
behaviour policy's value is the same without actions (K = 1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from algorithms.parameters import Parameters, fill, orthogonal, padded_width


@dataclass(frozen=True)
class ValueNetwork:
    """The shape of N equal networks; their numbers lie in `Parameters`."""

    state_dim: int
    action_dim: int  # 0: values of states alone
    hidden: tuple[int, ...]

    @cached_property
    def widths(self) -> list[int]:
        """Widths that the hidden layers have in memory."""
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
        return {**shapes, "output_weight": (1, widths[-1]), "output_bias": (1, 1)}

    def initialise(self, parameters: Parameters, index: int, normal: Callable[..., Tensor], output_gain: float) -> None:
        """Fill network `index`: orthogonal weights (gain sqrt 2, output `output_gain`), zero biases."""
        first = orthogonal(normal(self.state_dim + self.action_dim, self.hidden[0]), sqrt(2.0))
        parameters["state_weight"][index, :, : self.hidden[0]] = first[: self.state_dim]
        if self.action_dim:
            parameters["action_weight"][index, : self.action_dim, : self.hidden[0]] = first[self.state_dim :]
        for layer, (inputs, outputs) in enumerate(pairwise(self.hidden), start=1):
            fill(parameters[f"weight_{layer}"][index], normal, inputs, outputs, sqrt(2.0))
        fill(parameters["output_weight"][index].T, normal, self.hidden[-1], 1, output_gain)

    def forward(self, parameters: Parameters, states: Tensor, actions: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Values [N, B, K] and the activations of every layer, for states [N, B, S] and actions [N, B, K, A]."""
        networks, batch = states.shape[:2]
        first = torch.baddbmm(parameters["bias_0"], states, parameters["state_weight"])
        count = 1
        if actions is not None:
            count = actions.shape[2]
            flat = actions.reshape(networks, batch * count, self.action_dim)
            of_actions = torch.bmm(flat, parameters["action_weight"][:, : self.action_dim]).view(
                networks, batch, count, -1
            )
            first = of_actions.add_(first.unsqueeze(2)).view(networks, batch * count, -1)
        hidden = [first.relu_()]
        for layer in range(1, len(self.hidden)):
            weight, bias = parameters[f"weight_{layer}"], parameters[f"bias_{layer}"]
            hidden.append(torch.baddbmm(bias, hidden[-1], weight).relu_())
        # A row times a matrix, not a matrix times a column: see WIDTH_STEP.
        values = torch.bmm(parameters["output_weight"], hidden[-1].transpose(1, 2)).squeeze(1)
        values = values + parameters["output_bias"].squeeze(-1)
        return values.view(networks, batch, count), hidden

    def backward(
        self,
        parameters: Parameters,
        gradient: Parameters,
        states: Tensor,
        actions: Tensor | None,
        hidden: list[Tensor],
        of_values: Tensor,
    ) -> None:
        """Write into `gradient` what `of_values` [N, B, K], the loss's slope in each value, means for the parameters.

        The activations in `hidden` are used up.
        """
        networks, batch, count = of_values.shape
        rows = of_values.reshape(networks, 1, batch * count)
        torch.bmm(rows, hidden[-1], out=gradient["output_weight"])
        torch.sum(rows, -1, keepdim=True, out=gradient["output_bias"])
        slope = self._slope_of_last(parameters, hidden, rows)
        for layer in range(len(self.hidden) - 1, 0, -1):
            torch.bmm(hidden[layer - 1].transpose(1, 2), slope, out=gradient[f"weight_{layer}"])
            torch.sum(slope, 1, keepdim=True, out=gradient[f"bias_{layer}"])
            slope = self._slope_below(parameters, hidden, layer, slope)
        if actions is not None:
            flat = actions.reshape(networks, batch * count, self.action_dim)
            torch.bmm(flat.transpose(1, 2), slope, out=gradient["action_weight"][:, : self.action_dim])
            slope = slope.view(networks, batch, count, -1).sum(2)
        torch.bmm(states.transpose(1, 2), slope, out=gradient["state_weight"])
        torch.sum(slope, 1, keepdim=True, out=gradient["bias_0"])

    def action_gradient(self, parameters: Parameters, hidden: list[Tensor], of_values: Tensor) -> Tensor:
        """Slope in each action [N, B, K, A] of a loss with slope `of_values` [N, B, K] in each value."""
        networks, batch, count = of_values.shape
        slope = self._slope_of_last(parameters, hidden, of_values.reshape(networks, 1, batch * count))
        for layer in range(len(self.hidden) - 1, 0, -1):
            slope = self._slope_below(parameters, hidden, layer, slope)
        of_actions = torch.bmm(slope, parameters["action_weight"].transpose(1, 2))[..., : self.action_dim]
        return of_actions.reshape(networks, batch, count, self.action_dim)

    def _slope_of_last(self, parameters: Parameters, hidden: list[Tensor], rows: Tensor) -> Tensor:
        slope = rows.transpose(1, 2) * parameters["output_weight"]
        return relu_backward_(slope, hidden[-1])

    def _slope_below(self, parameters: Parameters, hidden: list[Tensor], layer: int, slope: Tensor) -> Tensor:
        slope = torch.bmm(slope, parameters[f"weight_{layer}"].transpose(1, 2))
        return relu_backward_(slope, hidden[layer - 1])


def relu_backward_(slope: Tensor, activation: Tensor) -> Tensor:
    """Zero, in place, the slope wherever the ReLU's output is zero."""
    return torch.ops.aten.threshold_backward.grad_input(slope, activation, 0.0, grad_input=slope)
