"""The policies in C++ against torch and finite differences; their bits in any company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.kernels.build import load_library
from algorithms.kernels.inputs import PolicyInputs
from algorithms.kernels.kernel import KERNELS
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork
from tests.algorithms.kernels.inputs import CRITICS, HIDDEN, SIZES, assert_close, random_inputs

FUSED, TORCH = KERNELS["fused"], KERNELS["torch"]


@pytest.fixture(autouse=True, scope="module")
def library():
    load_library()


class Pack:
    """Policies with critics, states and noise; some log-stds lie beyond their range."""

    def __init__(self, seed, runs, sizes, hidden, critic_hidden=(12,), dtype=torch.float64):
        state_dim, action_dim, batch, n = sizes
        rng = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=rng, dtype=dtype)

        self.critics = random_inputs(seed, runs, sizes, critic_hidden, dtype)
        self.states = self.critics.states
        self.network = PolicyNetwork(state_dim, action_dim, hidden)
        self.parameters = Parameters.zeros(self.network.shapes(), runs, dtype, "cpu")
        for run in range(runs):
            self.network.initialise(self.parameters, run, normal, output_gain=1.0)
            self.parameters[f"bias_{len(hidden)}"][run, 0, : 2 * action_dim] = normal(2 * action_dim)
        self.parameters["log_std_multiplier"].mul_(1 + normal(runs, 1, 1).abs())
        self.noise, self.own_noise = normal(runs, batch, n, action_dim), normal(runs, batch, action_dim)
        self.temperature = normal(runs).exp()

    def samples(self, kernel, run=slice(None)):
        """Actions and log-probabilities."""
        parameters = Parameters(self.parameters.shapes, self.parameters.flat[run])
        made = kernel.samples(self.network, parameters, self.states[run], self.noise[run])
        return made.action, made.log_prob

    def gradient(self, kernel, run=slice(None)):
        """Loss, mean log-probability and gradient."""
        parameters = Parameters(self.parameters.shapes, self.parameters.flat[run])
        critic_rows = self.critics.parameters.flat.unflatten(0, (-1, CRITICS))[run].flatten(0, 1)
        into = parameters.like()
        loss, log_prob = kernel.policy_gradient(
            self.network,
            parameters,
            PolicyInputs(
                self.states[run],
                self.own_noise[run],
                self.temperature[run],
                self.critics.network,
                Parameters(self.critics.parameters.shapes, critic_rows),
            ),
            into,
        )
        return loss, log_prob, into.flat


@given(seed=st.integers(0, 10_000), runs=st.integers(1, 3), sizes=SIZES, hidden=HIDDEN, critic_hidden=HIDDEN)
@settings(max_examples=30, deadline=None)
def test_the_kernels_agree_in_float64(seed, runs, sizes, hidden, critic_hidden):
    pack = Pack(seed, runs, sizes, hidden, critic_hidden)
    for ours, expected in zip(pack.samples(FUSED), pack.samples(TORCH), strict=True):
        assert_close(ours, expected, 1e-11)
    for ours, expected in zip(pack.gradient(FUSED), pack.gradient(TORCH), strict=True):
        assert_close(ours, expected, 1e-10)


@given(seed=st.integers(0, 10_000), sizes=SIZES, hidden=HIDDEN)
@settings(max_examples=30, deadline=None)
def test_samples_in_float32_are_those_of_float64(seed, sizes, hidden):
    """Actions at the ends of their range and densities of actions far out included."""
    pack = Pack(seed, 1, sizes, hidden, dtype=torch.float32)
    ours = pack.samples(FUSED)
    for name in ("states", "noise"):
        setattr(pack, name, getattr(pack, name).double())
    pack.parameters = Parameters(pack.parameters.shapes, pack.parameters.flat.double())
    for own, expected in zip(ours, pack.samples(TORCH), strict=True):
        assert_close(own.double(), expected, 1e-5)


@given(seed=st.integers(0, 10_000), sizes=SIZES, hidden=HIDDEN, threads=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_runs_bits_depend_neither_on_its_company_nor_on_threads(seed, sizes, hidden, threads):
    pack = Pack(seed, 3, sizes, hidden, dtype=torch.float32)
    torch.set_num_threads(threads)
    try:
        together = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    finally:
        torch.set_num_threads(1)
    for run in (0, 2):
        own = slice(run, run + 1)
        alone = [*pack.samples(FUSED, own), *pack.gradient(FUSED, own)]
        assert all(torch.equal(one[own], other) for one, other in zip(together, alone, strict=True))


def test_a_policy_that_is_not_finite_changes_no_bit_of_the_others():
    pack = Pack(0, 3, (5, 2, 9, 3), (20, 20), dtype=torch.float32)
    before = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    pack.parameters.flat[1] = torch.nan
    after = [*pack.samples(FUSED), *pack.gradient(FUSED)]
    for run in (0, 2):
        assert all(torch.equal(one[run], other[run]) for one, other in zip(before, after, strict=True))
    assert all(tensor[1].isnan().any() for tensor in after)
