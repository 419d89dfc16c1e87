"""Aggregates on small arrays worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.statistics.aggregates import (
    iqm,
    iqm_difference,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
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
        each = [statistic([task[study] for task in tasks]) for study in range(3)]
        assert statistic(tasks) == pytest.approx(each)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6))
def test_probabilities_of_improvement_of_two_arms_add_up(pairs):
    task = np.array(pairs, dtype=float)
    ours, theirs = probability_of_improvement([task]), probability_of_improvement([task[:, ::-1]])
    assert ours + theirs == pytest.approx(1.0)
    wins = [(a > b) + 0.5 * (a == b) for a in task[:, 0] for b in task[:, 1]]
    assert ours == pytest.approx(np.mean(wins))
