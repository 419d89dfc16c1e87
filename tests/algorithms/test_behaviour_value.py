"""The learned floor: it learns a known value, stops in time, and does not depend on its company."""

import pytest
import torch

from algorithms import behaviour_value
from algorithms.behaviour_value import BehaviourValue
from algorithms.settings import BehaviourValueSettings
from harness.training.streams import generator, normal_source, uniform_source

STATES = normal_source(generator(0, "states"))(2000, 3)
# A return that is a function of the state plus noise that nobody can predict.
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


def test_it_learns_what_can_be_learned():
    value, (report,) = fit([0])
    # The noise has standard deviation 2: nothing predicts better, and little should be lost on top.
    assert 1.9 < report.held_out_rmse < 2.3
    variance = float((SIGNAL + 2.0 * NOISE)[HELD_OUT].var(correction=0))
    assert report.held_out_r2 == pytest.approx(1 - report.held_out_rmse**2 / variance)
    assert (value.values(STATES[None])[0] - SIGNAL).abs().mean() < 0.8


def test_the_reported_error_is_that_of_the_kept_parameters():
    value, (report,) = fit([0])
    error = value.values(STATES[HELD_OUT][None])[0] - (SIGNAL + 2.0 * NOISE)[HELD_OUT]
    assert report.held_out_rmse == pytest.approx(error.square().mean().sqrt().item(), rel=1e-4)


def test_it_stops_before_it_learns_the_noise_by_heart():
    _, (report,) = fit([0], noise=20.0, patience=2, check_interval=50, max_steps=3000)
    assert report.steps < 2000


def test_a_fit_does_not_depend_on_its_company():
    """Nor does what is learned later, although the company stops at another time."""
    options = {"noise": 20.0, "patience": 1, "check_interval": 20}
    alone, (report,) = fit([3], **options)
    packed, reports = fit([1, 3, 2, 4], **options)
    assert len({own.steps for own in reports}) > 1
    assert reports[1] == report
    for value, runs in ((alone, 1), (packed, 4)):
        value.step(STATES.expand(runs, -1, -1), SIGNAL.expand(runs, -1))
    assert torch.equal(packed.parameters.flat[1], alone.parameters.flat[0])


def test_more_steps_on_new_returns_move_the_value():
    value, _ = fit([0], max_steps=200)
    before = (value.values(STATES[None]) + 10.0).abs().mean()
    for _ in range(200):
        value.step(STATES[None], torch.full((1, 2000), -10.0))
    assert (value.values(STATES[None]) + 10.0).abs().mean() < 0.2 * before


def test_values_of_many_states_are_those_of_their_parts(monkeypatch):
    value, _ = fit([0, 1], max_steps=20)
    states = torch.stack([STATES, STATES.flip(0)])
    whole = value.values(states)
    monkeypatch.setattr(behaviour_value, "FORWARD_ROWS", 300)
    torch.testing.assert_close(value.values(states), whole)
    torch.testing.assert_close(value.values(states[:1], run=1)[0], value.values(STATES.expand(2, -1, -1))[1])
