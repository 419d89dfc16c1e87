"""The update and its parts at the demo's size, per pack of R runs."""

import pytest
import torch

from algorithms.critic_loss import CriticLossForm, CriticLossScalars, critic_loss
from harness.tasks import base_run
from tests.packs import ACTION_DIM, make_batch, make_learner, make_noise

pytestmark = pytest.mark.benchmark
SETTINGS = base_run("pointmaze-medium", "demo", 0).algorithm


@pytest.mark.parametrize("runs", [1, 4, 8])
def test_update(benchmark, runs):
    seeds = list(range(runs))
    learner = make_learner([SETTINGS] * runs, seeds)
    batch, noise = make_batch(seeds, 0, SETTINGS.batch_size), make_noise(SETTINGS, seeds, 0)
    benchmark.extra_info["runs"] = runs
    benchmark(learner.update, batch, noise)
    assert learner.finite().all()


@pytest.mark.parametrize("runs", [1, 4, 8])
def test_critic_loss(benchmark, runs):
    n, batch = SETTINGS.n_actions, SETTINGS.batch_size
    values = torch.randn(runs, 2, batch, 1 + 3 * n)
    scalars = CriticLossScalars(*(torch.ones(runs) for _ in range(6)))
    form = CriticLossForm(SETTINGS.form, SETTINGS.importance_sampling, SETTINGS.lagrange)
    inputs = torch.randn(runs, batch), torch.randn(runs, batch, 3 * n), torch.randn(runs, batch)
    result = benchmark(critic_loss, values, *inputs, form, scalars)
    assert result.gradient.shape == values.shape


@pytest.mark.parametrize("runs", [1, 4, 8])
def test_critic_forward_and_backward(benchmark, runs):
    learner = make_learner([SETTINGS] * runs, list(range(runs)))
    states = torch.randn(2 * runs, SETTINGS.batch_size, 6)
    actions = torch.rand(2 * runs, SETTINGS.batch_size, 1 + 3 * SETTINGS.n_actions, ACTION_DIM)
    slope = torch.randn(actions.shape[:-1])

    def both():
        parameters = learner.critic_parameters
        _, hidden = learner.critic.forward(parameters, states, actions)
        learner.critic.backward(parameters, learner.critic_gradient, states, actions, hidden, slope)

    benchmark(both)
