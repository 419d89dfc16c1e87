"""The learned floor: it fits a known value, stops early and does not depend on the other runs of a pack."""

import pytest
import torch

from algorithms import behaviour_value
from algorithms.behaviour_value import BehaviourValue, Successors, td_steps
from algorithms.settings import BehaviourValueSettings
from harness.training.streams import generator, normal_source, uniform_source

STATES = normal_source(generator(0, "states"))(2000, 3)
# The return is a function of the state plus unpredictable noise.
SIGNAL = 5.0 * STATES[:, 0] - 3.0 * STATES[:, 1].abs() - 40.0
NOISE = normal_source(generator(0, "noise"))(2000)
HELD_OUT = torch.arange(2000) % 5 == 0


def fit(seeds, noise=2.0, **settings):
    settings = BehaviourValueSettings(hidden=(32, 32), **settings)
    returns = torch.stack([SIGNAL + noise * NOISE for _ in seeds])
    value = BehaviourValue(settings, STATES, returns, [normal_source(generator(seed, "init")) for seed in seeds])
    held_out = HELD_OUT.expand(len(seeds), -1)
    uniforms = [uniform_source(generator(seed, "batch")) for seed in seeds]
    return value, value.fit(STATES, returns, held_out, uniforms)


def test_it_learns_the_predictable_part():
    value, (report,) = fit([0])
    # The standard deviation of the noise, 2, is a lower bound of the error.
    assert 1.9 < report.held_out_rmse < 2.3
    variance = float((SIGNAL + 2.0 * NOISE)[HELD_OUT].var(correction=0))
    assert report.held_out_r2 == pytest.approx(1 - report.held_out_rmse**2 / variance)
    assert (value.values(STATES[None])[0] - SIGNAL).abs().mean() < 0.8


def test_the_reported_error_is_that_of_the_best_parameters():
    value, (report,) = fit([0])
    error = value.values(STATES[HELD_OUT][None])[0] - (SIGNAL + 2.0 * NOISE)[HELD_OUT]
    assert report.held_out_rmse == pytest.approx(error.square().mean().sqrt().item(), rel=1e-4)


def test_it_stops_before_it_overfits():
    _, (report,) = fit([0], noise=20.0, patience=2, check_interval=50, max_steps=3000)
    assert report.steps < 2000


def test_a_fit_does_not_depend_on_the_other_runs():
    """Nor do later steps, although the other runs stop after different numbers of steps."""
    options = {"noise": 20.0, "patience": 1, "check_interval": 20}
    alone, (report,) = fit([3], **options)
    packed, reports = fit([1, 3, 2, 4], **options)
    assert len({packed_report.steps for packed_report in reports}) > 1
    assert reports[1] == report
    for value, runs in ((alone, 1), (packed, 4)):
        value.step(STATES.expand(runs, -1, -1), SIGNAL.expand(runs, -1))
    assert torch.equal(packed.parameters.flat[1], alone.parameters.flat[0])


def test_a_fit_on_a_device_is_that_of_a_copy():
    """A GPU fits a copy of the networks; the networks themselves stay as they are."""
    settings = BehaviourValueSettings(hidden=(8,), max_steps=40, check_interval=20)
    returns = SIGNAL[None]
    original = BehaviourValue(settings, STATES, returns, [normal_source(generator(3, "init"))])
    before, copy = original.parameters.flat.clone(), original.on("cpu")
    reports = [
        value.fit(STATES, returns, HELD_OUT[None], [uniform_source(generator(3, "batch"))])
        for value in (copy, original.on("cpu"))
    ]
    assert torch.equal(original.parameters.flat, before)
    assert reports == [original.fit(STATES, returns, HELD_OUT[None], [uniform_source(generator(3, "batch"))])] * 2
    assert torch.equal(copy.parameters.flat, original.parameters.flat)
    assert not torch.equal(copy.parameters.flat, before)
    assert copy.values(STATES[None, :5]).equal(original.values(STATES[None, :5]))


def test_further_steps_on_new_returns_change_the_value():
    value, _ = fit([0], max_steps=200)
    before = (value.values(STATES[None]) + 10.0).abs().mean()
    for _ in range(200):
        value.step(STATES[None], torch.full((1, 2000), -10.0))
    assert (value.values(STATES[None]) + 10.0).abs().mean() < 0.2 * before


def test_values_do_not_depend_on_the_split_into_forward_passes(monkeypatch):
    value, _ = fit([0, 1], max_steps=20)
    states = torch.stack([STATES, STATES.flip(0)])
    expected = value.values(states)
    monkeypatch.setattr(behaviour_value, "FORWARD_ROWS", 300)
    torch.testing.assert_close(value.values(states), expected)
    torch.testing.assert_close(value.values(states[:1], run=1)[0], value.values(STATES.expand(2, -1, -1))[1])


@pytest.mark.parametrize("settings", [{"estimator": "expectile", "level": 0.5}, {"estimator": "td", "td_lambda": 1.0}])
def test_special_cases_equal_regression(settings):
    expected, (report,) = fit([0], max_steps=200)
    value, (same,) = fit([0], max_steps=200, **settings)
    assert torch.equal(value.parameters.flat, expected.parameters.flat)
    assert same == report


