"""Unaltered, or no worse: claims of smallness, each against a margin that is stated beforehand.

A test that fails to find a difference shows nothing of the kind. A paired comparison is that of the differences
[n] within seed against zero; an unpaired one has two samples.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from results.statistics.intervals import present

# Error rate of each test.
ALPHA = 0.05


@dataclass(frozen=True)
class MarginTest:
    """A mean difference held against a margin."""

    # Mean difference, with its interval of confidence 1 - 2 alpha: inside the margin where the claim passes at alpha.
    mean: float
    low: float
    high: float
    # Pairs, or runs of both samples.
    n: int
    method: str
    margin: float
    # Of the claim's negation; NaN with too few runs to tell.
    p_value: float


def equivalent(differences: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """Whether the mean of paired `differences` [n] lies within +-`margin`: two one-sided t tests (TOST).

    The p-value is the larger of the two. NaN below two pairs. Source: Schuirmann 1987.
    """
    numbers = present(differences)
    return _tested(_Difference.within_pairs(numbers), len(numbers), margin, alpha, "paired TOST", two_sided=True)


def equivalent_samples(values: ArrayLike, baseline: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """`equivalent` for `values` [n] - `baseline` [m] that share no seeds: Welch's t tests."""
    ours, theirs = present(values), present(baseline)
    difference = _Difference.between_samples(ours, theirs)
    return _tested(difference, len(ours) + len(theirs), margin, alpha, "Welch TOST", two_sided=True)


def no_worse(differences: ArrayLike, margin: float, alpha: float = ALPHA) -> MarginTest:
    """Whether the mean of paired `differences` [n] lies above -`margin` (more is better): a one-sided t test."""
    numbers = present(differences)
    return _tested(_Difference.within_pairs(numbers), len(numbers), margin, alpha, "paired non-inferiority t", False)


@dataclass(frozen=True)
class _Difference:
    """A mean difference with its standard error and degrees of freedom; NaN throughout with too few runs."""

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
        """Of the test that the true difference is at most `bound`; without any spread 0 or 1."""
        if np.isnan(self.error):
            return np.nan
        if self.error == 0:
            return float(self.mean <= bound)
        return float(stats.t.sf((self.mean - bound) / self.error, self.freedom))

    def p_value_below(self, bound: float) -> float:
        """Of the test that the true difference is at least `bound`."""
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
