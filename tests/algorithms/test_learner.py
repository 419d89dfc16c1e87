"""The update: against the reference learner, and bitwise independence of the runs of a pack."""

import copy
import gc
import weakref
from dataclasses import replace
from math import exp, inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.batch import Batch, Noise
from algorithms.learner import POLICY_LOGGED, Learner
from algorithms.reference import ReferenceLearner
from tests.support.packs import (
    ACTION_DIM,
    STATE_DIM,
    TINY,
    continue_training,
    make_batch,
    make_learner,
    make_noise,
    train,
)

VARIANTS = {
    "plain": {},
    "lagrange": {"lagrange": True},
    "one-action backup": {"max_backup": "off", "backup_entropy": True},
    "mean action backup": {"max_backup": "mean_action"},
    "max_then_min": {"max_backup": "max_then_min"},
    "no importance sampling": {"importance_sampling": False, "temperature": 2.0},
    "expectation": {"form": "expectation"},
    "floor masking by expectation": {"floor_masking": "expectation"},
    "floor on uniform actions": {"floor_uniform": True},
    "floor after density": {"floor_after_density": True},
    "lagrange with softplus": {"lagrange": True, "lagrange_multiplier": "softplus", "lagrange_alpha": "nothing"},
    "lagrange, gap without alpha": {"lagrange": True, "lagrange_alpha": "difference"},
    "odd widths": {"policy_hidden": (17, 5), "critic_hidden": (9, 33, 7), "batch_size": 5, "n_actions": 1},
    "cloning": {"policy_objective": "cloning", "alpha": 0.0},
    "clipped": {"difference_min": -0.5, "difference_max": 1.5},
    "one critic": {"critics": 1},
    "layer norm": {"layer_norm": "all", "critics": 3, "target_critics": 1},
    "layer norm in odd widths": {
        "layer_norm": "all",
        "policy_hidden": (17, 5),
        "critic_hidden": (9, 33, 7),
        "lagrange": True,
    },
    "layer norm in critics of one layer": {"layer_norm": "critics", "critic_hidden": (10,), "policy_hidden": (7,)},
    "five critics, lagrange": {"critics": 5, "lagrange": True},
    "distinct subset": {"critics": 4, "target_critics": 2},
    "subset with replacement, mean value": {
        "critics": 3,
        "target_critics": 2,
        "target_replacement": True,
        "policy_value": "mean",
        "max_backup": "max_then_min",
    },
}


def state(learner, run):
    """Parameters and optimizer state of one run as one vector."""
    critics = slice(learner.critics * run, learner.critics * (run + 1))
    return torch.cat([
        learner.policy_parameters.flat[run].flatten(),
        learner.critic_parameters.flat[critics].flatten(),
        learner.target_parameters.flat[critics].flatten(),
        learner.policy_adam.second[run].flatten(),
        learner.critic_adam.first[critics].flatten(),
        learner.scalars.flat[2 * run : 2 * run + 2].flatten(),
        learner.sums[run],
    ])  # fmt: skip


KERNELS = pytest.mark.parametrize("kernel", ["fused", "torch"])


