"""Paired comparisons of two arms that share seeds, and the correction for several tests."""

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.intervals import CONFIDENCE, PairedEstimate, mean_interval, present


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm-corrected p-values [m] of `p_values` [m].

    NaN (an undefined test) stays NaN and does not count as a test. Source: Holm 1979.
    """
    values = np.asarray(p_values, dtype=float)
    made = np.flatnonzero(~np.isnan(values))
    order = made[np.argsort(values[made], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


# Up to this many pairs the sign-flip test enumerates all 2^n sign assignments; beyond it, it samples 2^MOST.
MOST = 14
# Seed of the sampled assignments, so that the same differences give the same p-value.
SIGNS_SEED = 0

Alternative = Literal["two-sided", "greater", "less"]


def paired_difference(values: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE) -> PairedEstimate:
    """Mean of `values` [n] - `baseline` [n], where entry i of both comes from the same seed, with its t interval.

    Pairs with a NaN on either side are left out. Raises ValueError if the lengths differ.
    """
    ours, theirs = pairs(values, baseline)
    estimate = mean_interval(ours - theirs, confidence)
    return PairedEstimate(
        estimate.mean,
        estimate.low,
        estimate.high,
        estimate.n,
        f"paired {estimate.method}",
        correlation=correlation(ours, theirs),
        p_value=sign_flip_p_value(ours - theirs),
    )


def sign_flip_p_value(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p-value of the sign-flip test of paired `differences` [n], whose null hypothesis is random signs; NaN for none.

    The statistic is the mean. Exact up to `MOST` pairs. It cannot fall
    below 2^(1 - n) two-sided: 0.0625 at n = 5, 0.031 at n = 6.
    """
    return sign_flip_p_values(differences)[alternative]


def sign_flip_p_values(differences: ArrayLike) -> dict[Alternative, float]:
    """The p-values of `sign_flip_p_value` for every alternative."""
    numbers = present(differences)
    if not len(numbers):
        return {"two-sided": np.nan, "greater": np.nan, "less": np.nan}
    sums = _signs(len(numbers)) @ numbers
    # The observed signs come first. Sums in another order differ in their last bits, hence the tolerance.
    observed, rounding = sums[0], 1e-12 * np.abs(numbers).sum()
    return {
        "two-sided": float((np.abs(sums) >= abs(observed) - rounding).mean()),
        "greater": float((sums >= observed - rounding).mean()),
        "less": float((sums <= observed + rounding).mean()),
    }


@cache
def _signs(n: int) -> np.ndarray:
    """Signs [m, n] with the observed ones first: all assignments, or 2^MOST sampled ones."""
    if n > MOST:
        signs = np.random.default_rng(SIGNS_SEED).choice([-1.0, 1.0], size=(2**MOST, n))
        signs[0] = 1.0
        return signs
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def correlation(values: ArrayLike, baseline: ArrayLike) -> float:
    """Pearson's correlation of two arms [n] over their seeds; NaN where either is constant or fewer than two pairs."""
    ours, theirs = pairs(values, baseline)
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return np.nan
    return float(np.corrcoef(ours, theirs)[0, 1])


def pairs(values: ArrayLike, baseline: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The pairs [m], m <= n, of `values` [n] and `baseline` [n] in which neither is NaN.

    Raises ValueError if the shapes differ.
    """
    ours, theirs = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} values cannot be paired with {theirs.shape} of the baseline")
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    return ours[both], theirs[both]
