"""The Bellman target and the critic loss: values computed by hand, gradients against autograd, properties of floors."""

from math import exp, inf, log

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import (
    CriticLossForm,
    CriticLossScalars,
    TargetInputs,
    bellman_target,
    critic_loss,
    lagrange_multiplier,
    raw_multiplier,
    uniform_log_density,
)

# One run, two critics, one state, three candidate actions. Minima over critics: 1, 2, 0; maxima over actions: 5, 4.
NEXT_VALUES = torch.tensor([[[[1.0, 2.0, 5.0]], [[4.0, 3.0, 0.0]]]])
NEXT_LOG_PROB = torch.tensor([[[10.0, 20.0, 30.0]]])


def target(max_backup, temperature=None, terminal=0.0, values=NEXT_VALUES, log_prob=NEXT_LOG_PROB):
    entropy = None if temperature is None else torch.tensor([temperature])
    reward, terminal = torch.tensor([[1.0]]), torch.tensor([[terminal]])
    inputs = TargetInputs(reward, terminal, torch.tensor([0.5]), values, log_prob, max_backup, entropy)
    return bellman_target(inputs).item()


def test_min_then_max_backup():
    assert target("min_then_max") == 1 + 0.5 * 2


def test_max_then_min_backup():
    assert target("max_then_min") == 1 + 0.5 * 4


@pytest.mark.parametrize("kind", ["off", "mean_action"])
def test_backup_of_one_action(kind):
    assert target(kind, values=NEXT_VALUES[..., :1], log_prob=NEXT_LOG_PROB[..., :1]) == 1 + 0.5 * 1


@pytest.mark.parametrize(("order", "value"), [("min_then_max", 2 - 0.1 * 20), ("max_then_min", 4 - 0.1 * 10)])
def test_the_target_includes_the_entropy_of_the_chosen_action(order, value):
    assert target(order, temperature=0.1) == pytest.approx(1 + 0.5 * value)


def test_a_terminal_transition_has_no_next_value():
    assert target("min_then_max", terminal=1.0) == 1.0


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
    """The loss of one state, policy action and critic; zero TD error, data action 0, other values negligible."""
    values = torch.tensor([[[[0.0, -1e6, value, -1e6]]]], dtype=torch.float64)
    target = torch.zeros(1, 1, dtype=torch.float64)
    floors = torch.tensor([[floor]], dtype=torch.float64)
    density = torch.zeros(1, 1, 3, dtype=torch.float64)
    return critic_loss(values, target, density, floors, CriticLossForm(form, True, False), scalars(1, alpha=1.0))


def current_gradient(result):
    """Gradient with respect to the single value of pi(.|s)."""
    return result.gradient[0, 0, 0, 2].item()


@pytest.mark.parametrize("form", ["expectation", "soft_maximum"])
class TestFloorOfOneValue:
    """One value of pi(.|s) and a floor; the soft maximum also has the value of pi(.|s'), raised to the floor."""

    def test_a_value_above_the_floor_is_pushed_down(self, form):
        share = 1.0 if form == "expectation" else 1.0 / (1.0 + exp(-3.0))
        assert current_gradient(one_value(-7.0, -10.0, form)) == pytest.approx(share)

    def test_a_value_below_the_floor_has_no_gradient(self, form):
        result = one_value(-35.0, -10.0, form)
        assert current_gradient(result) == 0.0
        assert result.difference.item() == pytest.approx(-10.0 if form == "expectation" else -10.0 + log(2.0))
        assert result.bound_rate_current.item() == 1.0

    def test_a_value_at_the_floor_has_no_gradient(self, form):
        assert current_gradient(one_value(-10.0, -10.0, form)) == 0.0

    def test_without_a_floor_the_push_down_is_unbounded(self, form):
        assert current_gradient(one_value(-35.0, -inf, form)) == pytest.approx(1.0)


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


