"""Equivalence and non-inferiority: tests that a difference is small, against a margin that is stated beforehand.

A difference that is not significant is no evidence of equivalence. Paired comparisons test the differences [n] within
seed against zero; unpaired ones compare two samples.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from results.statistics.intervals import present

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
    numbers = present(differences)
    return _tested(_Difference.within_pairs(numbers), len(numbers), margin, alpha, "paired TOST", two_sided=True)


def equivalent_samples(values: ArrayLike, baseline: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """`equivalent` for `values` [n] and `baseline` [m] without common seeds: Welch's t tests."""
    ours, theirs = present(values), present(baseline)
    difference = _Difference.between_samples(ours, theirs)
    return _tested(difference, len(ours) + len(theirs), margin, alpha, "Welch TOST", two_sided=True)


def no_worse(differences: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """Test that the mean of paired `differences` [n] is above -`margin` (higher is better): a one-sided t test."""
    numbers = present(differences)
    return _tested(_Difference.within_pairs(numbers), len(numbers), margin, alpha, "paired non-inferiority t", False)


def p_value_above(differences: ArrayLike, bound: float) -> float:
    """p-value of the one-sided t test that the mean of paired `differences` [n] exceeds `bound`; NaN below two."""
    return _Difference.within_pairs(present(differences)).p_value_above(bound)


@dataclass(frozen=True)
class _Difference:
    """A mean difference with its standard error and degrees of freedom; NaN with fewer than two runs."""

    mean: float
    error: float
    freedom: float

    @classmethod
    def within_pairs(cls, numbers: np.ndarray) -> "_Difference":
        n = len(numbers)
        if n < 2:
            return cls(float(numbers.mean()) if n else np.nan, np.nan, np.nan)
        return cls(float(numbers.mean()), float(numbers.std(ddof=1)) / sqrt(n), n - 1)

    @classmethod
    def between_samples(cls, ours: np.ndarray, theirs: np.ndarray) -> "_Difference":
        if not (len(ours) and len(theirs)):
            return cls(np.nan, np.nan, np.nan)
        mean = float(ours.mean() - theirs.mean())
        if min(len(ours), len(theirs)) < 2:
            return cls(mean, np.nan, np.nan)
        parts = np.array([ours.var(ddof=1) / len(ours), theirs.var(ddof=1) / len(theirs)])
        if not parts.any():
            return cls(mean, 0.0, len(ours) + len(theirs) - 2)
        freedom = parts.sum() ** 2 / (parts**2 / [len(ours) - 1, len(theirs) - 1]).sum()
        return cls(mean, float(np.sqrt(parts.sum())), float(freedom))

    def p_value_above(self, bound: float) -> float:
        """p-value of the test that the true difference exceeds `bound`; without any spread 0 or 1."""
        if np.isnan(self.error):
            return np.nan
        if self.error == 0:
            return float(self.mean <= bound)
        return float(stats.t.sf((self.mean - bound) / self.error, self.freedom))

    def p_value_below(self, bound: float) -> float:
        """p-value of the test that the true difference is below `bound`."""
        return _Difference(-self.mean, self.error, self.freedom).p_value_above(-bound)


def _tested(difference: _Difference, n: int, margin: float, alpha: float, method: str, two_sided: bool) -> MarginTest:
    """Raises ValueError for a margin that is not above 0."""
    if not margin > 0:
        raise ValueError(f"a margin must be above 0, not {margin}")
    half: Any = stats.t.ppf(1 - alpha, difference.freedom) * difference.error
    p_values = [difference.p_value_above(-margin), *([difference.p_value_below(margin)] if two_sided else [])]
    mean = difference.mean
    named = f"{method}, {1 - 2 * alpha:.0%} interval"
    return MarginTest(mean, float(mean - half), float(mean + half), n, named, margin, float(np.max(p_values)))
