"""The update: its gradients against autograd, and a run's independence of its company, to the bit."""

from dataclasses import replace
from math import exp, inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.batch import Batch, Noise
from algorithms.critic_loss import (
    CriticLossForm,
    CriticLossScalars,
    critic_loss,
    learned_of,
    uniform_log_density,
)
from algorithms.learner import CRITICS
from algorithms.parameters import Parameters
from tests.support.packs import ACTION_DIM, TINY, go_on, make_batch, make_learner, make_noise, train

VARIANTS = {
    "plain": {},
    "lagrange": {"lagrange": True},
    "one backup action": {"max_backup": "off", "backup_entropy": True},
    "the mean action in the backup": {"max_backup": "mean_action"},
    "max_then_min": {"max_backup": "max_then_min"},
    "no importance sampling": {"importance_sampling": False, "temperature": 2.0},
    "expectation": {"form": "expectation"},
    "floor under the expectation": {"floor_masking": "expectation"},
    "floor under uniform actions": {"floor_uniform": True},
    "floor under values less densities": {"floor_after_density": True},
    "lagrange by softplus": {"lagrange": True, "lagrange_multiplier": "softplus", "lagrange_alpha": "nothing"},
    "gap without alpha": {"lagrange": True, "lagrange_alpha": "difference"},
    "odd widths": {"policy_hidden": (17, 5), "critic_hidden": (9, 33, 7), "batch_size": 5, "n_actions": 1},
    "cloning": {"policy_objective": "cloning", "alpha": 0.0},
    "clipped": {"difference_min": -0.5, "difference_max": 1.5},
}


def state(learner, run):
    """Everything the update moves, for one run."""
    pair = slice(CRITICS * run, CRITICS * (run + 1))
    return torch.cat([
        learner.policy_parameters.flat[run].flatten(),
        learner.critic_parameters.flat[pair].flatten(),
        learner.target_parameters.flat[pair].flatten(),
        learner.policy_adam.second[run].flatten(),
        learner.critic_adam.first[pair].flatten(),
        learner.scalars.flat[2 * run : 2 * run + 2].flatten(),
        learner.sums[run],
    ])  # fmt: skip


KERNELS = pytest.mark.parametrize("kernel", ["fused", "torch"])


