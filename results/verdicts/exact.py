"""Verdicts on the exact lab: claims held against numbers without error."""

from collections.abc import Iterable
from math import isfinite, nan

import numpy as np
from numpy.typing import ArrayLike

from ablations.claim import Claim, EveryCase
from results.verdicts.decisions import Outcome, Verdict


def judge(claims: Iterable[Claim]) -> list[Verdict]:
    """Measure every claim and hold its numbers against its test, one after the other.

    Raises ValueError if two claims have the same id.
    """
    verdicts: dict[str, Verdict] = {}
    for claim in claims:
        if claim.id in verdicts:
            raise ValueError(f"claim {claim.id}: there are two of this id")
        verdicts[claim.id] = verdict(claim, claim.measure())
    return list(verdicts.values())


def verdict(claim: Claim, numbers: ArrayLike) -> Verdict:
    """Hold a claim's numbers [n] against its test; without numbers, or with a NaN among them, it is inconclusive.

    Raises TypeError for a claim about runs.
    """
    if not isinstance(claim.test, EveryCase):
        raise TypeError(f"claim {claim.id}: its test is not one of exact cases")
    cases = np.asarray(numbers, dtype=float).ravel()
    method = in_words(claim.test)
    if not len(cases) or np.isnan(cases).any():
        return Verdict(claim, "inconclusive", nan, nan, nan, len(cases), method)
    room = _room(cases, claim.test)
    decisive = int(room.argmin())
    outcome: Outcome = "supported" if room[decisive] >= 0 else "contradicted"
    return Verdict(claim, outcome, float(cases[decisive]), float(cases.min()), float(cases.max()), len(cases), method)


def in_words(test: EveryCase) -> str:
    """The test as a reader sees it; bounds close together are a number with a tolerance."""
    low, high = test.at_least, test.at_most
    if low == high:
        return f"every case equals {low:g}"
    middle, tolerance = (low + high) / 2, (high - low) / 2
    if isfinite(tolerance) and tolerance <= 0.01 * max(1.0, abs(middle)):
        return f"every case equals {middle:.4g} within {tolerance:.2g}"
    bounds = [f"at least {low:g}"] if isfinite(low) else []
    bounds += [f"at most {high:g}"] if isfinite(high) else []
    return f"every case {' and '.join(bounds)}"


def _room(cases: np.ndarray, test: EveryCase) -> np.ndarray:
    """How far each case lies inside the nearer bound, [n]; negative outside. Infinite bounds leave infinite room."""
    low = cases - test.at_least if isfinite(test.at_least) else np.inf
    high = test.at_most - cases if isfinite(test.at_most) else np.inf
    return np.minimum(low, high)
