"""The Triton kernels in Triton's interpreter, which is chosen when triton is imported.

`test_triton_kernel.py` runs this file in a process of its own. The interpreter rounds no operand to TF32 and multiplies
the bit patterns of bfloat16, so that these precisions are only tested on a GPU.
"""

from dataclasses import astuple, replace
from itertools import product
from random import Random

import pytest
import torch
import triton
import triton.language as tl

from algorithms.critic_loss import CriticLoss, CriticLossForm, critic_loss
from algorithms.kernels import fused_kernel, torch_kernel, triton_kernel
from algorithms.kernels.build import load_library
from algorithms.kernels.triton_loss import Options, regulariser_weight, run_loss_kernel, tile_loss
from algorithms.optimizer import Adam, StepCount
from tests.algorithms.test_golden_cases import CASES
from tests.support.golden import TOLERANCE, check
from tests.support.kernel_inputs import CRITICS, assert_close, autograd_gradient, in_dtype, random_inputs
from tests.support.packs import TINY, train

FORMS = [
    CriticLossForm(*values)
    for values in product(
        ["soft_maximum", "expectation"],
        [True, False],
        [False, True],
        ["per_action", "expectation"],
        [False, True],
        [False, True],
        ["difference_and_gap", "difference", "nothing"],
        ["exponential", "softplus"],
    )
]
PLAIN = FORMS[0]
SOME = Random(0).sample(FORMS, 12)


@triton.jit
def loss_kernel(
    values, target, log_density, floor, alpha, temperature, low, high, raw_multiplier, gradient, sums,
    critics: tl.constexpr, batch: tl.constexpr, n: tl.constexpr, tile: tl.constexpr, columns: tl.constexpr,
    options: tl.constexpr,
):  # fmt: skip
    """The loss of one critic, whose whole batch is one tile."""
    critic = tl.program_id(0)
    run = critic // critics
    state, column = tl.arange(0, tile), tl.arange(0, columns)[None, :]
    used = state < batch
    mask = used[:, None] & (column < 1 + 3 * n)
    place = (critic * batch + state)[:, None] * (1 + 3 * n) + column
    densities = log_density + (run * batch + state)[:, None] * (3 * n) + column - 1
    results = tile_loss(
        tl.load(values + place, mask=mask, other=0.0),
        tl.load(densities, mask=mask & (column > 0), other=0.0),
        tl.load(target + run * batch + state, mask=used, other=0.0),
        tl.load(floor + run * batch + state, mask=used, other=0.0),
        used,
        regulariser_weight(tl.load(alpha + run), tl.load(raw_multiplier + run), options),
        tl.load(temperature + run),
        tl.load(low + run),
        tl.load(high + run),
        batch,
        n,
        columns,
        options,
    )
    tl.store(gradient + place, results[0], mask=mask)
    for index in tl.static_range(4):
        tl.store(sums + critic * 4 + index, results[1 + index])


def loss_of_values(values, target, log_density, floor, form, scalars):
    """The kernels with the signature of `critic_loss`."""
    runs, critics, batch, count = values.shape
    n, options = (count - 1) // 3, tuple(Options.of(form))
    gradient, sums, per_run = (
        torch.empty_like(values),
        values.new_empty(runs * critics, 1, 4),
        values.new_empty(runs, 7),
    )
    tile, columns = (1 << (size - 1).bit_length() for size in (batch, count))
    loss_kernel[(runs * critics,)](
        values.contiguous(), target.contiguous(), log_density.contiguous(), floor.contiguous(), scalars.alpha,
        scalars.temperature, scalars.difference_min, scalars.difference_max, scalars.raw_multiplier, gradient, sums,
        critics, batch, n, tile, columns, options,
    )  # fmt: skip
    run_loss_kernel[(runs,)](
        sums, scalars.alpha, scalars.target_action_gap, scalars.raw_multiplier, per_run, critics, 1, batch, n, options
    )
    loss, *others = per_run.unbind(1)
    return CriticLoss(loss, gradient, *others)


def compare_loss(form, seed):
    inputs = random_inputs(seed, 2, (3, 2, 5, 2), (8,), torch.float64)
    values = torch_kernel.values(inputs.network, inputs.parameters, inputs.states, inputs.actions)
    # Some values equal their floor; the first run has a multiplier at its limit.
    inputs.floor[:, 0] = values[:, 0, 0, 3]
    inputs.scalars.raw_multiplier[0] = 2e6 if form.lagrange_multiplier == "softplus" else 20.0
    arguments = values, inputs.target, inputs.log_density, inputs.floor, form, inputs.scalars
    ours, expected = loss_of_values(*arguments), critic_loss(*arguments)
    for name, value in vars(expected).items():
        assert_close(getattr(ours, name), value, 1e-12)


def test_reference_values_agree():
    assert check(CASES / "critic_loss.npz", loss_of_values) < TOLERANCE


@pytest.mark.parametrize("form", SOME, ids=[str(number) for number in range(len(SOME))])
def test_the_loss_agrees_for_every_option(form):
    compare_loss(form, 3)


def test_the_compared_forms_have_every_value_of_every_option():
    for chosen, possible in zip(
        zip(*map(astuple, SOME), strict=True), zip(*map(astuple, FORMS), strict=True), strict=True
    ):
        assert set(chosen) == set(possible)


@pytest.mark.slow
def test_the_loss_agrees_for_all_forms():
    for seed, form in enumerate(FORMS):
        compare_loss(form, seed)