@KERNELS
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_runs_bits_do_not_depend_on_its_company(variant, kernel):
    own = replace(TINY, **VARIANTS[variant], kernel=kernel)
    others = [replace(own, alpha=0.1), own, replace(own, policy_learning_rate=1e-2), replace(own, tau=0.5)]
    alone = train([own], [7], updates=10)
    packed = train(others, [1, 7, 3, 4], updates=10)
    assert torch.equal(state(packed, 1), state(alone, 0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_in_one_call_is_to_the_bit_what_its_parts_come_to(variant):
    own = replace(TINY, **VARIANTS[variant], kernel="fused")
    settings_of_runs, seeds = [own, replace(own, alpha=0.1, tau=0.5)], [7, 3]
    in_parts = make_learner(settings_of_runs, seeds)
    in_parts._perform = in_parts._compute
    go_on(in_parts, seeds, range(10))
    whole = train(settings_of_runs, seeds, updates=10)
    assert all(torch.equal(state(whole, run), state(in_parts, run)) for run in range(2))


@KERNELS
def test_a_diverged_neighbour_changes_no_bit(kernel):
    own = replace(TINY, kernel=kernel)
    healthy = train([own, own], [1, 2], updates=5)
    learner = make_learner([own, replace(own, alpha=3e38)], [1, 2])
    for update in range(5):
        learner.update(make_batch([1, 2], update, TINY.batch_size), make_noise(TINY, [1, 2], update))
    learner.critic_parameters.flat[CRITICS:] = torch.nan
    learner.update(make_batch([1, 2], 5, TINY.batch_size), make_noise(TINY, [1, 2], 5))
    healthy.update(make_batch([1, 2], 5, TINY.batch_size), make_noise(TINY, [1, 2], 5))
    assert learner.finite().tolist() == [True, False]
    assert torch.equal(state(learner, 0), state(healthy, 0))


def test_a_floor_of_minus_infinity_is_a_floor_far_below_every_value():
    """CQL is Cal-QL whose floor is minus infinity: no other code path."""
    assert torch.equal(
        state(train([TINY], [0], updates=10, floor=-inf), 0), state(train([TINY], [0], updates=10, floor=-1e30), 0)
    )


def test_a_floor_changes_what_is_learned():
    assert not torch.equal(state(train([TINY], [0], 10, floor=-inf), 0), state(train([TINY], [0], 10, floor=1.0), 0))


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_within_a_batch_does_not_matter(seed):
    learner = make_learner([TINY], [0], torch.float64)
    twin = make_learner([TINY], [0], torch.float64)
    batch, noise = make_batch([seed], 0, 8, dtype=torch.float64), make_noise(TINY, [seed], 0, torch.float64)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    learner.update(batch, noise)
    twin.update(
        Batch(**{name: value[:, order] for name, value in vars(batch).items()}),
        Noise(**{name: value[:, order] for name, value in vars(noise).items()}),
    )
    for own, other in (
        (learner.policy_gradient, twin.policy_gradient),
        (learner.critic_gradient, twin.critic_gradient),
    ):
        torch.testing.assert_close(own.flat, other.flat, rtol=1e-9, atol=1e-12)


def squashed_gaussian(parameters, states, noise, hidden):
    """Policy in plain torch, for one run: actions [B, n, A] and log-probabilities [B, n]."""
    x = states
    for layer in range(len(hidden)):
        x = torch.relu(x @ parameters[f"weight_{layer}"][0] + parameters[f"bias_{layer}"][0])
    out = x @ parameters[f"weight_{len(hidden)}"][0] + parameters[f"bias_{len(hidden)}"][0]
    mean, raw = out[:, :ACTION_DIM], out[:, ACTION_DIM : 2 * ACTION_DIM]
    log_std = (parameters["log_std_multiplier"][0] * raw + parameters["log_std_offset"][0]).clamp(-20, 2)
    normal = torch.distributions.Normal(mean[:, None], log_std.exp()[:, None])
    policy = torch.distributions.TransformedDistribution(
        normal, [torch.distributions.TanhTransform(cache_size=1)], validate_args=False
    )
    action = torch.tanh(mean[:, None] + log_std.exp()[:, None] * noise)
    raw_action = mean[:, None] + log_std.exp()[:, None] * noise
    log_prob = normal.log_prob(raw_action) - policy.transforms[0].log_abs_det_jacobian(raw_action, action)
    return action, log_prob.sum(-1)


def critic_values(parameters, index, states, actions, hidden):
    """One critic in plain torch: values [B, K] of actions [B, K, A] at states [B, S]."""
    weight = torch.cat((parameters["state_weight"][index], parameters["action_weight"][index, :ACTION_DIM]))
    x = torch.cat((states[:, None].expand(-1, actions.shape[1], -1), actions), -1)
    x = torch.relu(x @ weight + parameters["bias_0"][index])
    for layer in range(1, len(hidden)):
        x = torch.relu(x @ parameters[f"weight_{layer}"][index] + parameters[f"bias_{layer}"][index])
    return x @ parameters["output_weight"][index, 0] + parameters["output_bias"][index, 0]


@KERNELS
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradients_of_the_update_are_those_of_autograd(variant, kernel):
    """The whole update in float64 against the losses written the usual way, differentiated by torch."""
    own = replace(TINY, **VARIANTS[variant], output_gain=1.0, kernel=kernel)
    learner = make_learner([own], [3], torch.float64)
    batch, noise = make_batch([3], 0, own.batch_size, dtype=torch.float64), make_noise(own, [3], 0, torch.float64)
    policy_leaf = learner.policy_parameters.flat.clone().requires_grad_()
    critic_leaf = learner.critic_parameters.flat.clone().requires_grad_()
    policy = Parameters(learner.policy_parameters.shapes, policy_leaf)
    critic = Parameters(learner.critic_parameters.shapes, critic_leaf)
    learner.update(batch, noise)

    states, next_states = batch.states[0], batch.next_states[0]
    layers, critic_layers = own.policy_hidden, own.critic_hidden
    with torch.no_grad():
        n = own.n_actions
        current, current_log_prob = squashed_gaussian(policy, states, noise.state[0, :, 1:], layers)
        noise_at_next = noise.following[0].clone()
        if own.max_backup == "mean_action":
            noise_at_next[:, n:] = 0.0
        at_next, log_prob_at_next = squashed_gaussian(policy, next_states, noise_at_next, layers)
        following, candidates = at_next[:, :n], at_next[:, n:]
        following_log_prob, candidate_log_prob = log_prob_at_next[:, :n], log_prob_at_next[:, n:]
        both = torch.stack([critic_values(critic, index, next_states, candidates, critic_layers) for index in (0, 1)])
        if own.max_backup == "max_then_min":
            value = both.amax(-1).amin(0)
        else:
            value, chosen = both.amin(0).max(-1)
            if own.backup_entropy:
                value = value - candidate_log_prob.gather(1, chosen[:, None])[:, 0] * own.entropy_temperature_initial
        target = batch.rewards[0] + 0.9 * (1 - batch.terminals[0]) * value
    actions = torch.cat((batch.actions[0][:, None], noise.uniform[0], current, following), 1)
    values = torch.stack([critic_values(critic, index, states, actions, critic_layers) for index in (0, 1)])[None]

    uniform = torch.full_like(current_log_prob, uniform_log_density(ACTION_DIM))

    def one(number):
        return torch.tensor([number], dtype=torch.float64)

    loss = critic_loss(
        values,
        target[None],
        torch.cat((uniform, current_log_prob, following_log_prob), -1)[None],
        batch.floor,
        CriticLossForm.of(own),
        CriticLossScalars(
            one(own.alpha),
            one(own.temperature),
            one(own.target_action_gap),
            one(-inf if own.difference_min is None else own.difference_min),
            one(inf if own.difference_max is None else own.difference_max),
            one(learned_of(own.lagrange_initial_log, own.lagrange_multiplier)),
        ),
    ).loss.sum()
    (of_critic,) = torch.autograd.grad(loss, critic_leaf)
    torch.testing.assert_close(learner.critic_gradient.flat, of_critic, rtol=1e-8, atol=1e-11)

    if own.policy_objective == "cloning":
        action, _ = squashed_gaussian(policy, states, torch.zeros_like(noise.state[0, :, :1]), layers)
        policy_loss = (action[:, 0] - batch.actions[0]).square().mean()
    else:
        action, log_prob = squashed_gaussian(policy, states, noise.state[0, :, :1], layers)
        best = torch.stack([critic_values(critic, index, states, action, critic_layers) for index in (0, 1)]).amin(0)
        policy_loss = (own.entropy_temperature_initial * log_prob - best).mean()
    (of_policy,) = torch.autograd.grad(policy_loss, policy_leaf)
    torch.testing.assert_close(learner.policy_gradient.flat, of_policy, rtol=1e-8, atol=1e-11)


def test_targets_follow_by_tau():
    learner = make_learner([replace(TINY, tau=0.25)], [0])
    before = learner.target_parameters.flat.clone()
    learner.update(make_batch([0], 0, 8), make_noise(TINY, [0], 0))
    expected = before + 0.25 * (learner.critic_parameters.flat - before)
    torch.testing.assert_close(learner.target_parameters.flat, expected)


def test_a_policy_more_random_than_wanted_lowers_the_temperature():
    learner = make_learner([replace(TINY, target_entropy=-50.0)], [0])
    learner.update(make_batch([0], 0, 8), make_noise(TINY, [0], 0))
    assert learner.scalars.log_temperature.item() == pytest.approx(-1e-4, rel=1e-3)


def test_a_multiplier_that_has_too_large_a_gap_falls_and_is_logged_as_it_is():
    """A step of Adam of 1e-3 from a softplus of 1, whose slope there is 1 - 1 / e."""
    own = replace(
        TINY, lagrange=True, lagrange_multiplier="softplus", lagrange_initial_log=0.0, target_action_gap=1e3,
        critic_learning_rate=1e-3,
    )  # fmt: skip
    learner = train([own], [0], updates=1)
    assert learner.take_logged()["lagrange_multiplier"].item() == pytest.approx(1.0)
    learner.update(make_batch([0], 1, 8), make_noise(own, [0], 1))
    multiplier = learner.take_logged()["lagrange_multiplier"].item()
    assert multiplier == pytest.approx(1.0 - 1e-3 * (1.0 - exp(-1.0)), abs=1e-6)


def test_logged_means_are_taken_once():
    learner = train([TINY], [0], updates=3)
    logged = learner.take_logged()
    assert logged["entropy_temperature"].item() == pytest.approx(1.0, abs=1e-3)
    assert torch.isnan(logged["lagrange_multiplier"]).all()
    assert torch.isnan(learner.take_logged()["critic_loss"]).all()
