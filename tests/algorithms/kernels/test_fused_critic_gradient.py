"""Critics in the fused kernel: against torch, reference values and finite differences; independence of runs."""

from dataclasses import replace
from math import inf

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import CriticLossForm, critic_loss
from algorithms.kernels.build import load_library
from algorithms.kernels.kernel import KERNELS
from algorithms.parameters import Parameters
from algorithms.value_network import ValueNetwork
from tests.algorithms.test_golden_cases import CASES
from tests.support.golden import TOLERANCE, check
from tests.support.kernel_inputs import (
    CRITICS,
    FORMS,
    HIDDEN,
    SIZES,
    Inputs,
    assert_close,
    autograd_gradient,
    gradient,
    random_inputs,
)

FUSED, TORCH = KERNELS["fused"], KERNELS["torch"]
PLAIN = CriticLossForm("soft_maximum", True, False)


@pytest.fixture(autouse=True, scope="module")
def library():
    load_library()


def value_arguments(inputs: Inputs):
    """Arguments of `Kernel.values`."""
    return inputs.network, inputs.parameters, inputs.states, inputs.actions


def compare(inputs, form, tolerance):
    """Compare everything that the two kernels compute for critics."""
    values = TORCH.values(*value_arguments(inputs))
    size = float(values.abs().max())
    assert_close(FUSED.values(*value_arguments(inputs)), values, tolerance)
    (ours, our_gradient), (expected, expected_gradient) = (
        gradient(kernel, inputs, form) for kernel in ("fused", "torch")
    )
    assert_close(our_gradient, expected_gradient, tolerance)
    for name, value in vars(expected).items():
        assert_close(getattr(ours, name), value, tolerance, size)


@given(
    seed=st.integers(0, 10_000),
    runs=st.integers(1, 3),
    sizes=SIZES,
    hidden=HIDDEN,
    form=FORMS,
    layer_norm=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_the_kernels_agree_in_float64(seed, runs, sizes, hidden, form, layer_norm):
    compare(random_inputs(seed, runs, sizes, hidden, torch.float64, layer_norm), form, 1e-9 if layer_norm else 1e-11)


@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3)),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    form=FORMS,
)
@settings(max_examples=40, deadline=None)
def test_the_kernels_agree_in_float32(seed, sizes, hidden, form):
    inputs = random_inputs(seed, 1, sizes, hidden)
    assume(not near_a_kink(inputs))
    compare(inputs, form, 1e-5)


def near_a_kink(inputs):
    """Whether a ReLU's input is so close to zero, or a value or mean so close to the floor, that rounding decides."""
    tensors = {name: tensor.double() for name, tensor in inputs.parameters.tensors.items()}
    hidden, action_dim = inputs.network.hidden, inputs.network.action_dim
    nearest = torch.tensor(inf)
    for critic in range(CRITICS):
        weights = {name: tensor[critic] for name, tensor in tensors.items()}
        of_states = inputs.states[0].double() @ weights["state_weight"] + weights["bias_0"]
        signal = of_states[:, None] + inputs.actions[0].double() @ weights["action_weight"][:action_dim]
        for layer, width in enumerate(hidden):
            if layer:
                signal = signal.relu() @ weights[f"weight_{layer}"] + weights[f"bias_{layer}"]
            nearest = torch.minimum(nearest, signal[..., :width].abs().min())
        values = signal.relu() @ weights["output_weight"][0] + weights["output_bias"]
        n = (values.shape[-1] - 1) // 3
        means = values[:, 1 + n : 1 + 2 * n].mean(-1, keepdim=True)
        bounded = torch.cat((values, means, values[:, 1:] - inputs.log_density[0]), -1)
        nearest = torch.minimum(nearest, (bounded - inputs.floor[0][:, None]).abs().min())
    return bool(nearest < 1e-5)


