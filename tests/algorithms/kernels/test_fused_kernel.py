"""Target, policies, Adam and Polyak update of the fused kernel against torch; independence of runs.

For the critics, see test_fused_critic_gradient.py.
"""

from math import nan
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import TargetInputs
from algorithms.kernels.build import load_library
from algorithms.kernels.inputs import PolicyInputs
from algorithms.kernels.kernel import KERNELS
from algorithms.optimizer import Adam
from algorithms.parameters import ALIGNMENT, Parameters
from algorithms.policy_network import PolicyNetwork
from algorithms.settings import MaxBackup
from tests.support.kernel_inputs import CRITICS, HIDDEN, SIZES, assert_close, random_inputs, randomise_norms

FUSED, TORCH = KERNELS["fused"], KERNELS["torch"]


@pytest.fixture(autouse=True, scope="module")
def library():
    load_library()


@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(*(st.integers(1, most) for most in (4, 3, 9, 5))),
    backup=st.sampled_from(get_args(MaxBackup)),
    entropy=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_bellman_targets_agree_and_runs_are_independent(seed, sizes, backup, entropy):
    runs, critics, batch, count = sizes
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(runs, critics, batch, count, generator=rng)
    log_prob = torch.randn(runs, batch, count, generator=rng)
    reward, terminal = torch.randn(runs, batch, generator=rng), torch.rand(runs, batch, generator=rng).round()
    discount, temperature = torch.rand(2, runs, generator=rng)
    inputs = reward, terminal, discount, values, log_prob
    ours = FUSED.bellman_target(TargetInputs(*inputs, backup, temperature if entropy else None))
    # Rewards and values may cancel.
    size = max(float(tensor.abs().max()) for tensor in (reward, values, log_prob))
    assert_close(
        ours, TORCH.bellman_target(TargetInputs(*inputs, backup, temperature if entropy else None)), 1e-6, size
    )
    last = [tensor[-1:] for tensor in inputs]
    assert torch.equal(
        FUSED.bellman_target(TargetInputs(*last, backup, temperature[-1:] if entropy else None)), ours[-1:]
    )


@pytest.mark.parametrize("backup", get_args(MaxBackup))
@pytest.mark.parametrize("nan_state", [0, 1, 2])
def test_a_nan_value_gives_a_nan_target(backup, nan_state):
    values = torch.zeros(1, 2, 3, 4)
    values[0, 1, nan_state, 2] = nan
    zeros = torch.zeros(1, 3)
    target = FUSED.bellman_target(TargetInputs(zeros, zeros, torch.ones(1), values, torch.zeros(1, 3, 4), backup))
    assert target.isnan()[0].tolist() == [state == nan_state for state in range(3)]


class Pack:
    """Policies with critics, states and noise; some log-stds are outside their range."""

    def __init__(self, seed, runs, sizes, hidden, critic_hidden=(12,), dtype=torch.float64, layer_norm=False):
        state_dim, action_dim, batch, n = sizes
        rng = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=rng, dtype=dtype)

        self.critics = random_inputs(seed, runs, sizes, critic_hidden, dtype, layer_norm)
        self.states = self.critics.states
        self.network = PolicyNetwork(state_dim, action_dim, hidden, layer_norm)
        self.parameters = Parameters.zeros(self.network.shapes(), runs, dtype, "cpu")
        for run in range(runs):
            self.network.initialise(self.parameters, run, normal, output_gain=1.0)
            self.parameters[f"bias_{len(hidden)}"][run, 0, : 2 * action_dim] = normal(2 * action_dim)
        if layer_norm:
            randomise_norms(self.parameters, hidden, normal)
        self.parameters["log_std_multiplier"].mul_(1 + normal(runs, 1, 1).abs())
        self.noise, self.loss_noise = normal(runs, batch, n, action_dim), normal(runs, batch, action_dim)
        self.temperature = normal(runs).exp()

    def samples(self, kernel, run=slice(None)):
        """Actions and log-probabilities."""
        parameters = Parameters(self.parameters.shapes, self.parameters.flat[run])
        sample = kernel.samples(self.network, parameters, self.states[run], self.noise[run])
        return sample.action, sample.log_prob

    def gradient(self, kernel, run=slice(None)):
        """Loss, mean log-probability and gradient."""
        parameters = Parameters(self.parameters.shapes, self.parameters.flat[run])
        critic_rows = self.critics.parameters.flat.unflatten(0, (-1, CRITICS))[run].flatten(0, 1)
        gradient_out = parameters.like()
        loss, log_prob = kernel.policy_gradient(
            self.network,
            parameters,
            PolicyInputs(
                self.states[run],
                self.loss_noise[run],
                self.temperature[run],
                self.critics.network,
                Parameters(self.critics.parameters.shapes, critic_rows),
            ),
            gradient_out,
        )
        return loss, log_prob, gradient_out.flat


