"""Equivalence and non-inferiority, by hand and against SciPy's t tests."""

import math

import numpy as np
import pytest
from scipy import stats

from results.statistics.equivalence import equivalent, equivalent_samples, no_worse


def test_tost_by_hand():
    # -1, 0, 1 with margin 2: standard error 1/sqrt 3, t = 2 sqrt 3 = 3.4641 on 2 degrees of freedom on either side.
    # P(T > t) with 2 degrees: (1 - t / sqrt(t^2 + 2)) / 2 = (1 - 3.4641 / sqrt 14) / 2 = 0.03709.
    result = equivalent([-1.0, 0.0, 1.0], margin=2.0)
    assert result.p_value == pytest.approx((1 - math.sqrt(12 / 14)) / 2)
    # t(0.95, 2) = 2.919986.
    assert (result.low, result.high) == pytest.approx((-2.919986 / math.sqrt(3), 2.919986 / math.sqrt(3)), abs=1e-6)
    assert (result.mean, result.n, result.margin) == (0.0, 3, 2.0)
    assert result.method == "paired TOST, 90% interval"


def test_the_farther_side_decides():
    differences = np.array([0.1, 0.3, 0.2, 0.25])
    expected = stats.ttest_1samp(differences, 0.4, alternative="less").pvalue
    assert equivalent(differences, 0.4).p_value == pytest.approx(expected)
    assert equivalent(-differences, 0.4).p_value == pytest.approx(expected)


@pytest.mark.parametrize("margin", [0.3, 0.5, 1.0])
def test_tost_passes_exactly_if_its_interval_is_inside_the_margin(margin):
    generator = np.random.default_rng(0)
    for _ in range(50):
        differences = generator.normal(0.1, 0.4, size=6)
        result = equivalent(differences, margin)
        assert (result.p_value <= 0.05) == (-margin <= result.low and result.high <= margin)


def test_no_significant_difference_is_not_equivalence():
    noisy = [-3.0, 2.5, -2.0, 3.5, -1.5]
    assert stats.ttest_1samp(noisy, 0.0).pvalue > 0.5
    assert equivalent(noisy, 0.5).p_value > 0.3


def test_samples_without_shared_seeds_are_welch():
    ours, theirs = np.array([0.5, 0.6, 0.9, 0.7]), np.array([0.6, 0.7, 0.62])
    result = equivalent_samples(ours, theirs, margin=0.3)
    expected = [
        stats.ttest_ind(ours + 0.3, theirs, equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind(ours - 0.3, theirs, equal_var=False, alternative="less").pvalue,
    ]
    assert result.p_value == pytest.approx(max(expected))
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.n == 7


def test_no_worse_is_a_one_sided_test():
    better = [0.2, 0.3, 0.4]
    assert no_worse(better, 0.05).p_value == pytest.approx(
        stats.ttest_1samp(better, -0.05, alternative="greater").pvalue
    )
    assert no_worse(better, 0.05).p_value < 0.02 < 0.9 < equivalent(better, 0.05).p_value


def test_without_spread_the_mean_decides():
    assert equivalent([0.0, 0.0, 0.0], 0.1).p_value == 0.0
    assert equivalent([0.1, 0.1], 0.1).p_value == 1.0
    assert equivalent_samples([1.0, 1.0], [1.0, 1.0], 0.1).p_value == 0.0


def test_too_few_runs_give_nan():
    for result in (equivalent([0.1], 1.0), no_worse([], 1.0), equivalent_samples([0.1], [0.2, 0.3], 1.0),
                   equivalent_samples([], [0.2, 0.3], 1.0)):  # fmt: skip
        assert math.isnan(result.p_value)
        assert math.isnan(result.low)
    assert equivalent([0.1, math.nan], 1.0).n == 1


def test_a_margin_must_leave_room():
    for margin in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="margin must be above 0"):
            equivalent([0.1, 0.2], margin)
