"""The baseline computes the loss that this project computes, and learns with it."""

import torch

from algorithms.critic_loss import CriticLossForm, CriticLossScalars, critic_loss, uniform_log_density
from tests.benchmarks.peers.plain import PlainCalQL, push_down_minus_push_up, random_batch
from tests.benchmarks.peers.sizes import SIZES


def test_the_difference_is_that_of_the_critic_loss():
    torch.manual_seed(3)
    batch, n, action_dim = 7, 4, 2
    values = 3 * torch.randn(1, 2, batch, 1 + 3 * n, dtype=torch.float64)
    densities = torch.randn(2, batch, n, dtype=torch.float64)
    floor = torch.randn(batch, dtype=torch.float64)
    uniform = torch.full((batch, n), uniform_log_density(action_dim), dtype=torch.float64)
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    result = critic_loss(
        values,
        torch.zeros(1, batch, dtype=torch.float64),
        torch.cat([uniform, densities[0], densities[1]], dim=-1).unsqueeze(0),
        floor.unsqueeze(0),
        CriticLossForm("soft_maximum", True, False),
        CriticLossScalars(one, one, none, -torch.inf * one, torch.inf * one, none),
    )
    own = [
        push_down_minus_push_up(
            at[:, 0], *at[:, 1:].split(n, dim=1), densities[0], densities[1], floor, action_dim
        ).mean()
        for at in values[0]
    ]
    torch.testing.assert_close(result.difference, torch.stack(own).mean().unsqueeze(0))


def test_its_bellman_error_falls():
    torch.manual_seed(0)
    size = SIZES["demo"]
    run, batch = PlainCalQL(size), random_batch(size)
    first = run.update(batch)
    for _ in range(60):
        last = run.update(batch)
    assert last["td_error"] < first["td_error"] / 2
