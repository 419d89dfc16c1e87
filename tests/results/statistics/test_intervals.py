"""Intervals against values worked by hand."""

import math

import pandas as pd
import pytest

from results.statistics.intervals import UNBOUNDED, estimates_by, mean_interval
from results.statistics.pairs import paired_difference


def test_t_interval_of_three_values_by_hand():
    # 1, 2, 3: mean 2, standard deviation 1, standard error 1/sqrt 3; t(0.975, 2) = 4.302653 from a printed table.
    estimate = mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert estimate.mean == pytest.approx(2.0)
    assert estimate.low == pytest.approx(2.0 - half, abs=1e-6)
    assert estimate.high == pytest.approx(2.0 + half, abs=1e-6)
    assert (estimate.n, estimate.method) == (3, "t, 95%")


def test_confidence_changes_the_width():
    # t(0.95, 2) = 2.919986.
    assert mean_interval([1.0, 2.0, 3.0], confidence=0.9).high == pytest.approx(2 + 2.919986 / math.sqrt(3), abs=1e-6)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one = mean_interval([0.7])
    assert (one.mean, one.n, one.method) == (0.7, 1, "no interval")
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = mean_interval([])
    assert math.isnan(none.mean)
    assert none.n == 0


def test_numbers_that_do_not_apply_are_not_counted():
    estimate = mean_interval([1.0, math.nan, 3.0])
    assert (estimate.mean, estimate.n) == (2.0, 2)
    # n = 2: standard deviation sqrt 2, standard error 1, t(0.975, 1) = 12.706205.
    assert estimate.high == pytest.approx(2 + 12.706205, abs=1e-5)


def test_equal_values_give_an_interval_of_width_zero():
    estimate = mean_interval([1.0, 1.0, 1.0])
    assert (estimate.low, estimate.high) == (1.0, 1.0)


def test_groups_keep_their_order_and_empty_ones_are_left_out():
    frame = pd.DataFrame({"arm": ["b", "b", "a", "c"], "score": [0.0, 1.0, 0.4, math.nan]})
    table = estimates_by(frame, ["arm"], "score")
    assert list(table["arm"]) == ["b", "a"]
    assert list(table["mean"]) == [0.5, 0.4]
    assert list(table["n"]) == [2, 1]


def test_groups_are_the_means_and_intervals_of_their_numbers():
    frame = pd.DataFrame({"arm": ["a"] * 4 + ["b"], "step": [0, 0, 0, 1, 1], "score": [1.0, 2.0, 3.0, 7.0, math.nan]})
    table = estimates_by(frame, ["arm", "step"], "score")
    assert list(table.columns) == ["arm", "step", "mean", "low", "high", "n", "method"]
    assert list(table["step"]) == [0, 1]
    by_hand, alone = table.iloc[0], table.iloc[1]
    assert by_hand["high"] == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert by_hand["low"] == pytest.approx(2.0 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert (by_hand["method"], alone["method"]) == ("t, 95%", "no interval")
    assert math.isnan(alone["low"])


def test_seeds_of_one_data_seed_count_once():
    """Means by data seed 1, 2 and 3: the interval of the test above, not that of six numbers."""
    scores = [0.0, 2.0, 1.5, 2.5, 3.0, 3.0]
    frame = pd.DataFrame({"arm": "a", "data_seed": [0, 0, 1, 1, 2, 2], "score": scores})
    of_one = pd.DataFrame({"arm": "b", "data_seed": 0, "score": [5.0, 7.0]})
    table = estimates_by(pd.concat([of_one, frame]), ["arm"], "score")
    assert list(table["arm"]) == ["b", "a"]
    assert list(table["n"]) == [2, 3]
    assert list(table["mean"]) == [6.0, 2.0]
    assert table["high"][1] == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_bounded_quantities_have_bounded_intervals():
    """Two seeds with 0.5 and 1: the t interval is 0.75 +- 12.706 * 0.3536 / sqrt(2) = [-2.43, 3.93]."""
    wide, bounded = mean_interval([0.5, 1.0]), mean_interval([0.5, 1.0], bounds=(0.0, 1.0))
    assert (wide.low, wide.high) == (pytest.approx(-2.4266, abs=1e-4), pytest.approx(3.9266, abs=1e-4))
    assert (bounded.mean, bounded.low, bounded.high) == (0.75, 0.0, 1.0)
    assert mean_interval([0.5, 1.2], bounds=(0.0, 1.0)) == mean_interval([0.5, 1.2])
    assert mean_interval([0.4, 0.5, 0.6], bounds=(0.0, 1.0)) == mean_interval([0.4, 0.5, 0.6])
    difference = paired_difference([1.0, 0.0], [0.0, 0.5], bounds=(-1.0, 1.0))
    assert (difference.mean, difference.low, difference.high) == (0.25, -1.0, 1.0)


def test_bounds_differ_between_quantities():
    values = {"a": [0.5, 1.0], "b": [0.5, 1.0], "c": [0.5, 1.2]}
    frame = pd.DataFrame([{"quantity": name, "value": value} for name, pair in values.items() for value in pair])
    table = estimates_by(frame, ["quantity"], "value", {"a": (0.0, 1.0), "c": (0.0, 1.0)}).set_index("quantity")
    for name, bounds in (("a", (0.0, 1.0)), ("b", UNBOUNDED), ("c", (0.0, 1.0))):
        expected = mean_interval(values[name], bounds=bounds)
        assert (table.loc[name, "low"], table.loc[name, "high"]) == pytest.approx((expected.low, expected.high))