@given(
    seed=st.integers(0, 10_000),
    runs=st.integers(1, 3),
    sizes=SIZES,
    hidden=HIDDEN,
    critic_hidden=HIDDEN,
    layer_norm=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_policies_agree_in_float64(seed, runs, sizes, hidden, critic_hidden, layer_norm):
    pack = Pack(seed, runs, sizes, hidden, critic_hidden, layer_norm=layer_norm)
    for ours, expected in zip(pack.samples(FUSED), pack.samples(TORCH), strict=True):
        assert_close(ours, expected, 1e-9 if layer_norm else 1e-11)
    for ours, expected in zip(pack.gradient(FUSED), pack.gradient(TORCH), strict=True):
        assert_close(ours, expected, 1e-8 if layer_norm else 1e-10)


@given(seed=st.integers(0, 10_000), sizes=SIZES, hidden=HIDDEN)
@settings(max_examples=30, deadline=None)
def test_samples_in_float32_equal_those_in_float64(seed, sizes, hidden):
    """Including actions near -1 and 1 and very low densities; near 0, to 2e-6: terms of about 1 cancel."""
    pack = Pack(seed, 1, sizes, hidden, dtype=torch.float32)
    ours = pack.samples(FUSED)
    for name in ("states", "noise"):
        setattr(pack, name, getattr(pack, name).double())
    pack.parameters = Parameters(pack.parameters.shapes, pack.parameters.flat.double())
    for sample, expected in zip(ours, pack.samples(TORCH), strict=True):
        assert_close(sample.double(), expected, 1e-5, 0.2)


@given(seed=st.integers(0, 10_000), sizes=SIZES, hidden=HIDDEN, threads=st.integers(1, 3), layer_norm=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_policys_bits_depend_neither_on_other_runs_nor_on_threads(seed, sizes, hidden, threads, layer_norm):
    pack = Pack(seed, 3, sizes, hidden, dtype=torch.float32, layer_norm=layer_norm)
    torch.set_num_threads(threads)
    try:
        together = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    finally:
        torch.set_num_threads(1)
    for run in (0, 2):
        rows = slice(run, run + 1)
        alone = [*pack.samples(FUSED, rows), *pack.gradient(FUSED, rows)]
        assert all(torch.equal(tensor[rows], expected) for tensor, expected in zip(together, alone, strict=True))


def test_a_policy_that_is_not_finite_changes_no_bit_of_the_others():
    pack = Pack(0, 3, (5, 2, 9, 3), (20, 20), dtype=torch.float32)
    before = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    pack.parameters.flat[1] = torch.nan
    after = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    for run in (0, 2):
        assert all(torch.equal(tensor[run], expected[run]) for tensor, expected in zip(before, after, strict=True))
    assert all(tensor[1].isnan().any() for tensor in after)


def after_steps(kernel, flat, gradients, rate):
    """Parameters and moments after a step of Adam with each gradient."""
    moved, adam = flat.clone(), Adam.of(flat)
    for gradient in gradients:
        adam.count.advance()
        KERNELS[kernel].adam_step(adam, moved, gradient, rate)
    assert adam.count.steps == len(gradients)
    return moved, adam.first, adam.second


@given(seed=st.integers(0, 10_000), networks=st.integers(1, 5), blocks=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_adam_steps_agree_and_networks_are_independent(seed, networks, blocks):
    rng = torch.Generator().manual_seed(seed)
    flat, *gradients = torch.randn(4, networks, blocks * ALIGNMENT, generator=rng)
    rate = torch.rand(networks, 1, generator=rng)
    together = after_steps("fused", flat, gradients, rate)
    for ours, expected in zip(together, after_steps("torch", flat, gradients, rate), strict=True):
        assert_close(ours, expected, 1e-5)
    last = slice(networks - 1, networks)
    alone = after_steps("fused", flat[last], [gradient[last] for gradient in gradients], rate[last])
    assert all(torch.equal(tensor[last], expected) for tensor, expected in zip(together, alone, strict=True))


def test_the_first_step_of_adam_is_the_learning_rate_times_the_sign():
    flat, gradient = torch.zeros(1, ALIGNMENT), torch.linspace(-3.0, 3.0, ALIGNMENT)[None]
    moved, _, _ = after_steps("fused", flat, [gradient], torch.tensor([[0.25]]))
    torch.testing.assert_close(moved, -0.25 * gradient.sign())


def test_polyak_update():
    targets, flat = torch.zeros(2, ALIGNMENT), torch.full((2, ALIGNMENT), 8.0)
    KERNELS["fused"].polyak_update(targets, flat, torch.tensor([[0.25], [1.0]]))
    assert targets[:, 0].tolist() == [2.0, 8.0]
    assert (targets == targets[:, :1]).all()
