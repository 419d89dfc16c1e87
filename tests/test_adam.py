"""Adam over flat buffers against torch's own."""

import torch

from algorithms.adam import Adam


def test_each_network_moves_as_with_torchs_adam_at_its_own_rate():
    rng = torch.Generator().manual_seed(0)
    flat = torch.randn(2, 64, generator=rng, dtype=torch.float64)
    twins = [flat[network].clone().requires_grad_() for network in (0, 1)]
    rates = (1e-2, 3e-4)
    judges = [torch.optim.Adam([twin], lr=rate) for twin, rate in zip(twins, rates, strict=True)]
    adam = Adam.of(flat)
    for _ in range(20):
        gradient = torch.randn(2, 64, generator=rng, dtype=torch.float64)
        adam.step(flat, gradient, torch.tensor(rates, dtype=torch.float64)[:, None])
        for network, (twin, judge) in enumerate(zip(twins, judges, strict=True)):
            twin.grad = gradient[network]
            judge.step()
    torch.testing.assert_close(flat, torch.stack([twin.detach() for twin in twins]))
