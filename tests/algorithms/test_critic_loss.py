"""The critic loss: the tutorial's numbers, autograd as a judge of the gradients, and what a floor must never do."""

from math import exp, inf, log

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import (
    CriticLossForm,
    CriticLossScalars,
    critic_loss,
    lagrange_multiplier,
    raw_multiplier,
    uniform_log_density,
)

RUNS, CRITICS, BATCH, ACTIONS = 2, 2, 5, 3


def scalars(runs=RUNS, **changes):
    numbers = {
        "alpha": 5.0,
        "temperature": 1.0,
        "target_action_gap": 0.8,
        "difference_min": -inf,
        "difference_max": inf,
        "raw_multiplier": 0.3,
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


FORMS = st.builds(
    CriticLossForm,
    form=st.sampled_from(["soft_maximum", "expectation"]),
    importance_sampling=st.booleans(),
    lagrange=st.booleans(),
    floor_masking=st.sampled_from(["per_action", "expectation"]),
    floor_uniform=st.booleans(),
    floor_after_density=st.booleans(),
    lagrange_alpha=st.sampled_from(["difference_and_gap", "difference", "nothing"]),
    lagrange_multiplier=st.sampled_from(["exponential", "softplus"]),
)


@given(
    seed=st.integers(0, 10_000),
    form=FORMS,
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    clip=st.sampled_from([(-inf, inf), (-0.5, inf), (-0.2, 1.0)]),
    calibrated=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_written_gradients_are_those_of_autograd(seed, form, temperature, clip, calibrated):
    values, target, log_density, floor = random_inputs(seed)
    if not calibrated:
        floor = torch.full_like(floor, -inf)
    numbers = scalars(temperature=temperature, difference_min=clip[0], difference_max=clip[1])
    leaf = values.requires_grad_()
    numbers.raw_multiplier.requires_grad_()
    result = critic_loss(leaf, target, log_density, floor, form, numbers)
    (expected,) = torch.autograd.grad(result.loss.sum(), leaf, retain_graph=True)
    torch.testing.assert_close(result.gradient.detach(), expected, rtol=1e-9, atol=1e-12)
    if form.lagrange:
        (of_multiplier,) = torch.autograd.grad(result.lagrange_loss.sum(), numbers.raw_multiplier)
        torch.testing.assert_close(result.lagrange_gradient.detach(), of_multiplier)


@given(seed=st.integers(0, 10_000), form=FORMS, run=st.integers(0, RUNS - 1))
@settings(max_examples=40, deadline=None)
def test_the_gradient_is_the_slope_of_the_loss(seed, form, run):
    """Central differences of the loss itself in float64, away from the kinks, in every value of one run."""
    values, target, log_density, floor = random_inputs(seed)
    step = 1e-6
    terms = torch.cat((values[..., 1:], values[..., 1:] - log_density[:, None]), -1)
    near_a_kink = (terms - floor[:, None, :, None]).abs().amin()
    current = values[..., 1 + ACTIONS : 1 + 2 * ACTIONS].mean(-1)
    assume(min(near_a_kink, (current - floor[:, None]).abs().amin()) > 10 * step)
    nudges = step * torch.eye(values[run].numel(), dtype=torch.float64).view(-1, *values[run].shape)

    def losses(moved):
        """One loss per moved copy of the run's values: a pack of copies."""
        copies = len(moved)
        inputs = [tensor[run].expand(copies, *tensor[run].shape) for tensor in (target, log_density, floor)]
        return critic_loss(moved, *inputs, form, scalars(copies)).loss

    expected = (losses(values[run] + nudges) - losses(values[run] - nudges)) / (2 * step)
    result = critic_loss(values, target, log_density, floor, form, scalars())
    torch.testing.assert_close(result.gradient[run].flatten(), expected, rtol=1e-5, atol=1e-7)


@given(seed=st.integers(0, 10_000), form=FORMS)
@settings(max_examples=40, deadline=None)
def test_the_order_of_a_batch_only_orders_the_gradient(seed, form):
    inputs = random_inputs(seed)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(seed))
    values, *columns = inputs
    straight = critic_loss(*inputs, form, scalars())
    permuted = critic_loss(values[:, :, order], *(column[:, order] for column in columns), form, scalars())
    torch.testing.assert_close(permuted.loss, straight.loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(permuted.gradient, straight.gradient[:, :, order], rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10_000), form=FORMS, company=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_another_run_in_the_pack_changes_no_bit(seed, form, company):
    own, other = random_inputs(seed), random_inputs(company)
    alone = critic_loss(*own, form, scalars())
    together = critic_loss(*(torch.cat(pair) for pair in zip(own, other, strict=True)), form, scalars(2 * RUNS))
    assert torch.equal(together.loss[:RUNS], alone.loss)
    assert torch.equal(together.gradient[:RUNS], alone.gradient)
    assert torch.equal(together.lagrange_gradient[:RUNS], alone.lagrange_gradient)


@given(seed=st.integers(0, 10_000), form=FORMS)
@settings(max_examples=40, deadline=None)
def test_a_floor_of_minus_infinity_is_cql(seed, form):
    """The CQL regulariser written in the usual way, without any floor."""
    values, target, log_density, floor = random_inputs(seed)
    result = critic_loss(values, target, log_density, torch.full_like(floor, -inf), form, scalars())
    data, sampled = values[..., 0], values[..., 1:]
    if form.form == "expectation":
        push_down = sampled[..., ACTIONS : 2 * ACTIONS].mean(-1)
    elif form.importance_sampling:
        push_down = torch.logsumexp(sampled - log_density[:, None], -1)
    else:
        push_down = torch.logsumexp(values, -1)
    excess = 5.0 * (push_down - data)
    if form.lagrange:
        multiplier = exp(0.3) if form.lagrange_multiplier == "exponential" else log(1.0 + exp(0.3))
        by_alpha = {
            "difference_and_gap": 5.0 * (push_down - data - 0.8),
            "difference": 5.0 * (push_down - data) - 0.8,
            "nothing": push_down - data - 0.8,
        }
        excess = multiplier * by_alpha[form.lagrange_alpha]
    squared = (data - target[:, None]).square()
    expected = (squared + excess).mean(-1).sum(-1)
    torch.testing.assert_close(result.loss, expected, rtol=1e-12, atol=1e-12)
    assert (result.bound_rate_current == 0).all()


@given(seed=st.integers(0, 10_000), form=FORMS, rise=st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_higher_floor_never_pushes_harder(seed, form, rise):
    values, target, log_density, floor = random_inputs(seed)

    def pushed(level):
        return critic_loss(values, target, log_density, level, form, scalars()).gradient[..., 1:]

    assert (pushed(floor + rise) <= pushed(floor) + 1e-12).all()


def test_the_floor_under_the_expectation_bounds_the_mean_alone():
    """Values -4 and -20 of pi(.|s): their mean of -12 against floors of -13, -12 and -10."""
    values = torch.tensor([0.0, -1e6, -1e6, -4.0, -20.0, -1e6, -1e6], dtype=torch.float64).expand(1, 1, 3, 7)
    floor = torch.tensor([[-13.0, -12.0, -10.0]], dtype=torch.float64)
    zeros = torch.zeros(1, 3, 6, dtype=torch.float64)
    target = torch.zeros(1, 3, dtype=torch.float64)

    def slopes(form, masking):
        switches = CriticLossForm(form, True, False, masking)
        return 3 * critic_loss(values, target, zeros, floor, switches, scalars(1, alpha=1.0)).gradient[0, 0, :, 3:5]

    assert slopes("expectation", "expectation").tolist() == [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
    assert slopes("expectation", "per_action").tolist() == [[0.5, 0.0], [0.5, 0.0], [0.5, 0.0]]
    high, low = 1 / (1 + exp(-16.0)), exp(-16.0) / (1 + exp(-16.0))
    torch.testing.assert_close(
        slopes("soft_maximum", "expectation"),
        torch.tensor([[high, low], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64),
    )


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


def test_the_floor_can_stand_under_uniform_actions_too():
    values, target, log_density, _ = random_inputs(0)
    high = torch.full((RUNS, BATCH), 100.0, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False, floor_uniform=True)
    assert (critic_loss(values, target, log_density, high, form, scalars()).gradient[..., 1:] == 0).all()


def test_the_floor_can_bound_values_less_their_densities():
    """Values 1 of pi at s, log-density -3, and of pi at s', log-density 3, against a floor of 2."""

    def loss(after):
        return critic_loss(
            torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], dtype=torch.float64),
            torch.zeros(1, 1, dtype=torch.float64),
            torch.tensor([[[uniform_log_density(1), -3.0, 3.0]]], dtype=torch.float64),
            torch.tensor([[2.0]], dtype=torch.float64),
            CriticLossForm("soft_maximum", True, False, floor_after_density=after),
            scalars(1, alpha=1.0),
        )

    # Of 0 + log 2, 1 + 3 and 1 - 3 the last is raised to 2; else both values are, to 2 + 3 and 2 - 3.
    total = 2.0 + exp(4.0) + exp(2.0)
    assert loss(True).difference.item() == pytest.approx(log(total))
    assert loss(True).gradient.flatten().tolist() == pytest.approx([-1.0, 2.0 / total, exp(4.0) / total, 0.0])
    total = 2.0 + exp(5.0) + exp(-1.0)
    assert loss(False).difference.item() == pytest.approx(log(total))
    assert loss(False).gradient.flatten().tolist() == pytest.approx([-1.0, 2.0 / total, 0.0, 0.0])


@pytest.mark.parametrize(
    ("alpha_of", "weight", "excess"),
    [("difference_and_gap", 5.0, 5.0 * (3.0 - 0.8)), ("difference", 5.0, 5.0 * 3.0 - 0.8), ("nothing", 1.0, 3.0 - 0.8)],
)
@pytest.mark.parametrize(
    ("kind", "learned", "multiplier", "slope"),
    [("exponential", log(2.0), 2.0, 2.0), ("softplus", log(exp(2.0) - 1.0), 2.0, 1.0 - exp(-2.0))],
)
def test_lagrange_forms_by_hand(alpha_of, weight, excess, kind, learned, multiplier, slope):
    """A difference of 3 against a gap of 0.8 with an alpha of 5 and a multiplier of 2."""
    result = critic_loss(
        torch.tensor([[[[0.0, 0.0, 3.0, 0.0]]]], dtype=torch.float64),
        torch.zeros(1, 1, dtype=torch.float64),
        torch.zeros(1, 1, 3, dtype=torch.float64),
        torch.full((1, 1), -inf, dtype=torch.float64),
        CriticLossForm("expectation", True, True, lagrange_alpha=alpha_of, lagrange_multiplier=kind),
        scalars(1, raw_multiplier=learned),
    )
    assert result.loss.item() == pytest.approx(multiplier * excess)
    assert result.lagrange_loss.item() == pytest.approx(-0.5 * multiplier * excess)
    assert result.lagrange_gradient.item() == pytest.approx(-0.5 * slope * excess)
    assert of_current(result) == pytest.approx(multiplier * weight)


@pytest.mark.parametrize("kind", ["exponential", "softplus"])
@pytest.mark.parametrize("logarithm", [-900.0, -30.0, -2.0, 0.0, 1.0, 5.0, 13.0])
def test_a_multiplier_starts_where_its_logarithm_says(kind, logarithm):
    learned = torch.tensor([raw_multiplier(logarithm, kind)], dtype=torch.float64)
    assert lagrange_multiplier(learned, kind).item() == pytest.approx(exp(logarithm), rel=1e-9)


def test_bound_rates_count_values_below_the_floor():
    values, target, log_density, floor = random_inputs(3)
    form = CriticLossForm("soft_maximum", True, False)
    result = critic_loss(values, target, log_density, floor, form, scalars())
    run, critics = 1, values.shape[1]
    below = sum(
        values[run, critic, state, 1 + ACTIONS + action].item() < floor[run, state].item()
        for critic in range(critics)
        for state in range(BATCH)
        for action in range(ACTIONS)
    )
    assert result.bound_rate_current[run].item() == pytest.approx(below / (critics * BATCH * ACTIONS))
