"""Random critics and random inputs of their loss, for tests of the kernels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from algorithms.critic_loss import CriticLoss, CriticLossForm, CriticLossScalars
from algorithms.kernels.build import load_library
from algorithms.kernels.inputs import CriticInputs
from algorithms.kernels.kernel import KERNELS
from algorithms.parameters import Parameters
from algorithms.settings import Precision
from algorithms.value_network import NORM_EPSILON, ValueNetwork

CRITICS = 2

FORMS = st.builds(
    CriticLossForm,
    form=st.sampled_from(["soft_maximum", "expectation"]),
    importance_sampling=st.booleans(),
    lagrange=st.booleans(),
    floor_masking=st.sampled_from(["per_action", "expectation"]),
    floor_uniform=st.booleans(),
    floor_after_density=st.booleans(),
    lagrange_alpha=st.sampled_from(["difference_and_gap", "difference", "nothing"]),
    lagrange_multiplier=st.sampled_from(["exponential", "softplus"]),
)

# State dimension, action dimension, batch size and n; hidden widths, some not multiples of vector or panel widths.
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 35), st.integers(1, 30), st.integers(1, 6))
HIDDEN = st.lists(st.integers(1, 70), min_size=1, max_size=4).map(tuple)


@dataclass(frozen=True)
class Inputs:
    """A pack of R runs and the inputs of its critic loss."""

    network: ValueNetwork
    parameters: Parameters
    states: Tensor
    actions: Tensor
    target: Tensor
    log_density: Tensor
    floor: Tensor
    scalars: CriticLossScalars

    def of_kernel(self, form: CriticLossForm, precision: Precision = "float32") -> CriticInputs:
        """The inputs of a kernel's `critic_gradient`."""
        tensors = self.states, self.actions, self.target, self.log_density, self.floor
        return CriticInputs(*tensors, form, self.scalars, precision)

    def of_run(self, run: int) -> "Inputs":
        """The inputs of one run."""
        rows = slice(run, run + 1)
        return replace(
            self,
            parameters=self.parameters.part(CRITICS * run, CRITICS * (run + 1)),
            scalars=CriticLossScalars(**{name: value[rows] for name, value in vars(self.scalars).items()}),
            **{name: getattr(self, name)[rows] for name in ("states", "actions", "target", "log_density", "floor")},
        )


def random_inputs(
    seed: int,
    runs: int,
    sizes: tuple[int, ...],
    hidden: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    layer_norm: bool = False,
) -> Inputs:
    """Inputs with `sizes` (S, A, B, n) that differ between runs; every second run has a clip, some states no floor."""
    state_dim, action_dim, batch, n = sizes
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=dtype)

    network = ValueNetwork(state_dim, action_dim, hidden, layer_norm)
    parameters = Parameters.zeros(network.shapes(), CRITICS * runs, dtype, "cpu")
    for index in range(CRITICS * runs):
        network.initialise(parameters, index, normal, output_gain=1.0)
        for layer, width in enumerate(hidden):
            parameters[f"bias_{layer}"][index, 0, :width] = 0.3 * normal(width)
    parameters["output_bias"].copy_(normal(CRITICS * runs, 1, 1))
    if layer_norm:
        randomise_norms(parameters, hidden, normal)

    def per_run(low: float, high: float) -> Tensor:
        return torch.rand(runs, generator=rng, dtype=dtype) * (high - low) + low

    no_clip = torch.arange(runs) % 2 == 0
    return Inputs(
        network,
        parameters,
        normal(runs, batch, state_dim),
        normal(runs, batch, 1 + 3 * n, action_dim).tanh(),
        normal(runs, batch),
        normal(runs, batch, 3 * n),
        normal(runs, batch).where(torch.rand(runs, batch, generator=rng) > 0.2, -inf),
        CriticLossScalars(
            per_run(0.5, 5.0),
            per_run(0.5, 2.0),
            per_run(0.0, 1.0),
            per_run(-1.0, 0.0).where(~no_clip, -inf),
            per_run(1.0, 3.0).where(~no_clip, inf),
            per_run(-1.0, 1.0),
        ),
    )


def in_dtype(inputs: Inputs, dtype: torch.dtype, device: str = "cpu") -> Inputs:
    """The same inputs, rounded to another dtype or on another device."""
    changed = {name: value.to(device, dtype) for name, value in vars(inputs).items() if isinstance(value, Tensor)}
    scalars = {name: value.to(device, dtype) for name, value in vars(inputs.scalars).items()}
    parameters = Parameters(inputs.parameters.shapes, inputs.parameters.flat.to(device, dtype))
    return replace(inputs, parameters=parameters, scalars=CriticLossScalars(**scalars), **changed)


def randomise_norms(parameters: Parameters, hidden: tuple[int, ...], normal: Callable[..., Tensor]) -> None:
    """Random scales around 1 and shifts around 0 of the layer normalisation."""
    for layer, width in enumerate(hidden):
        scale, shift = parameters[f"norm_scale_{layer}"], parameters[f"norm_shift_{layer}"]
        scale[..., :width] += 0.3 * normal(len(scale), 1, width)
        shift[..., :width] = 0.3 * normal(len(shift), 1, width)


def assert_close(ours: Tensor, expected: Tensor, tolerance: float, size: float = 0.0) -> None:
    """Compare; `tolerance` is relative to each element and to the largest, or to `size` if that is larger."""
    assert ours.shape == expected.shape
    assert torch.equal(ours.isfinite(), expected.isfinite())
    largest = float(expected[expected.isfinite()].abs().max()) if expected.isfinite().any() else 0.0
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * max(largest, size))


def autograd_gradient(inputs: Inputs, value_gradient: Tensor) -> Tensor:
    """The gradient of every parameter from that of the values [R, C, B, K], by autograd and torch.nn.functional.

    Each critic alone, on states and actions side by side, without the columns that are unused in memory.
    """
    result = inputs.parameters.like()
    hidden, norm = inputs.network.hidden, inputs.network.layer_norm
    for row, flat in enumerate(inputs.parameters.flat):
        run, critic = divmod(row, CRITICS)
        one = Parameters(inputs.parameters.shapes, flat[None].clone().requires_grad_())
        states = inputs.states[run, :, None].expand(-1, inputs.actions.shape[2], -1)
        values, width = torch.cat((states, inputs.actions[run]), -1), inputs.network.action_dim
        for layer, outputs in enumerate(hidden):
            weight = one[f"weight_{layer}" if layer else "action_weight"][0, :width, :outputs]
            if not layer:
                weight = torch.cat((one["state_weight"][0, :, :outputs], weight))
            values, width = functional.linear(values, weight.T, one[f"bias_{layer}"][0, 0, :outputs]), outputs
            if norm:
                learned = (one[f"norm_{name}_{layer}"][0, 0, :width] for name in ("scale", "shift"))
                values = functional.layer_norm(values, [width], *learned, NORM_EPSILON)
            values = values.relu()
        values = functional.linear(values, one["output_weight"][0, :, :width], one["output_bias"][0, 0])
        (result.flat[row],) = torch.autograd.grad(values.squeeze(-1), one.flat, value_gradient[run, critic])
    return result.flat


def gradient(kernel: str, inputs: Inputs, form: CriticLossForm) -> tuple[CriticLoss, Tensor]:
    """The critic loss by a kernel, and its gradient with respect to the parameters."""
    load_library()
    parameter_gradient = inputs.parameters.like()
    loss = KERNELS[kernel].critic_gradient(
        inputs.network, inputs.parameters, inputs.of_kernel(form), parameter_gradient
    )
    return loss, parameter_gradient.flat