def test_the_held_out_bias_is_that_of_the_kept_parameters():
    value, (report,) = fit([0], max_steps=100)
    error = value.values(STATES[HELD_OUT][None])[0] - (SIGNAL + 2.0 * NOISE)[HELD_OUT]
    assert report.held_out_bias == pytest.approx(error.mean().item(), abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"estimator": "quantile", "level": 0.5}, 0.5),
        ({"estimator": "quantile", "level": 0.9}, 0.9),
        # The expectile 0.9 of a normal distribution is 0.861 standard deviations above its mean.
        ({"estimator": "expectile", "level": 0.9}, 0.805),
        ({"estimator": "expectile", "level": 0.1}, 0.195),
    ],
)
def test_quantiles_and_expectiles_lie_above_their_share_of_the_returns(settings, share):
    value, _ = fit([0], noise=5.0, **settings)
    estimates = value.values(STATES[HELD_OUT][None])[0]
    assert (estimates > (SIGNAL + 5.0 * NOISE)[HELD_OUT]).float().mean().item() == pytest.approx(share, abs=0.08)


def test_quantile_and_expectile_losses_worked_by_hand():
    error = torch.tensor([-2.0, 3.0])
    for estimator, expected in (("expectile", [7.2, 1.8]), ("quantile", [3.6, 0.6])):
        settings = BehaviourValueSettings(estimator=estimator, level=0.9)
        value = BehaviourValue(settings, STATES, SIGNAL[None], [normal_source(generator(0, "init"))])
        torch.testing.assert_close(value.loss(error), torch.tensor(expected))


# A trajectory of three steps that terminates, and one of two that is cut, with discount 0.5 and rewards 1 to 5.
CHAIN = Successors(
    next_states=torch.tensor([[1.0], [2.0], [3.0], [11.0], [12.0]]),
    terminated=torch.tensor([False, False, True, False, False]),
    ends=torch.tensor([2, 2, 2, 4, 4]),
    sums=torch.tensor([2.75, 3.5, 3.0, 6.5, 5.0], dtype=torch.float64),
    discount=0.5,
)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # r + V(s') / 2, with V(s) = 10 s; no value after a terminal; a cut bootstraps.
        (1, [1 + 5.0, 2 + 10.0, 3.0, 4 + 55.0, 5 + 60.0]),
        (2, [1 + 2 / 2 + 20.0 / 4, 2 + 3 / 2, 3.0, 4 + 5 / 2 + 120.0 / 4, 5 + 60.0]),
        (9, [2.75, 3.5, 3.0, 6.5 + 30.0, 65.0]),
    ],
)
def test_temporal_difference_targets_worked_by_hand(steps, expected):
    rows = torch.arange(5)[None]
    targets = CHAIN.targets(rows, torch.full_like(rows, steps), lambda states: 10.0 * states[..., 0])
    assert targets[0].tolist() == expected


def test_steps_are_geometric():
    uniform = uniform_source(generator(0, "steps"))(100_000)
    assert td_steps(uniform, 0.0).unique().tolist() == [1]
    steps = td_steps(uniform, 0.75)
    assert steps.min() == 1
    for n in (1, 2, 3):
        assert (steps == n).float().mean().item() == pytest.approx(0.25 * 0.75 ** (n - 1), abs=0.01)


@pytest.mark.parametrize("td_lambda", [0.0, 0.8])
def test_temporal_differences_learn_the_value_of_a_random_walk(td_lambda):
    """Five states in a row; the walk ends with reward 1 on the right and -1 on the left (Sutton's random walk)."""
    discount, count = 0.9, 5
    moves = (torch.diag(torch.ones(4), 1) + torch.diag(torch.ones(4), -1)).double() / 2
    ends = torch.tensor([-0.5, 0.0, 0.0, 0.0, 0.5], dtype=torch.float64)
    exact = torch.linalg.solve(torch.eye(count, dtype=torch.float64) - discount * moves, ends)
    rng = generator(0, "walk")
    states, following, rewards, terminated, last = [], [], [], [], []
    for _ in range(1500):
        state, start = int(rng.integers(count)), len(states)
        while 0 <= state < count:
            step = state + (1 if rng.random() < 0.5 else -1)
            states.append(state)
            following.append(min(max(step, 0), count - 1))
            terminated.append(not 0 <= step < count)
            rewards.append((1.0 if step > 0 else -1.0) * terminated[-1])
            state = step
        last += [len(states) - 1] * (len(states) - start)
    sums = list(rewards)
    for row in reversed(range(len(sums))):
        if not terminated[row]:
            sums[row] = rewards[row] + discount * sums[row + 1]
    one_hot = torch.eye(count)
    successors = Successors(
        one_hot[following], torch.tensor(terminated), torch.tensor(last), torch.tensor(sums).double(), discount
    )
    settings = BehaviourValueSettings(
        hidden=(32,), estimator="td", td_lambda=td_lambda, max_steps=1500, patience=100, learning_rate=3e-3
    )
    returns = torch.tensor(sums)[None]
    value = BehaviourValue(settings, one_hot[states], returns, [normal_source(generator(0, "init"))])
    held_out = (torch.tensor(last) % 5 == 0)[None]
    value.fit(one_hot[states], returns, held_out, [uniform_source(generator(0, "batch"))], successors=successors)
    estimates = value.values(one_hot[None])[0]
    torch.testing.assert_close(estimates, exact.float(), atol=0.06, rtol=0.0)
