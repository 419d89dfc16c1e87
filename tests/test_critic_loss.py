"""The critic loss: the tutorial's numbers, autograd as a judge of the gradients, and what a floor must never do."""

from math import exp, inf, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import CriticLossForm, CriticLossScalars, CriticValues, critic_loss

RUNS, CRITICS, BATCH, ACTIONS, ACTION_DIM = 2, 2, 5, 3, 2


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
    """A single state, policy action and critic; TD error zero; the data action far away at 0."""
    at = torch.full((1, 1, 1, 1), value, dtype=torch.float64)
    far = torch.full_like(at, -1e6)
    data = torch.zeros(1, 1, 1, dtype=torch.float64)
    none = torch.zeros(1, 1, 1, dtype=torch.float64)
    return critic_loss(
        CriticValues(data, far, at, far),
        data[:, 0],
        none,
        none,
        torch.tensor([[floor]], dtype=torch.float64),
        ACTION_DIM,
        CriticLossForm(form, True, False),
        scalars(runs=1, alpha=1.0),
    )


@pytest.mark.parametrize("form", ["expectation", "soft_maximum"])
class TestTutorial:
    """One value of pi(.|s) against a floor; in the soft maximum the value of pi(.|s') lies at the floor beside it."""

    def test_above_the_floor_a_value_is_pushed_down(self, form):
        share = 1.0 if form == "expectation" else 1.0 / (1.0 + exp(-3.0))
        assert one_value(-7.0, -10.0, form).gradient.current.item() == pytest.approx(share)

    def test_below_the_floor_nothing_pushes(self, form):
        result = one_value(-35.0, -10.0, form)
        assert result.gradient.current.item() == 0.0
        assert result.difference.item() == pytest.approx(-10.0 if form == "expectation" else -10.0 + log(2.0))
        assert result.bound_rate_current.item() == 1.0

    def test_at_the_floor_nothing_pushes(self, form):
        assert one_value(-10.0, -10.0, form).gradient.current.item() == 0.0

    def test_without_a_floor_the_push_down_has_no_end(self, form):
        assert one_value(-35.0, -inf, form).gradient.current.item() == pytest.approx(1.0)


def test_the_soft_maximum_by_hand():
    # Values 0 (uniform), 1 (pi at s), 2 (pi at s'); log-probabilities 0; uniform density 1/2 per action dimension.
    shape = (1, 1, 1, 1)
    values = CriticValues(
        torch.tensor([[[3.0]]]), torch.full(shape, 0.0), torch.full(shape, 1.0), torch.full(shape, 2.0)
    )
    zero = torch.zeros(1, 1, 1)
    single = {name: value.float() for name, value in vars(scalars(runs=1, alpha=1.0)).items()}
    result = critic_loss(
        values,
        torch.tensor([[1.0]]),
        zero,
        zero,
        torch.tensor([[-inf]]),
        1,
        CriticLossForm("soft_maximum", True, False),
        CriticLossScalars(**single),
    )
    total = exp(log(2.0)) + exp(1.0) + exp(2.0)
    assert result.difference.item() == pytest.approx(log(total) - 3.0)
    assert result.loss.item() == pytest.approx((3.0 - 1.0) ** 2 + log(total) - 3.0)
    assert result.gradient.following.item() == pytest.approx(exp(2.0) / total)
    assert result.gradient.data.item() == pytest.approx(2 * (3.0 - 1.0) - 1.0)


def random_inputs(seed, floor_at=0.0):
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    values = CriticValues(
        normal(RUNS, CRITICS, BATCH),
        normal(RUNS, CRITICS, BATCH, ACTIONS),
        normal(RUNS, CRITICS, BATCH, ACTIONS),
        normal(RUNS, CRITICS, BATCH, ACTIONS),
    )
    log_prob = normal(RUNS, BATCH, ACTIONS), normal(RUNS, BATCH, ACTIONS)
    return values, normal(RUNS, BATCH), *log_prob, normal(RUNS, BATCH) + floor_at


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
    values, target, current, following, floor = random_inputs(seed)
    if not calibrated:
        floor = torch.full_like(floor, -inf)
    numbers = scalars(temperature=temperature, difference_min=clip[0], difference_max=clip[1])
    leaf = values.join().requires_grad_()
    numbers.log_multiplier.requires_grad_()
    result = critic_loss(
        CriticValues.split(leaf),
        target,
        current,
        following,
        floor,
        ACTION_DIM,
        CriticLossForm(form, importance_sampling, lagrange),
        numbers,
    )
    (expected,) = torch.autograd.grad(result.loss.sum(), leaf, retain_graph=True)
    torch.testing.assert_close(result.gradient.join().detach(), expected, rtol=1e-9, atol=1e-12)
    if lagrange:
        (of_multiplier,) = torch.autograd.grad(result.lagrange_loss.sum(), numbers.log_multiplier)
        torch.testing.assert_close(result.lagrange_gradient.detach(), of_multiplier)


@given(seed=st.integers(0, 10_000), rise=st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_higher_floor_never_pushes_harder(seed, rise):
    values, target, current, following, floor = random_inputs(seed)
    form = CriticLossForm("soft_maximum", True, False)

    def pushed(level):
        gradient = critic_loss(values, target, current, following, level, ACTION_DIM, form, scalars()).gradient
        return torch.cat((gradient.current, gradient.following, gradient.uniform), dim=-1)

    assert (pushed(floor + rise) <= pushed(floor) + 1e-12).all()


def test_the_floor_leaves_uniform_and_data_actions_alone():
    values, target, current, following, _ = random_inputs(0)
    high = torch.full((RUNS, BATCH), 100.0, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False)
    gradient = critic_loss(values, target, current, following, high, ACTION_DIM, form, scalars()).gradient
    assert (gradient.current == 0).all()
    assert (gradient.following == 0).all()
    assert (gradient.uniform > 0).all()
    td = 2.0 / BATCH * (values.data - target[:, None])
    torch.testing.assert_close(gradient.data, td - 5.0 / BATCH)


def test_bound_rates_count_values_below_the_floor():
    values, target, current, following, floor = random_inputs(3)
    form = CriticLossForm("soft_maximum", True, False)
    result = critic_loss(values, target, current, following, floor, ACTION_DIM, form, scalars())
    run, critic = 1, 0
    below = sum(
        values.current[run, critic, state, action].item() < floor[run, state].item()
        for state in range(BATCH)
        for action in range(ACTIONS)
    )
    assert result.bound_rate_current[run, critic].item() == pytest.approx(below / (BATCH * ACTIONS))
