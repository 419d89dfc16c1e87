"""The parts of an update with both kernels, relative to the machine's multiply-add peak and to the whole update."""

import time

import pytest
import torch

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels.build import load_library
from algorithms.kernels.inputs import PolicyInputs
from algorithms.kernels.kernel import KERNELS
from algorithms.optimizer import Adam
from tests.benchmarks.shapes import LARGE, LARGER, PACKS, SHAPES, prepare
from tests.support.kernel_inputs import random_inputs

pytestmark = pytest.mark.benchmark(timer=time.process_time)

of_packs = pytest.mark.parametrize(("name", "runs", "kernel"), PACKS + LARGE)
of_all_shapes = pytest.mark.parametrize(("name", "runs", "kernel"), PACKS + LARGE + LARGER)


@pytest.fixture(autouse=True)
def library():
    load_library()


@of_all_shapes
def test_critic_loss(meter, name, runs, kernel):
    """Forward and backward pass of the critic loss."""
    inputs = random_inputs(0, runs, SHAPES[name].sizes, SHAPES[name].hidden)
    kernel_inputs = inputs.of_kernel(CriticLossForm("soft_maximum", True, False))
    gradient = inputs.parameters.like()
    meter.measure(
        lambda: KERNELS[kernel].critic_gradient(inputs.network, inputs.parameters, kernel_inputs, gradient),
        3 * SHAPES[name].critic_products(runs),
        (name, runs, kernel),
    )
    assert gradient.flat.isfinite().all()


@of_all_shapes
def test_critic_values(meter, name, runs, kernel):
    """Forward pass only, as for targets and metrics, with as many actions as the loss."""
    inputs = random_inputs(0, runs, SHAPES[name].sizes, SHAPES[name].hidden)
    arguments = inputs.network, inputs.parameters, inputs.states, inputs.actions
    operations = SHAPES[name].critic_products(runs)
    values = meter.measure(lambda: KERNELS[kernel].values(*arguments), operations, (name, runs, kernel))
    assert values.isfinite().all()


@of_packs
def test_policy_samples(meter, name, runs, kernel):
    """Sampled actions and log-probabilities at the states of a batch."""
    pack = prepare(SHAPES[name], runs, kernel)
    learner, noise = pack.learner, pack.noise.state[:, :, 1:]
    sample = meter.measure(
        lambda: KERNELS[kernel].samples(learner.policy, learner.policy_parameters, pack.batch.states, noise),
        SHAPES[name].policy_products(runs),
        (name, runs, kernel),
    )
    assert sample.log_prob.isfinite().all()


@of_packs
def test_policy_gradient(meter, name, runs, kernel):
    """Policy loss and gradient, through the critics."""
    pack, shape = prepare(SHAPES[name], runs, kernel), SHAPES[name]
    learner, noise, gradient = pack.learner, pack.noise.state[:, :, 0], pack.learner.policy_gradient
    inputs = PolicyInputs(pack.batch.states, noise, torch.ones(runs), learner.critic, learner.critic_parameters)
    # Policy: forward and backward to inputs and weights. Critics: forward and backward to inputs.
    one_action = shape.critic_products(runs) // (1 + 3 * shape.n)
    meter.measure(
        lambda: KERNELS[kernel].policy_gradient(learner.policy, learner.policy_parameters, inputs, gradient),
        3 * shape.policy_products(runs) + 2 * one_action,
        (name, runs, kernel),
    )
    assert gradient.flat.isfinite().all()


@of_packs
def test_optimizer_and_target(meter, name, runs, kernel):
    """A step of Adam on the critics, and the Polyak update of the targets."""
    learner = prepare(SHAPES[name], runs, kernel).learner
    flat, adam = learner.critic_parameters.flat, Adam.of(learner.critic_parameters.flat)
    gradient = torch.randn_like(flat)

    def step():
        adam.count.advance()
        KERNELS[kernel].adam_step(adam, flat, gradient, learner.critic_learning_rate)
        KERNELS[kernel].polyak_update(learner.target_parameters.flat, flat, learner.tau)

    meter.measure(step, case=(name, runs, kernel))
    assert flat.isfinite().all()


@of_all_shapes
def test_update(meter, name, runs, kernel):
    """A whole update."""
    pack = prepare(SHAPES[name], runs, kernel)
    meter.measure(pack.update, SHAPES[name].update_operations(runs), (name, runs, kernel))
    assert pack.learner.finite().all()
