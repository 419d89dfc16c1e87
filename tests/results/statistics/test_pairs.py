"""Paired differences, sign-flip tests, and the correction for several tests."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.statistics.pairs import MOST, holm, paired_difference, sign_flip_p_value


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_a_smaller_p_never_ends_above_a_larger_one():
    # 0.02 x 2 = 0.04, then 0.03 x 1 would fall below it.
    assert holm([0.02, 0.03]) == pytest.approx([0.04, 0.04])


def test_undefined_tests_do_not_count():
    assert holm([np.nan, 0.02, np.nan, 0.03]) == pytest.approx([np.nan, 0.04, np.nan, 0.04], nan_ok=True)
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_uncorrected_and_bonferroni(p_values):
    adjusted, p_values = holm(p_values), np.array(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(p_values * len(p_values), 1.0)).all()


def test_pairs_take_the_seed_out():
    # Differences 1, 2, 3 though both arms vary by tens between seeds.
    estimate = paired_difference([11.0, 32.0, 53.0], [10.0, 30.0, 50.0])
    assert estimate.mean == pytest.approx(2.0)
    assert estimate.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert estimate.correlation == pytest.approx(1.0)
    assert (estimate.n, estimate.method) == (3, "paired t, 95%")


def test_correlation_by_hand():
    # Deviations (-1, 0, 1) and (-1, 1, 0): covariance 1, both sums of squares 2.
    assert paired_difference([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]).correlation == pytest.approx(0.5)


def test_a_constant_arm_has_no_correlation_and_half_a_pair_is_left_out():
    estimate = paired_difference([1.0, 1.0, math.nan], [0.0, 0.5, 9.0])
    assert math.isnan(estimate.correlation)
    assert (estimate.mean, estimate.n) == (0.75, 2)


def test_arrays_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize("n", [5, 6, 8, 10])
def test_differences_of_one_sign_have_the_smallest_possible_p(n):
    # Only the signs as they are and all of them turned are as extreme: 2 of 2^n.
    assert sign_flip_p_value(np.arange(1.0, n + 1)) == pytest.approx(2 / 2**n)
    assert sign_flip_p_value(np.arange(1.0, n + 1), "greater") == pytest.approx(1 / 2**n)
    assert sign_flip_p_value(np.arange(1.0, n + 1), "less") == 1.0


def test_sign_flip_by_hand():
    # 3, 2, -1 sum to 4. Of the eight sums +-3 +-2 +-1 (6, 4, 2, 0, 0, -2, -4, -6) two are at least 4.
    assert sign_flip_p_value([3.0, 2.0, -1.0], "greater") == pytest.approx(2 / 8)
    assert sign_flip_p_value([3.0, 2.0, -1.0]) == pytest.approx(4 / 8)
    assert paired_difference([4.0, 4.0, 1.0], [1.0, 2.0, 2.0]).p_value == pytest.approx(4 / 8)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=7))
def test_sign_flip_is_the_count_over_all_signs(differences):
    sums = [abs(sum(sign * size for sign, size in zip(signs, differences, strict=True)))
            for signs in product((-1, 1), repeat=len(differences))]  # fmt: skip
    expected = np.mean([total >= abs(sum(differences)) for total in sums])
    assert sign_flip_p_value(differences) == pytest.approx(expected)


def test_no_difference_anywhere_is_no_evidence_and_no_pairs_no_p():
    assert sign_flip_p_value([0.0, 0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(sign_flip_p_value([]))
    assert math.isnan(paired_difference([math.nan], [1.0]).p_value)


def test_many_pairs_are_sampled_with_the_same_result_every_time():
    differences = np.linspace(-1.0, 1.4, MOST + 6)
    first = sign_flip_p_value(differences)
    assert first == sign_flip_p_value(differences)
    # Normal approximation: mean 0.2, root of the sum of squares over n.
    z = differences.sum() / math.sqrt((differences**2).sum())
    assert first == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.03)
