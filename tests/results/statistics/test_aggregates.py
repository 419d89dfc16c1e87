"""Aggregates on small arrays worked by hand; their bootstrap intervals against theory."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.statistics import aggregates
from results.statistics.aggregates import (
    iqm,
    iqm_difference,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    resampled,
    stratified_band,
    stratified_interval,
)

TWO_TASKS = [np.array([0.0, 0.2, 0.4, 9.0]), np.array([0.1, 0.3, 0.5, 0.6])]


def test_iqm_by_hand():
    # Of 0, .1, .2, .3, .4, .5, .6, 9 two are cut at either end: (.2 + .3 + .4 + .5) / 4.
    assert iqm(TWO_TASKS) == pytest.approx(0.35)
    # Of five one is cut at either end.
    assert iqm([np.array([1.0, 2.0, 6.0]), np.array([0.0, 100.0])]) == pytest.approx(3.0)


def test_optimality_gap_by_hand():
    # 9 counts as 1: what lacks is 1, .8, .6, 0, .9, .7, .5, .4.
    assert optimality_gap(TWO_TASKS) == pytest.approx(4.9 / 8)
    assert optimality_gap([np.array([1.0, 3.0])], target=2.0) == pytest.approx(0.5)


def test_probability_of_improvement_by_hand():
    # First task: 1 beats 0 and ties 1, 2 beats both: 3.5 of 4. Second: equal arms, a half.
    tasks = [np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]])]
    assert probability_of_improvement(tasks) == pytest.approx((3.5 / 4 + 0.5) / 2)


def test_performance_profile_is_the_share_above():
    shares = performance_profile(TWO_TASKS, [0.0, 0.3, 1.0, 10.0])
    assert list(shares) == [7 / 8, 4 / 8, 1 / 8, 0.0]


def test_iqm_difference_by_hand():
    # Middle halves 2, 3 and 20, 30.
    task = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])
    assert iqm_difference([task]) == pytest.approx(2.5 - 25.0)


@pytest.mark.parametrize("statistic", [iqm, optimality_gap, lambda tasks: performance_profile(tasks, [0.2, 0.7])])
def test_leading_axes_are_separate_studies(statistic):
    generator = np.random.default_rng(0)
    tasks = [generator.random((3, 4)), generator.random((3, 6))]
    together = statistic(tasks)
    assert together.shape[0] == 3
    for study, row in enumerate(together):
        assert row == pytest.approx(statistic([task[study] for task in tasks]))


def test_leading_axes_of_paired_arms():
    generator = np.random.default_rng(0)
    tasks = [generator.integers(0, 4, (3, n, 2)).astype(float) for n in (4, 6)]
    for statistic in (probability_of_improvement, iqm_difference):
        one_by_one = [statistic([task[study] for task in tasks]) for study in range(3)]
        assert statistic(tasks) == pytest.approx(one_by_one)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6))
def test_probabilities_of_improvement_of_two_arms_add_up(pairs):
    task = np.array(pairs, dtype=float)
    ours, theirs = probability_of_improvement([task]), probability_of_improvement([task[:, ::-1]])
    assert ours + theirs == pytest.approx(1.0)
    wins = [(a > b) + 0.5 * (a == b) for a in task[:, 0] for b in task[:, 1]]
    assert ours == pytest.approx(np.mean(wins))


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
    monkeypatch.setattr(aggregates, "PIECE", 18 * 1000)
    assert stratified_interval(tasks, iqm, generator()).low == pytest.approx(first.low, abs=0.01)


def test_a_band_has_a_value_per_threshold():
    tasks = list(np.random.default_rng(1).random((3, 6)))
    thresholds = [0.0, 0.5, 1.0]
    point, low, high = stratified_band(tasks, lambda resampled: performance_profile(resampled, thresholds), generator())
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