def test_the_lagrange_loss_of_three_critics_by_hand():
    """Data values 1, 2, 4 with target 1, one action of pi(.|s) with values 3, 3, 9: differences 2, 1, 5, gap 0.5.

    The loss sums over critics: TD errors 0 + 1 + 9, excess 1.5 + 0.5 + 4.5 = 6.5 times multiplier 1. The multiplier's
    gradient is minus the mean excess.
    """
    values = torch.tensor([[[[1.0, 0.0, 3.0, 0.0]], [[2.0, 0.0, 3.0, 0.0]], [[4.0, 0.0, 9.0, 0.0]]]])
    result = critic_loss(
        values.double(),
        torch.ones(1, 1, dtype=torch.float64),
        torch.zeros(1, 1, 3, dtype=torch.float64),
        torch.full((1, 1), -inf, dtype=torch.float64),
        CriticLossForm("expectation", True, True, lagrange_alpha="nothing"),
        scalars(1, target_action_gap=0.5, raw_multiplier=0.0),
    )
    assert result.loss.item() == pytest.approx(10 + 6.5)
    assert result.td_error.item() == pytest.approx(10 / 3)
    assert result.difference.item() == pytest.approx(8 / 3)
    assert result.lagrange_loss.item() == pytest.approx(-6.5 / 3)
    assert result.lagrange_gradient.item() == pytest.approx(-6.5 / 3)
    assert result.gradient[0, :, 0, 0].tolist() == pytest.approx([2 * 0 - 1, 2 * 1 - 1, 2 * 3 - 1])


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
def test_gradients_equal_autograd(seed, form, temperature, clip, calibrated):
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
def test_gradients_equal_finite_differences(seed, form, run):
    """Central differences of the loss in float64 with respect to every value of a run, away from kinks."""
    values, target, log_density, floor = random_inputs(seed)
    step = 1e-6
    terms = torch.cat((values[..., 1:], values[..., 1:] - log_density[:, None]), -1)
    near_a_kink = (terms - floor[:, None, :, None]).abs().amin()
    current = values[..., 1 + ACTIONS : 1 + 2 * ACTIONS].mean(-1)
    assume(min(near_a_kink, (current - floor[:, None]).abs().amin()) > 10 * step)
    perturbations = step * torch.eye(values[run].numel(), dtype=torch.float64).view(-1, *values[run].shape)

    def losses(perturbed):
        """Losses of perturbed copies of the run's values, as a pack."""
        copies = len(perturbed)
        inputs = [tensor[run].expand(copies, *tensor[run].shape) for tensor in (target, log_density, floor)]
        return critic_loss(perturbed, *inputs, form, scalars(copies)).loss

    expected = (losses(values[run] + perturbations) - losses(values[run] - perturbations)) / (2 * step)
    result = critic_loss(values, target, log_density, floor, form, scalars())
    torch.testing.assert_close(result.gradient[run].flatten(), expected, rtol=1e-5, atol=1e-7)


