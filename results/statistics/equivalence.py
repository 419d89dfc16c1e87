"""Equivalence and non-inferiority: tests that a difference is small, against a margin that is stated beforehand.

A difference that is not significant is no evidence of equivalence. Paired comparisons test the differences [n] within
seed against zero; unpaired ones compare two samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from results.statistics.intervals import present

Side = Literal["greater", "less"]

# Significance level of each test.
ALPHA = 0.05


@dataclass(frozen=True)
class MarginTest:
    """A test of a mean difference against a margin."""

    # Mean difference with its interval of confidence 1 - 2 alpha, which is inside the margin if the claim passes.
    mean: float
    low: float
    high: float
    # Pairs, or runs of both samples.
    n: int
    method: str
    margin: float
    # Of the negated claim; NaN with fewer than two runs.
    p_value: float


def equivalent(differences: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """Test that the mean of paired `differences` [n] is within +-`margin`: two one-sided t tests (TOST).

    The p-value is the larger of the two, NaN below two pairs. Source: Schuirmann 1987.
    """
    return _tested([present(differences)], margin, alpha, "paired TOST", ("greater", "less"))


def equivalent_samples(values: ArrayLike, baseline: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """`equivalent` for `values` [n] and `baseline` [m] without common seeds: Welch's t tests."""
    return _tested([present(values), present(baseline)], margin, alpha, "Welch TOST", ("greater", "less"))


def no_worse(differences: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """Test that the mean of paired `differences` [n] is above -`margin` (higher is better): a one-sided t test."""
    return _tested([present(differences)], margin, alpha, "paired non-inferiority t", ("greater",))


def p_value_above(differences: ArrayLike, bound: float) -> float:
    """p-value of the one-sided t test that the mean of paired `differences` [n] exceeds `bound`; NaN below two."""
    return _p_value([present(differences)], bound, "greater")


def _tested(
    samples: Sequence[np.ndarray], margin: float, alpha: float, method: str, sides: Sequence[Side]
) -> MarginTest:
    """Test the mean of one sample, or the difference of the means of two. Raises ValueError unless margin > 0."""
    if not margin > 0:
        raise ValueError(f"a margin must be above 0, not {margin}")
    p_values = [_p_value(samples, -margin if side == "greater" else margin, side) for side in sides]
    mean = low = high = _mean(samples)
    if min(map(len, samples)) < 2:
        low = high = np.nan
    elif _varies(samples):
        low, high = _t_test(samples, 0.0, "two-sided").confidence_interval(1 - 2 * alpha)
    name = f"{method}, {1 - 2 * alpha:.0%} interval"
    return MarginTest(mean, float(low), float(high), sum(map(len, samples)), name, margin, float(np.max(p_values)))


def _p_value(samples: Sequence[np.ndarray], bound: float, side: Side) -> float:
    """p-value of the test that the mean, or difference of means, is on a side of `bound`; without spread 0 or 1."""
    if min(map(len, samples)) < 2:
        return np.nan
    if not _varies(samples):
        mean = _mean(samples)
        return float(mean <= bound if side == "greater" else mean >= bound)
    return float(_t_test(samples, bound, side).pvalue)


def _t_test(samples: Sequence[np.ndarray], bound: float, alternative: str) -> Any:
    if len(samples) == 1:
        return stats.ttest_1samp(samples[0], bound, alternative=alternative)
    return stats.ttest_ind(samples[0] - bound, samples[1], equal_var=False, alternative=alternative)


def _mean(samples: Sequence[np.ndarray]) -> float:
    means = [float(sample.mean()) if len(sample) else np.nan for sample in samples]
    return means[0] - sum(means[1:])


def _varies(samples: Sequence[np.ndarray]) -> bool:
    return any(np.ptp(sample) > 0 for sample in samples)
