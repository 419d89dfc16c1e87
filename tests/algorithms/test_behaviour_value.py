"""The learned floor: it fits a known value, stops early and does not depend on the other runs of a pack."""

import pytest
import torch

from algorithms import behaviour_value
from algorithms.behaviour_value import BehaviourValue
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
