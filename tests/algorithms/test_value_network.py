"""Hidden layers of packs of networks with layer normalisation: by hand, and against torch's own."""

from math import sqrt

import pytest
import torch
from torch.nn import functional

from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork
from algorithms.value_network import (
    NORM_EPSILON,
    ValueNetwork,
    hidden_layer,
    hidden_layer_backward_,
    norm_shapes,
)


def one_layer(width, scale, shift):
    """Parameters of two networks with a normalised layer of that width in memory."""
    parameters = Parameters.zeros(norm_shapes([width]), 2, torch.float64, "cpu")
    used = scale.shape[-1]
    parameters["norm_scale_0"][..., :used] = scale.unsqueeze(1)
    parameters["norm_shift_0"][..., :used] = shift.unsqueeze(1)
    return parameters


def test_layer_normalisation_by_hand():
    """A row 1, 2, 3, 6 has mean 3 and variance 14 / 4 (not 14 / 3); scale 2, shift 1, then ReLU."""
    parameters = one_layer(4, torch.full((2, 4), 2.0), torch.ones(2, 4))
    linear = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]] * 2, dtype=torch.float64)
    layer = hidden_layer(parameters, 0, linear, 4)
    deviation = sqrt(14 / 4 + NORM_EPSILON)
    expected = [1 - 2 * 2 / deviation, 1 - 2 / deviation, 1.0, 1 + 2 * 3 / deviation]
    assert layer.activation[0, 0].tolist() == pytest.approx([max(value, 0.0) for value in expected])
    assert layer.inverse_deviation[1].item() == pytest.approx(1 / deviation)


@pytest.mark.parametrize("used", [8, 5, 2])
def test_layer_normalisation_equals_that_of_torch(used):
    """Outputs and all gradients, also where columns of the memory are unused: these stay zero."""
    torch.manual_seed(0)
    width, rows = 8, 6
    scale, shift = 1 + 0.3 * torch.randn(2, used).double(), 0.3 * torch.randn(2, used).double()
    parameters, gradient = one_layer(width, scale, shift), one_layer(width, scale, shift).like()
    linear = functional.pad(torch.randn(2, rows, used).double(), (0, width - used))
    upstream = functional.pad(torch.randn(2, rows, used).double(), (0, width - used))
    layer = hidden_layer(parameters, 0, linear.clone(), used)
    delta = hidden_layer_backward_(parameters, 0, layer, upstream.clone(), used, gradient)
    assert not layer.activation[..., used:].any()
    assert not delta[..., used:].any()
    for network in range(2):
        inputs = [
            tensor.clone().requires_grad_() for tensor in (linear[network, :, :used], scale[network], shift[network])
        ]
        expected = functional.layer_norm(inputs[0], [used], inputs[1], inputs[2], NORM_EPSILON).relu()
        torch.testing.assert_close(layer.activation[network, :, :used], expected)
        of_linear, of_scale, of_shift = torch.autograd.grad(expected, inputs, upstream[network, :, :used])
        torch.testing.assert_close(delta[network, :, :used], of_linear)
        torch.testing.assert_close(gradient["norm_scale_0"][network, 0, :used], of_scale)
        torch.testing.assert_close(gradient["norm_shift_0"][network, 0, :used], of_shift)


@pytest.mark.parametrize("network", [ValueNetwork(3, 2, (5, 8), True), PolicyNetwork(3, 2, (5, 8), True)])
def test_normalisation_starts_as_the_identity_on_used_columns(network):
    parameters = Parameters.zeros(network.shapes(), 1, torch.float32, "cpu")
    network.initialise(parameters, 0, torch.randn, 1.0)
    assert parameters["norm_scale_0"][0, 0].tolist() == [1.0] * 5 + [0.0] * 3
    assert parameters["norm_scale_1"][0, 0].tolist() == [1.0] * 8
    assert not parameters["norm_shift_0"].any()


def test_networks_without_normalisation_keep_their_layout():
    """The offsets of published checkpoints."""
    plain, normalised = ValueNetwork(3, 2, (8,)).shapes(), ValueNetwork(3, 2, (8,), True).shapes()
    assert list(normalised)[: len(plain)] == list(plain)
    assert "norm_scale_0" not in plain