def table_network(values):
    """Critics with given values [R, C, B, K]: one hidden unit per state and action.

    The unit is 1 for its state and action and 0 for others, so its output weight is exactly the value, and the gradient
    of the weight is exactly that of the value.
    """
    runs, critics, batch, count = values.shape
    network = ValueNetwork(batch, count, (batch * count,))
    parameters = Parameters.zeros(network.shapes(), runs * critics, values.dtype, "cpu")
    units = slice(0, batch * count)
    parameters["state_weight"][..., units] = torch.eye(batch, dtype=values.dtype).repeat_interleave(count, 1)
    parameters["action_weight"][:, :count, units] = torch.eye(count, dtype=values.dtype).repeat(1, batch)
    parameters["bias_0"][..., units] = -1.0
    parameters["output_weight"][:, 0, units] = values.reshape(runs * critics, -1)
    states = torch.eye(batch, dtype=values.dtype).expand(runs, -1, -1)
    actions = torch.eye(count, dtype=values.dtype).expand(runs, batch, -1, -1)
    return network, parameters, states, actions


def loss_of_values(values, target, log_density, floor, form, scalars):
    """The kernel with the signature of `critic_loss`: it takes values instead of parameters."""
    network, parameters, states, actions = table_network(values)
    loss, of_parameters = gradient(
        "fused", Inputs(network, parameters, states, actions, target, log_density, floor, scalars), form
    )
    assert torch.equal(FUSED.values(network, parameters, states, actions), values)
    of_table = Parameters(parameters.shapes, of_parameters)["output_weight"][:, 0, : values[0, 0].numel()]
    assert torch.equal(of_table.view(values.shape), loss.gradient)
    return loss


def test_reference_values_agree():
    assert check(CASES / "critic_loss.npz", loss_of_values) < TOLERANCE


@given(seed=st.integers(0, 10_000), form=FORMS)
@settings(max_examples=30, deadline=None)
def test_values_at_their_floor_have_no_gradient(seed, form):
    """Values and floors are small integers, so that many values and means equal the floor."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.randint(-1, 2, (2, CRITICS, 5, 7), generator=rng).float()
    floor = torch.randint(-1, 2, (2, 5), generator=rng).float()
    other = random_inputs(seed, 2, (1, 1, 5, 2), (1,))
    arguments = values, other.target, other.log_density, floor, form, other.scalars
    ours, expected = loss_of_values(*arguments), critic_loss(*arguments)
    assert torch.equal(ours.gradient == 0, expected.gradient == 0)
    assert_close(ours.gradient, expected.gradient, 1e-6)
    assert_close(ours.bound_rate_current, expected.bound_rate_current, 1e-6)
    assert_close(ours.bound_rate_following, expected.bound_rate_following, 1e-6)


@pytest.mark.parametrize("kernel", ["fused", "torch"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("sizes", "hidden"), [((5, 3, 7, 2), (20, 12)), ((1, 17, 1, 6), (3, 40, 9))])
def test_gradients_equal_those_of_autograd(kernel, layer_norm, sizes, hidden):
    """Of networks made of torch's own linear maps and layer normalisation."""
    inputs = random_inputs(4, 2, sizes, hidden, torch.float64, layer_norm)
    loss, of_parameters = gradient(kernel, inputs, PLAIN)
    assert_close(of_parameters, autograd_gradient(inputs, loss.gradient), 1e-9)


@given(seed=st.integers(0, 10_000), form=FORMS, layer_norm=st.booleans())
@settings(max_examples=25, deadline=None)
def test_gradients_equal_finite_differences(seed, form, layer_norm):
    """Central differences of the kernel's loss along a random direction."""
    inputs = random_inputs(seed, 2, (3, 2, 4, 2), (9, 6), torch.float64, layer_norm)
    rng = torch.Generator().manual_seed(seed)
    direction = torch.randn(inputs.parameters.flat.shape, generator=rng, dtype=torch.float64)

    def loss(step):
        perturbed = Parameters(inputs.parameters.shapes, inputs.parameters.flat + step * direction)
        return gradient("fused", replace(inputs, parameters=perturbed), form)[0].loss

    # Where two step sizes disagree there is a kink.
    differences = [(loss(step) - loss(-step)) / (2 * step) for step in (1e-6, 5e-7)]
    smooth = (differences[0] - differences[1]).abs() < 1e-5 * (1 + differences[0].abs())
    expected = (gradient("fused", inputs, form)[1] * direction).view(2, -1).sum(1)
    torch.testing.assert_close(expected[smooth], differences[1][smooth], rtol=1e-4, atol=1e-5)