@KERNELS
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_runs_bits_do_not_depend_on_the_other_runs(variant, kernel):
    settings_of_run = replace(TINY, **VARIANTS[variant], kernel=kernel)
    others = [
        replace(settings_of_run, alpha=0.1),
        settings_of_run,
        replace(settings_of_run, policy_learning_rate=1e-2),
        replace(settings_of_run, tau=0.5),
    ]
    alone = train([settings_of_run], [7], updates=10)
    packed = train(others, [1, 7, 3, 4], updates=10)
    assert torch.equal(state(packed, 1), state(alone, 0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_fused_update_has_the_bits_of_its_parts(variant):
    settings_of_run = replace(TINY, **VARIANTS[variant], kernel="fused")
    settings_of_runs, seeds = [settings_of_run, replace(settings_of_run, alpha=0.1, tau=0.5)], [7, 3]
    in_parts = make_learner(settings_of_runs, seeds)
    in_parts._fused = None
    continue_training(in_parts, seeds, range(10))
    in_one_call = train(settings_of_runs, seeds, updates=10)
    assert all(torch.equal(state(in_one_call, run), state(in_parts, run)) for run in range(2))


@KERNELS
def test_a_diverged_run_changes_no_bit_of_another(kernel):
    settings_of_run = replace(TINY, kernel=kernel)
    healthy = train([settings_of_run, settings_of_run], [1, 2], updates=5)
    learner = make_learner([settings_of_run, replace(settings_of_run, alpha=3e38)], [1, 2])
    for update in range(5):
        learner.update(make_batch([1, 2], update, TINY.batch_size), make_noise(TINY, [1, 2], update))
    learner.critic_parameters.flat[learner.critics :] = torch.nan
    learner.update(make_batch([1, 2], 5, TINY.batch_size), make_noise(TINY, [1, 2], 5))
    healthy.update(make_batch([1, 2], 5, TINY.batch_size), make_noise(TINY, [1, 2], 5))
    assert learner.finite().tolist() == [True, False]
    assert torch.equal(state(learner, 0), state(healthy, 0))


def test_a_floor_of_minus_infinity_equals_a_very_low_floor():
    """CQL is Cal-QL with a floor of minus infinity; there is no separate code path."""
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
        Noise(**{name: value[:, order] if value.dim() > 2 else value for name, value in vars(noise).items()}),
    )
    for gradient, expected in (
        (learner.policy_gradient, twin.policy_gradient),
        (learner.critic_gradient, twin.critic_gradient),
    ):
        torch.testing.assert_close(gradient.flat, expected.flat, rtol=1e-9, atol=1e-12)


def assert_equal_weights(learner: Learner, reference: ReferenceLearner) -> None:
    """Compare networks and scalars with the reference in float64."""
    ours = copy.deepcopy(reference)
    ours.load(learner.policy_parameters, learner.critic_parameters)
    targets = copy.deepcopy(reference)
    targets.load(learner.policy_parameters, learner.target_parameters)
    pairs = [
        (ours.policy, reference.policy), (ours.critics, reference.critics), (targets.critics, reference.targets),
    ]  # fmt: skip
    for module, expected in pairs:
        for name, weight in expected.named_parameters():
            torch.testing.assert_close(module.get_parameter(name), weight, rtol=1e-7, atol=1e-9, msg=name)
    for scalar, expected in (
        (learner.scalars.log_temperature, reference.log_temperature),
        (learner.scalars.raw_multiplier, reference.raw_multiplier),
    ):
        assert scalar.item() == pytest.approx(expected.item(), rel=1e-9)


@KERNELS
@pytest.mark.parametrize("variant", VARIANTS)
def test_updates_equal_those_of_the_reference(variant, kernel):
    """Three updates in float64 against plain PyTorch with autograd and torch.optim."""
    settings = replace(TINY, **VARIANTS[variant], output_gain=1.0, kernel=kernel)
    assert_equal_updates(settings, (True, True, True))


@KERNELS
@pytest.mark.parametrize("variant", ["lagrange", "cloning", "distinct subset"])
def test_a_policy_that_is_not_updated_keeps_its_values(variant, kernel):
    """As in the reference: neither the policy, the temperature nor their moments and step counts change."""
    settings = replace(TINY, **VARIANTS[variant], output_gain=1.0, kernel=kernel)
    assert_equal_updates(settings, (False, True, False, False, True))


def assert_equal_updates(settings, with_policy):
    """Compare updates, some without the policy, with the reference."""
    learner = make_learner([settings], [3], torch.float64)
    reference = ReferenceLearner(settings, STATE_DIM, ACTION_DIM, discount=0.9)
    reference.load(learner.policy_parameters, learner.critic_parameters)
    for update, policy_is_updated in enumerate(with_policy):
        batch = make_batch([3], update, settings.batch_size, dtype=torch.float64)
        noise = make_noise(settings, [3], update, torch.float64)
        learner.update(batch, noise, policy_is_updated)
        expected = reference.update(batch, noise, policy_is_updated)
        assert_equal_weights(learner, reference)
        logged = learner.take_logged()
        for name, value in expected.items():
            if name in POLICY_LOGGED and not policy_is_updated:
                assert logged[name].isnan().all()
            else:
                assert logged[name].item() == pytest.approx(value.item(), rel=1e-8, abs=1e-10), name


@KERNELS
def test_only_the_drawn_critics_give_the_target(kernel):
    """Critics that are constants 5, 3 and 4 and rewards of 0: a target of 0.9 * 4 if critics 0 and 2 are drawn."""
    settings = replace(
        TINY, critics=3, target_critics=2, max_backup="off", alpha=0.0, critic_learning_rate=1e-30, kernel=kernel
    )
    learner = make_learner([settings], [0], torch.float64)
    for parameters in (learner.critic_parameters, learner.target_parameters):
        parameters["output_weight"].zero_()
        parameters["output_bias"].copy_(torch.tensor([5.0, 3.0, 4.0]).view(3, 1, 1))
    batch, noise = make_batch([0], 0, 8, dtype=torch.float64), make_noise(settings, [0], 0, torch.float64)
    batch.rewards.zero_()
    batch.terminals.zero_()
    for chosen, value in (([0, 2], 4.0), ([2, 0], 4.0), ([0, 1], 3.0), ([0, 0], 5.0)):
        learner.update(batch, replace(noise, target_critics=torch.tensor([chosen])))
        errors = [(critic - 0.9 * value) ** 2 for critic in (5.0, 3.0, 4.0)]
        assert learner.take_logged()["td_error"].item() == pytest.approx(sum(errors) / 3)


@KERNELS
@pytest.mark.parametrize(("kind", "value"), [("minimum", 3.0), ("mean", 4.0)])
def test_the_value_that_the_policy_maximises(kind, value, kernel):
    """Critics that are constants 5, 3 and 4: the loss is temperature * log pi minus their minimum or mean."""
    settings = replace(TINY, critics=3, policy_value=kind, kernel=kernel)
    learner = make_learner([settings], [0], torch.float64)
    learner.critic_parameters["output_weight"].zero_()
    learner.critic_parameters["output_bias"].copy_(torch.tensor([5.0, 3.0, 4.0]).view(3, 1, 1))
    learner.update(make_batch([0], 0, 8, dtype=torch.float64), make_noise(settings, [0], 0, torch.float64))
    logged = learner.take_logged()
    assert logged["policy_loss"].item() == pytest.approx(logged["policy_log_prob"].item() - value)


def test_polyak_update_of_the_targets():
    learner = make_learner([replace(TINY, tau=0.25)], [0])
    before = learner.target_parameters.flat.clone()
    learner.update(make_batch([0], 0, 8), make_noise(TINY, [0], 0))
    expected = before + 0.25 * (learner.critic_parameters.flat - before)
    torch.testing.assert_close(learner.target_parameters.flat, expected)


def test_an_entropy_above_the_target_lowers_the_temperature():
    learner = make_learner([replace(TINY, target_entropy=-50.0)], [0])
    learner.update(make_batch([0], 0, 8), make_noise(TINY, [0], 0))
    assert learner.scalars.log_temperature.item() == pytest.approx(-1e-4, rel=1e-3)


def test_a_difference_below_the_gap_lowers_the_multiplier():
    """One step of Adam of 1e-3 from a multiplier (softplus) of 1, where its derivative is 1 - 1 / e."""
    settings_of_run = replace(
        TINY, lagrange=True, lagrange_multiplier="softplus", lagrange_initial_log=0.0, target_action_gap=1e3,
        critic_learning_rate=1e-3,
    )  # fmt: skip
    learner = train([settings_of_run], [0], updates=1)
    assert learner.take_logged()["lagrange_multiplier"].item() == pytest.approx(1.0)
    learner.update(make_batch([0], 1, 8), make_noise(settings_of_run, [0], 1))
    multiplier = learner.take_logged()["lagrange_multiplier"].item()
    assert multiplier == pytest.approx(1.0 - 1e-3 * (1.0 - exp(-1.0)), abs=1e-6)


def test_taking_the_logged_means_resets_them():
    learner = train([TINY], [0], updates=3)
    logged = learner.take_logged()
    assert logged["entropy_temperature"].item() == pytest.approx(1.0, abs=1e-3)
    assert torch.isnan(logged["lagrange_multiplier"]).all()
    assert torch.isnan(learner.take_logged()["critic_loss"]).all()


@KERNELS
def test_a_new_alpha_applies_to_the_next_update(kernel):
    """Weight 0 from the second update on, as for SAC after the switch."""
    settings = replace(TINY, output_gain=1.0, kernel=kernel)
    learner = make_learner([settings], [3], torch.float64)
    reference = ReferenceLearner(settings, STATE_DIM, ACTION_DIM, discount=0.9)
    reference.load(learner.policy_parameters, learner.critic_parameters)
    for update, alpha in enumerate((settings.alpha, 0.0, 0.0)):
        batch = make_batch([3], update, settings.batch_size, dtype=torch.float64)
        noise = make_noise(settings, [3], update, torch.float64)
        learner.set_alpha(torch.tensor([alpha]))
        reference.settings = replace(settings, alpha=alpha)
        learner.update(batch, noise)
        reference.update(batch, noise)
    assert_equal_weights(learner, reference)


@KERNELS
def test_shifting_critics_shifts_their_values(kernel):
    learner = make_learner([replace(TINY, kernel=kernel)] * 2, [0, 1])
    batch = make_batch([0, 1], 0, 8)
    before = learner.values(batch.states, batch.actions.unsqueeze(2))
    learner.shift_critics(torch.tensor([3.0, -1.0]))
    change = learner.values(batch.states, batch.actions.unsqueeze(2)) - before
    torch.testing.assert_close(change[0], torch.full_like(change[0], 3.0))
    torch.testing.assert_close(change[1], torch.full_like(change[1], -1.0))
    torch.testing.assert_close(learner.target_parameters["output_bias"], learner.critic_parameters["output_bias"])


@pytest.mark.parametrize("kernel", ["fused", "torch", "cuda"])
def test_a_learner_is_freed_by_reference_counts(kernel):
    """A cycle would keep the memory of a GPU until the next collection of garbage."""
    gc.collect()
    gc.disable()
    try:
        learner = train([replace(TINY, kernel=kernel)] * 2, [1, 2], updates=2, device="cpu")
        learner.update(make_batch([1, 2], 2, TINY.batch_size), make_noise(TINY, [1, 2], 2), with_policy=False)
        freed = weakref.ref(learner)
        parameters = weakref.ref(learner.policy_parameters.flat)
        del learner
        assert freed() is None
        assert parameters() is None
    finally:
        gc.enable()


def test_a_snapshot_keeps_what_the_learner_was():
    """Actions, values and logged quantities, while the learner goes on; what it logs begins anew."""
    seeds = [3, 8]
    learner = train([TINY] * 2, seeds, updates=3)
    states, actions = torch.rand(2, 5, STATE_DIM), torch.rand(2, 5, 1, ACTION_DIM)
    other = train([TINY] * 2, seeds, updates=3)

    def seen(learner):
        run = slice(1, 2)
        return [learner.act(states), learner.act(states[:1], run=1), learner.act(states[:1], run=run),
                learner.values(states, actions), learner.values(states[:1], actions[:1], run=1)]  # fmt: skip

    expected, logged = seen(learner), other.take_logged()
    snapshot = learner.snapshot()
    for one in (learner, other):
        continue_training(one, seeds, range(3, 5))
    assert all(map(torch.equal, seen(snapshot), expected))
    assert not any(map(torch.equal, seen(learner), expected))
    for name, values in snapshot.take_logged().items():
        torch.testing.assert_close(values, logged[name], rtol=0.0, atol=0.0, equal_nan=True)
    since, expected_since = learner.take_logged(), other.take_logged()
    for name, values in since.items():
        torch.testing.assert_close(values, expected_since[name], rtol=0.0, atol=0.0, equal_nan=True)
