"""Adam on flat buffers against torch.optim.Adam."""

from math import sqrt

import pytest
import torch

from algorithms.optimizer import BETA_1, BETA_2, EPSILON, LAST_CORRECTION, Adam, StepCount


def test_steps_equal_those_of_torch_with_a_learning_rate_per_network():
    rng = torch.Generator().manual_seed(0)
    flat = torch.randn(2, 64, generator=rng, dtype=torch.float64)
    copies = [flat[network].clone().requires_grad_() for network in (0, 1)]
    rates = (1e-2, 3e-4)
    optimizers = [torch.optim.Adam([parameter], lr=rate) for parameter, rate in zip(copies, rates, strict=True)]
    adam = Adam.of(flat)
    for _ in range(20):
        gradient = torch.randn(2, 64, generator=rng, dtype=torch.float64)
        adam.count.advance()
        adam.step(flat, gradient, torch.tensor(rates, dtype=torch.float64)[:, None])
        for network, (parameter, optimizer) in enumerate(zip(copies, optimizers, strict=True)):
            parameter.grad = gradient[network]
            optimizer.step()
    torch.testing.assert_close(flat, torch.stack([parameter.detach() for parameter in copies]))


def test_bias_corrections_in_a_tensor_equal_those_in_python_floats():
    rng = torch.Generator().manual_seed(1)
    flat, rate = torch.randn(3, 64, generator=rng), torch.rand(3, 1, generator=rng)
    plain, adam = flat.clone(), Adam.of(flat)
    for step in range(1, 200):
        gradient = torch.randn(3, 64, generator=rng)
        adam.count.advance()
        adam.step(flat, gradient, rate)
        scale = sqrt(1.0 - BETA_2**step)
        factor = scale / (1.0 - BETA_1**step)
        plain.addcdiv_(adam.first * (rate * factor), adam.second.sqrt().add_(EPSILON * scale), value=-1.0)
        assert torch.equal(flat, plain)


@pytest.mark.parametrize("steps", [1, 2, 999, LAST_CORRECTION - 1, LAST_CORRECTION, LAST_CORRECTION + 5, 10**6])
def test_corrections_are_the_same_whether_counting_is_recorded_or_not(steps):
    """The table of corrections ends where they no longer change."""
    plain, recorded = StepCount(torch.zeros(1)), StepCount(torch.zeros(1), recorded=True)
    for count in (plain, recorded):
        count.steps = steps - 1
        count.advance()
    recorded.advance_tensors()
    assert torch.equal(plain.corrections, recorded.corrections)
    assert recorded.number == steps == plain.steps