def bits(inputs, form):
    """Everything that the kernel computes for critics, by run."""
    loss, of_parameters = gradient("fused", inputs, form)
    runs = len(inputs.states)
    return [
        tensor.reshape(runs, -1)
        for tensor in (*vars(loss).values(), of_parameters, FUSED.values(*value_arguments(inputs)))
    ]


@given(
    seed=st.integers(0, 10_000),
    sizes=SIZES,
    hidden=HIDDEN,
    form=FORMS,
    threads=st.integers(1, 4),
    layer_norm=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_a_runs_bits_depend_neither_on_other_runs_nor_on_threads(seed, sizes, hidden, form, threads, layer_norm):
    inputs = random_inputs(seed, 4, sizes, hidden, layer_norm=layer_norm)
    torch.set_num_threads(threads)
    try:
        packed = bits(inputs, form)
    finally:
        torch.set_num_threads(1)
    for run in (0, 3):
        alone = bits(inputs.of_run(run), form)
        assert all(torch.equal(tensor[run], expected[0]) for tensor, expected in zip(packed, alone, strict=True))


def test_a_run_that_is_not_finite_changes_no_bit_of_the_others():
    inputs = random_inputs(0, 3, (5, 2, 9, 3), (40, 20))
    before = bits(inputs, PLAIN)
    inputs.parameters.flat[CRITICS : 2 * CRITICS] = torch.nan
    after = bits(inputs, PLAIN)
    for run, healthy in enumerate((True, False, True)):
        assert (
            all(torch.equal(tensor[run], expected[run]) for tensor, expected in zip(before, after, strict=True))
            == healthy
        )
    loss, of_parameters = gradient("fused", inputs, PLAIN)
    assert loss.loss.isnan().tolist() == [False, True, False]
    assert of_parameters.view(3, -1).isnan().any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["state_weight", "bias_1", "output_bias"])
def test_a_relu_does_not_hide_nan(name):
    inputs = random_inputs(0, 1, (5, 2, 9, 3), (40, 20))
    inputs.parameters[name].view(CRITICS, -1)[0, 0] = torch.nan
    values = FUSED.values(*value_arguments(inputs))
    assert values[0, 0].isnan().all()
    assert values[0, 1].isfinite().all()
    assert gradient("fused", inputs, PLAIN)[0].loss.isnan().all()


@given(seed=st.integers(0, 10_000), hidden=HIDDEN, cut=st.integers(1, 299))
@settings(max_examples=20, deadline=None)
def test_a_states_values_do_not_depend_on_its_batch(seed, hidden, cut):
    inputs = random_inputs(seed, 1, (3, 2, 300, 1), hidden)
    together = FUSED.values(*value_arguments(inputs))
    pieces = [
        FUSED.values(inputs.network, inputs.parameters, inputs.states[:, part], inputs.actions[:, part])
        for part in (slice(0, cut), slice(cut, 300))
    ]
    assert torch.equal(torch.cat(pieces, 2), together)


def test_a_floor_of_minus_infinity_equals_a_very_low_floor():
    inputs = random_inputs(1, 2, (3, 2, 7, 3), (12, 12))
    none = replace(inputs, floor=torch.full_like(inputs.floor, -inf))
    low = replace(inputs, floor=torch.full_like(inputs.floor, -1e30))
    assert all(
        torch.equal(tensor, expected) for tensor, expected in zip(bits(none, PLAIN), bits(low, PLAIN), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("actions", lambda tensor: tensor[:, :3]),
        ("floor", lambda tensor: tensor[:, :3]),
        ("target", lambda tensor: tensor.double()),
    ],
)
def test_inputs_of_wrong_shape_or_dtype_are_an_error(name, change):
    inputs = random_inputs(0, 2, (3, 2, 7, 3), (12,))
    with pytest.raises(RuntimeError, match=r"must|differ"):
        gradient("fused", replace(inputs, **{name: change(getattr(inputs, name))}), PLAIN)