@pytest.fixture(autouse=True)
def unwritten_memory_is_nan():
    """So that a kernel that reads what nothing has written, or leaves a part of its results unwritten, is noticed."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


def computed(kernel, inputs, form=PLAIN):
    """The loss and the gradient, which is written to memory that was not zero."""
    gradient = inputs.parameters.like()
    gradient.flat.fill_(torch.nan if kernel is triton_kernel else 0.0)
    loss = kernel.critic_gradient(inputs.network, inputs.parameters, inputs.of_kernel(form), gradient)
    return {**vars(loss), "gradient of parameters": gradient.flat}


def compare(inputs, form, tolerance, reference=torch_kernel):
    ours, expected = computed(triton_kernel, inputs, form), computed(reference, inputs, form)
    for name, value in expected.items():
        assert_close(ours[name], value, tolerance)


SHAPES = [
    # S, A, B, n; hidden: one to three layers, several blocks of columns and of states' dimensions, tiles not full.
    ((5, 3, 7, 2), (20, 12), PLAIN),
    ((37, 2, 19, 1), (70,), CriticLossForm("soft_maximum", False, True)),
    ((1, 17, 1, 6), (3, 40, 9), CriticLossForm("expectation", True, False, "expectation")),
]


@pytest.mark.parametrize(("sizes", "hidden", "form"), SHAPES)
def test_gradients_agree_in_float64(sizes, hidden, form):
    compare(random_inputs(5, 1, sizes, hidden, torch.float64), form, 1e-11)


@pytest.mark.parametrize(("sizes", "hidden", "form"), SHAPES)
def test_gradients_with_layer_normalisation_agree_in_float64(sizes, hidden, form):
    """With torch, the C++ kernel and autograd; widths of 3, 9 and 70 are rounded up in memory."""
    inputs = random_inputs(5, 1, sizes, hidden, torch.float64, layer_norm=True)
    compare(inputs, form, 1e-9)
    load_library()
    compare(inputs, form, 1e-9, fused_kernel)
    ours = computed(triton_kernel, inputs, form)
    assert_close(ours["gradient of parameters"], autograd_gradient(inputs, ours["gradient"]), 1e-9)


def test_the_normalisation_of_a_constant_layer():
    """All inputs of the normalisation are equal: no deviation, so that epsilon decides."""
    inputs = random_inputs(5, 1, (2, 1, 3, 1), (6,), torch.float64, layer_norm=True)
    for name in ("state_weight", "action_weight"):
        inputs.parameters[name].zero_()
    inputs.parameters["bias_0"][..., :6] = 0.25
    compare(inputs, PLAIN, 1e-9)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_in_float32_are_close_to_those_in_float64(layer_norm):
    inputs = random_inputs(6, 1, (5, 3, 7, 2), (20, 12), torch.float64, layer_norm)
    ours = computed(triton_kernel, in_dtype(inputs, torch.float32))
    for name, value in computed(torch_kernel, inputs).items():
        assert_close(ours[name].double(), value, 1e-5, 1.0)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_runs_bits_do_not_depend_on_its_pack(monkeypatch, layer_norm):
    """Two parts with several tiles; a run beside it is not finite."""
    monkeypatch.setattr(triton_kernel, "PART", 32)
    inputs = random_inputs(7, 3, (4, 2, 35, 1), (16, 9), layer_norm=layer_norm)
    inputs.parameters.flat[:CRITICS, 0] = torch.nan
    packed, alone = computed(triton_kernel, inputs), computed(triton_kernel, inputs.of_run(1))
    assert packed["loss"].isnan().tolist() == [True, False, False]
    for name, tensor in packed.items():
        assert torch.equal(tensor.view(3, -1)[1], alone[name].flatten()), name


def test_steps_of_adam_and_of_the_targets_agree():
    """On every second row, as for learned scalars; a row is longer than a block."""
    rng = torch.Generator().manual_seed(0)
    results = []
    tensors = [torch.rand(4, 1088, generator=rng, dtype=torch.float64) for _ in range(6)]
    for kernel in (triton_kernel, torch_kernel):
        flat, first, second, gradient, targets, rates = (tensor.clone() for tensor in tensors)
        count = StepCount(flat)
        count.advance()
        rows = slice(1, None, 2)
        adam = Adam(first[rows], second[rows], count)
        kernel.adam_step(adam, flat[rows], gradient[rows], rates[rows, :1])
        kernel.polyak_update(targets, flat, rates[:, :1].contiguous())
        results.append(torch.stack((flat, first, second, targets)))
    assert_close(*results, 1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("hidden", "batch"), [((64, 64), 67), ((256, 256), 5)])
def test_gradients_agree_for_usual_sizes(hidden, batch, layer_norm):
    tolerance = 1e-8 if layer_norm else 1e-10
    compare(random_inputs(8, 1, (27, 8, batch, 10), hidden, torch.float64, layer_norm), PLAIN, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("layer_norm", ["none", "all"])
def test_a_learner_makes_the_same_updates(layer_norm):
    """The whole update, recorded as on a GPU; the last digits differ."""
    settings = replace(TINY, lagrange=True, kernel="torch", layer_norm=layer_norm)
    ours = train([replace(settings, kernel="triton")], [3], updates=2, device="cpu").state(0)
    for name, expected in train([settings], [3], updates=2).state(0).items():
        assert_close(ours[name], expected, 1e-4, 1.0)
