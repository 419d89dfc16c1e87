"""The critic loss: the tutorial's numbers, autograd as a judge of the gradients, and what a floor must never do."""

from math import exp, inf, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import CriticLossForm, CriticLossScalars, critic_loss, uniform_log_density

RUNS, CRITICS, BATCH, ACTIONS = 2, 2, 5, 3


def scalars(runs=RUNS, **changes):
    numbers = {
        "alpha": 5.0,
        "temperature": 1.0,
        "target_action_gap": 0.8,
        "difference_min": -inf,
        "difference_max": inf,
        "log_multiplier": 0.3,
    }
    return CriticLossScalars(
        **{name: torch.full((runs,), value, dtype=torch.float64) for name, value in {**numbers, **changes}.items()}
    )


def one_value(value, floor, form="expectation"):
    """A single state, policy action and critic; TD error zero; the data action at 0, the others far away."""
    values = torch.tensor([[[[0.0, -1e6, value, -1e6]]]], dtype=torch.float64)
    target = torch.zeros(1, 1, dtype=torch.float64)
    floors = torch.tensor([[floor]], dtype=torch.float64)
    density = torch.zeros(1, 1, 3, dtype=torch.float64)
    return critic_loss(values, target, density, floors, CriticLossForm(form, True, False), scalars(1, alpha=1.0))


def of_current(result):
    """The slope in the one value of pi(.|s)."""
    return result.gradient[0, 0, 0, 2].item()


@pytest.mark.parametrize("form", ["expectation", "soft_maximum"])
class TestTutorial:
    """One value of pi(.|s) against a floor; in the soft maximum the value of pi(.|s') lies at the floor beside it."""

    def test_above_the_floor_a_value_is_pushed_down(self, form):
        share = 1.0 if form == "expectation" else 1.0 / (1.0 + exp(-3.0))
        assert of_current(one_value(-7.0, -10.0, form)) == pytest.approx(share)

    def test_below_the_floor_nothing_pushes(self, form):
        result = one_value(-35.0, -10.0, form)
        assert of_current(result) == 0.0
        assert result.difference.item() == pytest.approx(-10.0 if form == "expectation" else -10.0 + log(2.0))
        assert result.bound_rate_current.item() == 1.0

    def test_at_the_floor_nothing_pushes(self, form):
        assert of_current(one_value(-10.0, -10.0, form)) == 0.0

    def test_without_a_floor_the_push_down_has_no_end(self, form):
        assert of_current(one_value(-35.0, -inf, form)) == pytest.approx(1.0)


def test_the_soft_maximum_by_hand():
    # Values 3 (data), 0 (uniform), 1 (pi at s), 2 (pi at s'); log-probabilities 0; uniform density 1/2.
    result = critic_loss(
        torch.tensor([[[[3.0, 0.0, 1.0, 2.0]]]]),
        torch.tensor([[1.0]]),
        torch.tensor([[[uniform_log_density(1), 0.0, 0.0]]]),
        torch.tensor([[-inf]]),
        CriticLossForm("soft_maximum", True, False),
        CriticLossScalars(**{name: value.float() for name, value in vars(scalars(1, alpha=1.0)).items()}),
    )
    total = 2.0 + exp(1.0) + exp(2.0)
    assert result.difference.item() == pytest.approx(log(total) - 3.0)
    assert result.loss.item() == pytest.approx((3.0 - 1.0) ** 2 + log(total) - 3.0)
    expected = [2 * (3.0 - 1.0) - 1.0, 2.0 / total, exp(1.0) / total, exp(2.0) / total]
    assert result.gradient.flatten().tolist() == pytest.approx(expected)


def random_inputs(seed):
    """Values, target, log-densities and floor."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    values = normal(RUNS, CRITICS, BATCH, 1 + 3 * ACTIONS)
    return values, normal(RUNS, BATCH), normal(RUNS, BATCH, 3 * ACTIONS), normal(RUNS, BATCH)


@given(
    seed=st.integers(0, 10_000),
    form=st.sampled_from(["soft_maximum", "expectation"]),
    importance_sampling=st.booleans(),
    lagrange=st.booleans(),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    clip=st.sampled_from([(-inf, inf), (-0.5, inf), (-0.2, 1.0)]),
    calibrated=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_written_gradients_are_those_of_autograd(
    seed, form, importance_sampling, lagrange, temperature, clip, calibrated
):
    values, target, log_density, floor = random_inputs(seed)
    if not calibrated:
        floor = torch.full_like(floor, -inf)
    numbers = scalars(temperature=temperature, difference_min=clip[0], difference_max=clip[1])
    leaf = values.requires_grad_()
    numbers.log_multiplier.requires_grad_()
    result = critic_loss(leaf, target, log_density, floor, CriticLossForm(form, importance_sampling, lagrange), numbers)
    (expected,) = torch.autograd.grad(result.loss.sum(), leaf, retain_graph=True)
    torch.testing.assert_close(result.gradient.detach(), expected, rtol=1e-9, atol=1e-12)
    if lagrange:
        (of_multiplier,) = torch.autograd.grad(result.lagrange_loss.sum(), numbers.log_multiplier)
        torch.testing.assert_close(result.lagrange_gradient.detach(), of_multiplier)


@given(seed=st.integers(0, 10_000), rise=st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_higher_floor_never_pushes_harder(seed, rise):
    values, target, log_density, floor = random_inputs(seed)
    form = CriticLossForm("soft_maximum", True, False)

    def pushed(level):
        return critic_loss(values, target, log_density, level, form, scalars()).gradient[..., 1:]

    assert (pushed(floor + rise) <= pushed(floor) + 1e-12).all()


def test_the_floor_leaves_uniform_and_data_actions_alone():
    values, target, log_density, _ = random_inputs(0)
    high = torch.full((RUNS, BATCH), 100.0, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False)
    gradient = critic_loss(values, target, log_density, high, form, scalars()).gradient
    of_data, uniform, policy = gradient.split((1, ACTIONS, 2 * ACTIONS), dim=-1)
    assert (policy == 0).all()
    assert (uniform > 0).all()
    td = 2.0 / BATCH * (values[..., 0] - target[:, None])
    torch.testing.assert_close(of_data.squeeze(-1), td - 5.0 / BATCH)


def test_bound_rates_count_values_below_the_floor():
    values, target, log_density, floor = random_inputs(3)
    form = CriticLossForm("soft_maximum", True, False)
    result = critic_loss(values, target, log_density, floor, form, scalars())
    run, critic = 1, 0
    below = sum(
        values[run, critic, state, 1 + ACTIONS + action].item() < floor[run, state].item()
        for state in range(BATCH)
        for action in range(ACTIONS)
    )
    assert result.bound_rate_current[run, critic].item() == pytest.approx(below / (BATCH * ACTIONS))