@given(seed=st.integers(0, 10_000), form=FORMS)
@settings(max_examples=40, deadline=None)
def test_permuting_a_batch_permutes_the_gradient(seed, form):
    inputs = random_inputs(seed)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(seed))
    values, *columns = inputs
    original = critic_loss(*inputs, form, scalars())
    permuted = critic_loss(values[:, :, order], *(column[:, order] for column in columns), form, scalars())
    torch.testing.assert_close(permuted.loss, original.loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(permuted.gradient, original.gradient[:, :, order], rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10_000), form=FORMS, other_seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_another_run_in_the_pack_changes_no_bit(seed, form, other_seed):
    inputs, other = random_inputs(seed), random_inputs(other_seed)
    alone = critic_loss(*inputs, form, scalars())
    together = critic_loss(*(torch.cat(pair) for pair in zip(inputs, other, strict=True)), form, scalars(2 * RUNS))
    assert torch.equal(together.loss[:RUNS], alone.loss)
    assert torch.equal(together.gradient[:RUNS], alone.gradient)
    assert torch.equal(together.lagrange_gradient[:RUNS], alone.lagrange_gradient)


@given(seed=st.integers(0, 10_000), form=FORMS)
@settings(max_examples=40, deadline=None)
def test_a_floor_of_minus_infinity_is_cql(seed, form):
    """Compared with the CQL regulaincreaser in its usual form, without a floor."""
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


@given(seed=st.integers(0, 10_000), form=FORMS, increase=st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_higher_floor_never_pushes_harder(seed, form, increase):
    values, target, log_density, floor = random_inputs(seed)

    def gradient(level):
        return critic_loss(values, target, log_density, level, form, scalars()).gradient[..., 1:]

    assert (gradient(floor + increase) <= gradient(floor) + 1e-12).all()


def test_masking_by_expectation_bounds_only_the_mean():
    """Values -4 and -20 of pi(.|s), with mean -12, and floors of -13, -12 and -10."""
    values = torch.tensor([0.0, -1e6, -1e6, -4.0, -20.0, -1e6, -1e6], dtype=torch.float64).expand(1, 1, 3, 7)
    floor = torch.tensor([[-13.0, -12.0, -10.0]], dtype=torch.float64)
    zeros = torch.zeros(1, 3, 6, dtype=torch.float64)
    target = torch.zeros(1, 3, dtype=torch.float64)

    def gradients(form, masking):
        options = CriticLossForm(form, True, False, masking)
        return 3 * critic_loss(values, target, zeros, floor, options, scalars(1, alpha=1.0)).gradient[0, 0, :, 3:5]

    assert gradients("expectation", "expectation").tolist() == [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
    assert gradients("expectation", "per_action").tolist() == [[0.5, 0.0], [0.5, 0.0], [0.5, 0.0]]
    high, low = 1 / (1 + exp(-16.0)), exp(-16.0) / (1 + exp(-16.0))
    torch.testing.assert_close(
        gradients("soft_maximum", "expectation"),
        torch.tensor([[high, low], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64),
    )


def test_the_floor_does_not_apply_to_uniform_and_data_actions():
    values, target, log_density, _ = random_inputs(0)
    high = torch.full((RUNS, BATCH), 100.0, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False)
    gradient = critic_loss(values, target, log_density, high, form, scalars()).gradient
    of_data, uniform, policy = gradient.split((1, ACTIONS, 2 * ACTIONS), dim=-1)
    assert (policy == 0).all()
    assert (uniform > 0).all()
    td = 2.0 / BATCH * (values[..., 0] - target[:, None])
    torch.testing.assert_close(of_data.squeeze(-1), td - 5.0 / BATCH)


def test_the_floor_applies_to_uniform_actions_with_floor_uniform():
    values, target, log_density, _ = random_inputs(0)
    high = torch.full((RUNS, BATCH), 100.0, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False, floor_uniform=True)
    assert (critic_loss(values, target, log_density, high, form, scalars()).gradient[..., 1:] == 0).all()


def test_the_floor_bounds_values_minus_densities_with_floor_after_density():
    """Values of 1 with log-densities -3 (pi at s) and 3 (pi at s'), and a floor of 2."""

    def loss(floor_after_density):
        return critic_loss(
            torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], dtype=torch.float64),
            torch.zeros(1, 1, dtype=torch.float64),
            torch.tensor([[[uniform_log_density(1), -3.0, 3.0]]], dtype=torch.float64),
            torch.tensor([[2.0]], dtype=torch.float64),
            CriticLossForm("soft_maximum", True, False, floor_after_density=floor_after_density),
            scalars(1, alpha=1.0),
        )

    # The last of 0 + log 2, 1 + 3 and 1 - 3 is raised to 2; or both values are raised: 2 + 3 and 2 - 3.
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
    ("kind", "raw", "multiplier", "derivative"),
    [("exponential", log(2.0), 2.0, 2.0), ("softplus", log(exp(2.0) - 1.0), 2.0, 1.0 - exp(-2.0))],
)
def test_lagrange_forms_by_hand(alpha_of, weight, excess, kind, raw, multiplier, derivative):
    """One critic: difference 3, target action gap 0.8, alpha 5, multiplier 2."""
    result = critic_loss(
        torch.tensor([[[[0.0, 0.0, 3.0, 0.0]]]], dtype=torch.float64),
        torch.zeros(1, 1, dtype=torch.float64),
        torch.zeros(1, 1, 3, dtype=torch.float64),
        torch.full((1, 1), -inf, dtype=torch.float64),
        CriticLossForm("expectation", True, True, lagrange_alpha=alpha_of, lagrange_multiplier=kind),
        scalars(1, raw_multiplier=raw),
    )
    assert result.loss.item() == pytest.approx(multiplier * excess)
    assert result.lagrange_loss.item() == pytest.approx(-multiplier * excess)
    assert result.lagrange_gradient.item() == pytest.approx(-derivative * excess)
    assert current_gradient(result) == pytest.approx(multiplier * weight)


@pytest.mark.parametrize("kind", ["exponential", "softplus"])
@pytest.mark.parametrize("logarithm", [-900.0, -30.0, -2.0, 0.0, 1.0, 5.0, 13.0])
def test_raw_multiplier_inverts_lagrange_multiplier(kind, logarithm):
    raw = torch.tensor([raw_multiplier(logarithm, kind)], dtype=torch.float64)
    assert lagrange_multiplier(raw, kind).item() == pytest.approx(exp(logarithm), rel=1e-9)


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
