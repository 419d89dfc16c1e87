"""Power against published values, simulation and the tests it is the power of."""

from math import isinf, isnan, sqrt

import numpy as np
import pytest
from scipy import stats

from results.statistics.equivalence import equivalent
from results.statistics.pairs import sign_flip_p_value
from results.statistics.power import (
    difference_power,
    equivalence_power,
    fewest_seeds,
    pilot_deviation,
    seeds_needed,
)


def test_difference_power_agrees_with_gpower():
    # G*Power 3.1, "means: difference between two dependent means", dz = 0.5, alpha = 0.05 two-tailed.
    assert seeds_needed(lambda n: difference_power(n, 0.5, 1.0)) == 34
    assert difference_power(34, 0.5, 1.0) == pytest.approx(0.8077775, abs=1e-6)


def test_difference_power_is_that_of_scipys_test():
    generator = np.random.default_rng(0)
    draws = generator.normal(0.15, 0.24, size=(20_000, 12))
    rejected = (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05) & (draws.mean(1) > 0)
    assert difference_power(12, 0.15, 0.24) == pytest.approx(rejected.mean(), abs=0.01)


@pytest.mark.parametrize("deviation", [1e-2, 1e-4, 1e-6])
def test_equivalence_is_certain_without_spread(deviation):
    assert equivalence_power(6, 0.1, deviation) == pytest.approx(1.0)


@pytest.mark.parametrize(("seeds", "difference"), [(12, 0.0), (30, 0.0), (30, 0.04)])
def test_equivalence_power_is_that_of_the_test(seeds, difference):
    generator = np.random.default_rng(1)
    draws = generator.normal(difference, 0.2, size=(4_000, seeds))
    passed = np.mean([equivalent(row, 0.1).p_value < 0.05 for row in draws])
    assert equivalence_power(seeds, 0.1, 0.2, difference) == pytest.approx(passed, abs=0.025)


def test_equivalence_power_approaches_the_normal_limit():
    # With many seeds the standard deviation is known: 2 Phi(margin sqrt(n) / sd - z) - 1.
    limit = 2 * stats.norm.cdf(0.1 * sqrt(2000) / 1.5 - stats.norm.ppf(0.95)) - 1
    assert equivalence_power(2000, 0.1, 1.5) == pytest.approx(limit, abs=2e-3)


def test_seeds_needed_is_the_smallest_number():
    needed = seeds_needed(lambda n: equivalence_power(n, 0.1, 0.24))
    assert equivalence_power(needed, 0.1, 0.24) >= 0.8 > equivalence_power(needed - 1, 0.1, 0.24)
    assert seeds_needed(lambda n: 0.1) is None


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (18, 10)])
def test_fewest_seeds_are_those_with_which_a_sign_flip_test_can_reject(comparisons, seeds):
    assert fewest_seeds(0.05, comparisons) == seeds
    assert sign_flip_p_value(np.ones(seeds)) * comparisons < 0.05 <= sign_flip_p_value(np.ones(seeds - 1)) * comparisons


def test_pilot_deviation_and_its_limit():
    pilot = pilot_deviation([1.0, 2.0, 3.0, np.nan])
    assert (pilot.deviation, pilot.seeds) == (1.0, 3)
    # chi-squared with 2 degrees of freedom is exponential: the 20% quantile is -2 ln 0.8.
    assert pilot.upper == pytest.approx(sqrt(2 / (-2 * np.log(0.8))))
    # No standard deviation of differences within -1 and 1 exceeds 1, unless numbers outside show other bounds.
    assert pilot_deviation([-0.5, 0.5], bounds=(-1.0, 1.0)).upper == 1.0
    assert pilot_deviation([-1.0, 1.0], bounds=(-1.0, 1.0)).upper == sqrt(2)
    assert pilot_deviation([1.0, 2.0, 3.0], bounds=(-1.0, 1.0)).upper == pilot.upper
    assert isnan(pilot_deviation([1.0]).deviation)
    assert isinf(pilot_deviation([1.0]).upper)
