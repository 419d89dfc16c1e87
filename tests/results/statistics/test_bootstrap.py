"""The stratified bootstrap: what is drawn, how wide it is, and that it comes out the same twice."""

import math

import numpy as np
import pytest
from scipy import stats

from results.statistics import bootstrap
from results.statistics.aggregates import iqm, performance_profile, probability_of_improvement
from results.statistics.bootstrap import resampled, stratified_band, stratified_interval


def generator():
    return np.random.default_rng(7)


def mean(tasks):
    return np.concatenate(tasks, axis=-1).mean(axis=-1)


def test_runs_are_drawn_within_their_task():
    tasks = [np.array([0.0, 0.0]), np.array([10.0, 10.0, 10.0])]
    interval = stratified_interval(tasks, mean, generator())
    assert (interval.mean, interval.low, interval.high) == (6.0, 6.0, 6.0)
    assert (interval.n, interval.method) == (5, "stratified bootstrap, 95%")


def test_seeds_of_two_arms_are_drawn_together():
    task = np.array([[0.0, 100.0], [1.0, 101.0], [5.0, 105.0]])
    interval = stratified_interval([task], lambda tasks: (tasks[0][..., 0] - tasks[0][..., 1]).mean(-1), generator())
    assert (interval.low, interval.high) == (-100.0, -100.0)


def test_many_runs_give_the_interval_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=(2, 200))
    interval = stratified_interval(list(values), mean, generator())
    error = math.sqrt(values.var(axis=1, ddof=1).mean() / 400)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.05)


def test_percentiles_are_moved_outwards_for_few_runs():
    # One task of 5 runs: standard deviation of the draws sqrt(4/5) s / sqrt 5; the t interval's is s / sqrt 5 times
    # 2.776. For nearly normal draws the moved percentiles give back the t interval; the plain ones only 0.63 of it.
    values = np.array([-1.0, -0.4, 0.0, 0.4, 1.0])
    moved = stratified_interval([values], mean, generator(), resamples=200_000)
    t_half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / math.sqrt(5)
    assert moved.high == pytest.approx(t_half, rel=0.12)
    plain = np.quantile(resampled([values], mean, generator(), 50_000), 0.975)
    assert plain < 0.7 * t_half


def test_the_same_generator_gives_the_same_interval_in_any_pieces(monkeypatch):
    tasks = list(np.random.default_rng(1).random((3, 6)))
    first = stratified_interval(tasks, iqm, generator())
    assert first == stratified_interval(tasks, iqm, generator())
    assert first != stratified_interval(tasks, iqm, np.random.default_rng(8))
    monkeypatch.setattr(bootstrap, "PIECE", 18 * 1000)
    assert stratified_interval(tasks, iqm, generator()).low == pytest.approx(first.low, abs=0.01)


def test_a_band_has_a_value_per_threshold():
    tasks = list(np.random.default_rng(1).random((3, 6)))
    thresholds = [0.0, 0.5, 1.0]
    point, low, high = stratified_band(tasks, lambda each: performance_profile(each, thresholds), generator())
    assert list(point) == list(performance_profile(tasks, thresholds))
    assert (low <= point).all()
    assert (point <= high).all()
    assert (low[0], high[0], low[2], high[2]) == (1.0, 1.0, 0.0, 0.0)


def test_numbers_that_do_not_apply_leave_their_row_out():
    nan = math.nan
    assert stratified_interval([[nan, 1.0, 3.0], [nan]], mean, generator()).mean == 2.0
    pairs = [[[1.0, 0.0], [nan, 5.0], [2.0, 0.0]]]
    interval = stratified_interval(pairs, probability_of_improvement, generator())
    assert (interval.mean, interval.n) == (1.0, 2)


def test_one_run_per_task_has_no_interval_and_none_no_value():
    alone = stratified_interval([[0.5], [0.7]], mean, generator())
    assert (alone.mean, alone.n, alone.method) == (pytest.approx(0.6), 2, "no interval")
    assert math.isnan(alone.low)
    none = stratified_interval([[], [math.nan]], mean, generator())
    assert math.isnan(none.mean)
    assert none.n == 0
    with pytest.raises(ValueError, match="no runs to resample"):
        stratified_band([[]], mean, generator())
