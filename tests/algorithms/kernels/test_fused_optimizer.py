"""Adam and following targets in C++ against torch; a network's bits among others."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.kernels.build import load_library
from algorithms.kernels.kernel import KERNELS
from algorithms.optimizer import Adam
from algorithms.parameters import ALIGNMENT
from tests.algorithms.kernels.inputs import assert_close


def stepped(kernel, flat, gradients, rate):
    """Parameters and moments after one step for each gradient."""
    load_library()
    moved, adam = flat.clone(), Adam.of(flat)
    for gradient in gradients:
        adam.count.advance()
        KERNELS[kernel].adam_step(adam, moved, gradient, rate)
    assert adam.count.steps == len(gradients)
    return moved, adam.first, adam.second


@given(seed=st.integers(0, 10_000), networks=st.integers(1, 5), blocks=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_adam_steps_agree_and_each_network_goes_its_own_way(seed, networks, blocks):
    rng = torch.Generator().manual_seed(seed)
    flat, *gradients = torch.randn(4, networks, blocks * ALIGNMENT, generator=rng)
    rate = torch.rand(networks, 1, generator=rng)
    together = stepped("fused", flat, gradients, rate)
    for ours, expected in zip(together, stepped("torch", flat, gradients, rate), strict=True):
        assert_close(ours, expected, 1e-5)
    last = slice(networks - 1, networks)
    alone = stepped("fused", flat[last], [gradient[last] for gradient in gradients], rate[last])
    assert all(torch.equal(one[last], other) for one, other in zip(together, alone, strict=True))


def test_the_first_step_of_adam_is_the_rate_against_the_sign():
    flat, gradient = torch.zeros(1, ALIGNMENT), torch.linspace(-3.0, 3.0, ALIGNMENT)[None]
    moved, _, _ = stepped("fused", flat, [gradient], torch.tensor([[0.25]]))
    torch.testing.assert_close(moved, -0.25 * gradient.sign())


def test_targets_go_their_share_of_the_way():
    load_library()
    targets, flat = torch.zeros(2, ALIGNMENT), torch.full((2, ALIGNMENT), 8.0)
    KERNELS["fused"].polyak_update(targets, flat, torch.tensor([[0.25], [1.0]]))
    assert targets[:, 0].tolist() == [2.0, 8.0]
    assert (targets == targets[:, :1]).all()
