"""Dose and response, by hand and against SciPy where there are no ties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from results.statistics.trend import dose_response, page_p_value


def test_slopes_by_hand():
    # Doses 0, 1, 2: the slope is (last - first) / 2, so 1, 2 and 3.
    values = [[0.0, 1.0, 2.0], [5.0, 7.0, 9.0], [0.0, 3.0, 6.0]]
    trend = dose_response(values, [0.0, 1.0, 2.0], "rises")
    assert trend.slope.mean == pytest.approx(2.0)
    assert trend.slope.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert trend.rank_correlation == pytest.approx(1.0)
    # One of 3! orders per seed reaches the largest sum.
    assert trend.p_value == pytest.approx(1 / 6**3)
    assert dose_response(values, [0.0, 1.0, 2.0], "falls").p_value == pytest.approx(1.0)


def test_the_order_of_the_doses_does_not_matter_and_their_spacing_counts():
    values = np.array([[0.0, 1.0, 4.0], [0.2, 1.1, 3.0]])
    doses = np.array([0.0, 0.25, 1.0])
    mixed = [2, 0, 1]
    straight, turned = (dose_response(v, d, "rises") for v, d in ((values, doses), (values[:, mixed], doses[mixed])))
    assert straight.p_value == turned.p_value
    assert straight.slope.mean == pytest.approx(turned.slope.mean)
    assert straight.slope.mean == pytest.approx(np.mean([np.polyfit(doses, row, 1)[0] for row in values]))


def test_ties_by_hand():
    # One seed 0, 0, 1 at doses 1, 2, 3: average ranks 1.5, 1.5, 3, sum 13.5. Of the three places of the 3 the sums are
    # 12 - 1.5, 12 and 12 + 1.5: one of three is as large.
    assert dose_response([[0.0, 0.0, 1.0]], [1, 2, 3], "rises").p_value == pytest.approx(1 / 3)
    constant = dose_response(np.ones((4, 3)), [1, 2, 3], "rises")
    assert (constant.p_value, constant.rank_correlation, constant.slope.mean) == (1.0, 0.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(3, 5))
def test_page_agrees_with_scipy_without_ties(seed, seeds, doses):
    values = np.random.default_rng(seed).normal(size=(seeds, doses)) + 0.3 * np.arange(doses)
    expected = stats.page_trend_test(values, method="exact").pvalue
    assert dose_response(values, np.arange(doses), "rises").p_value == pytest.approx(expected)


def test_both_directions_share_the_observed_sum():
    ranks = np.array([[1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])
    doses = np.array([1.0, 2.0, 3.0])
    # P(S >= s) + P(S <= s) = 1 + P(S = s), and the orders [1 3 2], [2 1 3] have sum 13: two of six orders each.
    both = page_p_value(ranks, doses) + page_p_value(4 - ranks, doses)
    sums = np.array([14, 13, 13, 11, 11, 10])
    exactly = np.mean(np.add.outer(sums, sums) == 26)
    assert both == pytest.approx(1 + exactly)


def test_seeds_without_every_dose_are_left_out():
    values = [[0.0, 1.0], [5.0, math.nan], [0.0, 3.0]]
    trend = dose_response(values, [0.0, 1.0], "rises")
    assert (trend.slope.mean, trend.slope.n) == (2.0, 2)
    none = dose_response([[math.nan, 1.0]], [0.0, 1.0], "rises")
    assert math.isnan(none.p_value)
    assert none.slope.n == 0


@pytest.mark.parametrize("doses", [[0.0], [0.0, 0.0], list(range(9)), [0.0, math.inf]])
def test_invalid_doses_are_refused(doses):
    with pytest.raises(ValueError, match="different finite numbers"):
        dose_response(np.zeros((2, len(doses))), doses, "rises")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must have a row per seed"):
        dose_response([0.0, 1.0], [0.0, 1.0], "rises")
