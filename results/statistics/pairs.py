"""Paired comparisons of two arms that share seeds, and the correction for several tests."""

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.intervals import CONFIDENCE, UNBOUNDED, PairedEstimate, Range, mean_interval, present


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm-corrected `p_values` [m]: rejecting all below alpha has a family-wise error rate of at most alpha.

    NaN, an impossible test, stays NaN and does not count. Source: Holm 1979.
    """
    values = np.asarray(p_values, dtype=float)
    valid = np.flatnonzero(~np.isnan(values))
    order = valid[np.argsort(values[valid], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


# The sign-flip test enumerates all 2^n assignments of signs up to this many pairs; above, it draws 2^MOST random ones.
MOST = 14
# Seed of the random assignments: equal differences have equal p-values.
SIGNS_SEED = 0

Alternative = Literal["two-sided", "greater", "less"]


def paired_difference(
    values: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE, bounds: Range = UNBOUNDED
) -> PairedEstimate:
    """Mean of `values` [n] - `baseline` [n], paired by seed, with its t interval within the `bounds` of a difference.

    Pairs with a NaN are left out. Raises ValueError if the lengths differ.
    """
    first, second = pairs(values, baseline)
    estimate = mean_interval(first - second, confidence, bounds)
    return PairedEstimate(
        estimate.mean,
        estimate.low,
        estimate.high,
        estimate.n,
        f"paired {estimate.method}",
        correlation=correlation(first, second),
        p_value=sign_flip_p_value(first - second),
    )


def sign_flip_p_value(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p-value of the sign-flip test of paired `differences` [n], whose null hypothesis is symmetry about 0.

    The statistic is the mean. Exact up to `MOST` pairs; NaN without pairs. The smallest two-sided p-value is
    2^(1 - n): 0.0625 at n = 5, 0.031 at n = 6.
    """
    return sign_flip_p_values(differences)[alternative]


def sign_flip_p_values(differences: ArrayLike) -> dict[Alternative, float]:
    """The p-values of `sign_flip_p_value` for all alternatives."""
    numbers = present(differences)
    if not len(numbers):
        return {"two-sided": np.nan, "greater": np.nan, "less": np.nan}
    sums = _signs(len(numbers)) @ numbers
    # The first row is the observed assignment. Equal sums may differ in their last bits, by the order of summation.
    observed, rounding = sums[0], 1e-12 * np.abs(numbers).sum()
    return {
        "two-sided": float((np.abs(sums) >= abs(observed) - rounding).mean()),
        "greater": float((sums >= observed - rounding).mean()),
        "less": float((sums <= observed + rounding).mean()),
    }


@cache
def _signs(n: int) -> np.ndarray:
    """Assignments of signs [m, n], the first without a flip: all 2^n, or 2^MOST random ones."""
    if n > MOST:
        signs = np.random.default_rng(SIGNS_SEED).choice([-1.0, 1.0], size=(2**MOST, n))
        signs[0] = 1.0
        return signs
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def correlation(values: ArrayLike, baseline: ArrayLike) -> float:
    """Pearson correlation of two arms [n] over seeds; NaN if either is constant or with fewer than two pairs."""
    first, second = pairs(values, baseline)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])


def pairs(values: ArrayLike, baseline: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The pairs [m], m <= n, of `values` [n] and `baseline` [n] without NaN.

    Raises ValueError if the shapes differ.
    """
    first, second = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"values and baseline have different shapes: {first.shape} and {second.shape}")
    both = ~np.isnan(first) & ~np.isnan(second)
    return first[both], second[both]
