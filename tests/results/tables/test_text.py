"""Cells."""

import math

import pandas as pd

from results.statistics.estimate import Estimate
from results.tables.text import interval_text, number, spread


def test_a_mean_with_its_interval():
    estimate = Estimate(-3.14159, -4.0, -2.2, 6, "t, 95%")
    assert interval_text(estimate, 1) == "-3.1 [-4.0, -2.2]"
    assert interval_text(estimate, 1, of=6) == "-3.1 [-4.0, -2.2]"
    assert interval_text(estimate, 1, of=7) == "-3.1 [-4.0, -2.2] (n = 6)"
    assert interval_text(Estimate(0.5, math.nan, math.nan, 1, ""), 2, sign=True) == "+0.50"
    assert interval_text(Estimate(math.nan, math.nan, math.nan, 0, ""), 2, of=3) == "-"


def test_halves_fall_to_the_even_side_however_they_were_summed():
    """Nineteen in forty, as two ways of summing have it; a float's own rounding has 0.47 and 0.48."""
    assert {number(mean, 2) for mean in (0.475, 0.4750000000000001, 0.47499999999999987)} == {"0.48"}
    assert [number(mean, 2) for mean in (0.015, 0.025, 0.465)] == ["0.02", "0.02", "0.46"]


def test_numbers():
    assert number(12345.678, 1) == "12,345.7"
    assert number(-0.001, 2) == "0.00"
    assert number(-0.001, 2, sign=True) == "+0.00"
    assert number(math.nan, 2) == "-"
    assert spread(pd.Series([2000.0, math.nan, 2000.0])) == "2,000"
    assert spread(pd.Series([500, 2000])) == "500 to 2,000"
