"""Verdicts on claims of the exact lab, whose numbers have no statistical error."""

from collections.abc import Iterable
from math import isfinite, nan

import numpy as np
from numpy.typing import ArrayLike

from ablations.claim import Claim, EveryCase
from results.verdicts.decisions import Outcome, Verdict


def judge(claims: Iterable[Claim]) -> list[Verdict]:
    """Measure and test every claim.

    Raises ValueError if two claims have the same id.
    """
    verdicts: dict[str, Verdict] = {}
    for claim in claims:
        if claim.id in verdicts:
            raise ValueError(f"claim {claim.id}: the id is not unique")
        verdicts[claim.id] = verdict(claim, claim.measure())
    return list(verdicts.values())


def verdict(claim: Claim, numbers: ArrayLike) -> Verdict:
    """Test the numbers [n] of a claim; without numbers, or with a NaN, the outcome is inconclusive.

    Raises TypeError for a claim about runs.
    """
    if not isinstance(claim.test, EveryCase):
        raise TypeError(f"claim {claim.id}: its test is not for exact cases")
    cases = np.asarray(numbers, dtype=float).ravel()
    method = in_words(claim.test)
    if not len(cases) or np.isnan(cases).any():
        return Verdict(claim, "inconclusive", nan, nan, nan, len(cases), method)
    margins = _margins(cases, claim.test)
    decisive = int(margins.argmin())
    outcome: Outcome = "supported" if margins[decisive] >= 0 else "contradicted"
    return Verdict(claim, outcome, float(cases[decisive]), float(cases.min()), float(cases.max()), len(cases), method)


def in_words(test: EveryCase) -> str:
    """The test in words; narrow bounds are written as a number with a tolerance."""
    low, high = test.at_least, test.at_most
    if low == high:
        return f"every case equals {low:g}"
    middle, tolerance = (low + high) / 2, (high - low) / 2
    if isfinite(tolerance) and tolerance <= 0.01 * max(1.0, abs(middle)):
        return f"every case equals {middle:.4g} within {tolerance:.2g}"
    bounds = [f"at least {low:g}"] if isfinite(low) else []
    bounds += [f"at most {high:g}"] if isfinite(high) else []
    return f"every case {' and '.join(bounds)}"


def _margins(cases: np.ndarray, test: EveryCase) -> np.ndarray:
    """Distance of each case to the nearer bound, [n]; negative outside the bounds."""
    low = cases - test.at_least if isfinite(test.at_least) else np.inf
    high = test.at_most - cases if isfinite(test.at_most) else np.inf
    return np.minimum(low, high)
