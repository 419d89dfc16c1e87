"""Adam over flat buffers against torch's own."""

from math import sqrt

import torch

from algorithms.optimizer import BETA_1, BETA_2, EPSILON, Adam


def test_each_network_moves_as_with_torchs_adam_at_its_own_rate():
    rng = torch.Generator().manual_seed(0)
    flat = torch.randn(2, 64, generator=rng, dtype=torch.float64)
    twins = [flat[network].clone().requires_grad_() for network in (0, 1)]
    rates = (1e-2, 3e-4)
    judges = [torch.optim.Adam([twin], lr=rate) for twin, rate in zip(twins, rates, strict=True)]
    adam = Adam.of(flat)
    for _ in range(20):
        gradient = torch.randn(2, 64, generator=rng, dtype=torch.float64)
        adam.count.advance()
        adam.step(flat, gradient, torch.tensor(rates, dtype=torch.float64)[:, None])
        for network, (twin, judge) in enumerate(zip(twins, judges, strict=True)):
            twin.grad = gradient[network]
            judge.step()
    torch.testing.assert_close(flat, torch.stack([twin.detach() for twin in twins]))


def test_corrections_in_a_tensor_give_the_bits_of_plain_numbers():
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
