"""Verdicts, and the tests behind them: from one number per seed, or from exact cases, to an outcome."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ablations.claim import (
    FEWEST_SEEDS,
    Claim,
    Decision,
    Difference,
    DoseResponse,
    Equivalence,
    EveryCase,
    Level,
    NonInferiority,
    can_reject,
)
from results.statistics.equivalence import equivalent, no_worse, p_value_above
from results.statistics.intervals import UNBOUNDED, Range, bounds_of_difference, mean_interval, within
from results.statistics.pairs import holm, paired_difference, sign_flip_p_values
from results.statistics.trend import dose_response

# "too few seeds": the test could not have rejected, whatever the numbers. "not tested": runs or numbers are missing.
Outcome = Literal["supported", "contradicted", "inconclusive", "too few seeds", "not tested"]
DECIDED: tuple[Outcome, ...] = ("supported", "contradicted")


@dataclass(frozen=True)
class Verdict:
    """The outcome of testing a claim, with the estimate behind it."""

    claim: Claim
    outcome: Outcome
    # The estimate. For exact cases: the number nearest to its bound, or farthest beyond it.
    effect: float
    # Its interval. For exact cases: the smallest and the largest number.
    low: float
    high: float
    # Number of cases, or of seeds (data seeds, if there are several) with all arms that the test compares.
    n: int
    # Short description of the test and the interval.
    method: str
    # For claims about runs: the task, and the arm if the claim concerns several.
    task: str = ""
    arm: str = ""
    # p-value, Holm-corrected over the claim's family of tests; NaN if the test has none.
    p_value: float = nan
    # Correlation of the two arms over seeds; for a trend the mean rank correlation with the dose; NaN if undefined.
    correlation: float = nan
    # Why the outcome is inconclusive, and which seeds are left out.
    remark: str = ""
    # Ids of the runs that entered.
    runs: tuple[str, ...] = ()
    # The range of the numbers that were tested.
    bounds: Range = UNBOUNDED


@dataclass(frozen=True)
class Finding:
    """The result of a test: an estimate, and p-values for and against the claim."""

    effect: float
    low: float
    high: float
    # Number of seeds.
    n: int
    method: str
    # p-values of the tests that support and contradict the claim; each is compared with alpha.
    p_for: float
    p_against: float
    correlation: float = nan

    @property
    def p_value(self) -> float:
        """The smaller of the two p-values."""
        return min(self.p_for, self.p_against)


def level(values: ArrayLike, test: Level, bounds: Range = UNBOUNDED) -> Finding:
    """Test the mean of `values` [n], one per seed and within `bounds`, against a bound; NaNs are left out."""
    estimate = mean_interval(values, bounds=bounds)
    excess = np.asarray(values, dtype=float) - test.bound
    method = f"mean {test.side} {test.bound:g}; interval: {estimate.method}; exact sign-flip test"
    p_above, p_below = _two_sided(excess)
    p_for, p_against = (p_above, p_below) if test.side == "above" else (p_below, p_above)
    return Finding(estimate.mean, estimate.low, estimate.high, estimate.n, method, p_for, p_against)


def difference(values: ArrayLike, baseline: ArrayLike, test: Difference, bounds: Range = UNBOUNDED) -> Finding:
    """Test the mean difference of `values` [n] to `baseline` [n], paired by seed; pairs with a NaN are left out."""
    estimate = paired_difference(values, baseline, bounds=bounds_of_difference(bounds))
    p_above, p_below = _two_sided(np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float))
    p_for, p_against = (p_above, p_below) if test.side == "above" else (p_below, p_above)
    method = f"difference {test.side} 0; interval: {estimate.method}; exact sign-flip test"
    return Finding(
        estimate.mean, estimate.low, estimate.high, estimate.n, method, p_for, p_against, estimate.correlation
    )  # fmt: skip


def equivalence(values: ArrayLike, baseline: ArrayLike, test: Equivalence, bounds: Range = UNBOUNDED) -> Finding:
    """Test that the mean difference of `values` [n] to `baseline` [n], paired by seed, is within +-`test.margin`."""
    pairs = paired_difference(values, baseline)
    differences = np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float)
    result = equivalent(differences, test.margin, test.alpha)
    beyond = np.min([p_value_above(differences, test.margin), p_value_above(-differences, test.margin)])
    method = f"difference within +-{test.margin:g}; {result.method}"
    low, high = within(result.low, result.high, bounds_of_difference(bounds), differences)
    return Finding(
        result.mean, low, high, result.n, method, result.p_value, float(beyond), pairs.correlation
    )  # fmt: skip


def non_inferiority(values: ArrayLike, baseline: ArrayLike, test: NonInferiority, bounds: Range = UNBOUNDED) -> Finding:
    """Test that `values` [n] are worse than `baseline` [n], paired by seed, by less than `test.margin`.

    Effect and interval are those of `values` - `baseline`.
    """
    pairs = paired_difference(values, baseline)
    gain = np.asarray(values, dtype=float) - np.asarray(baseline, dtype=float)
    better = gain if test.better == "above" else -gain
    result = no_worse(better, test.margin, test.alpha)
    low, high = (result.low, result.high) if test.better == "above" else (-result.high, -result.low)
    low, high = within(low, high, bounds_of_difference(bounds), gain)
    bound = f"above {-test.margin:g}" if test.better == "above" else f"below {test.margin:g}"
    worse = p_value_above(-better, test.margin)
    return Finding(
        pairs.mean, low, high, result.n, f"difference {bound}; {result.method}", result.p_value, worse,
        pairs.correlation,
    )  # fmt: skip


def trend(values: ArrayLike, doses: ArrayLike, test: DoseResponse, bounds: Range = UNBOUNDED) -> Finding:
    """Test the trend of `values` [n, d], a row per seed, over `doses` [d]; the effect is the mean slope within seed."""
    rises = dose_response(values, doses, "rises", bounds=bounds)
    falls = dose_response(values, doses, "falls", bounds=bounds)
    p_for, p_against = (rises, falls) if test.direction == "rises" else (falls, rises)
    slope = rises.slope
    shown = ", ".join(f"{dose:g}" for dose in np.asarray(doses, dtype=float))
    method = f"{test.direction} with the dose ({shown}): slope; interval: {slope.method}; Page's exact test"
    p_values = (min(1.0, 2.0 * p_for.p_value), min(1.0, 2.0 * p_against.p_value))
    return Finding(slope.mean, slope.low, slope.high, slope.n, method, *p_values, rises.rank_correlation)


def outcomes(findings: Sequence[Finding], tests: Sequence[Decision]) -> list[tuple[Outcome, float, str]]:
    """Outcome, Holm-corrected p-value and reason of an inconclusive outcome for each finding and its test.

    All of them are one family of tests.
    """
    adjusted = holm([finding.p_value if finding.n >= FEWEST_SEEDS else nan for finding in findings])
    family = int(np.isfinite(adjusted).sum())
    return [
        _outcome(finding, float(p), test, family) for finding, p, test in zip(findings, adjusted, tests, strict=True)
    ]


def _outcome(finding: Finding, p_value: float, test: Decision, family: int) -> tuple[Outcome, float, str]:
    if finding.n < FEWEST_SEEDS:
        return "too few seeds", p_value, f"{finding.n} seeds; at least {FEWEST_SEEDS} are needed"
    if isnan(p_value):
        return "inconclusive", p_value, "the test is undefined for these numbers"
    if p_value <= test.alpha:
        return ("supported" if finding.p_for <= finding.p_against else "contradicted"), p_value, ""
    if not can_reject(test, finding.n, family):
        reason = f"{finding.n} seeds cannot reach p <= {test.alpha:g} in a family of {family} tests"
        return "too few seeds", p_value, reason
    return "inconclusive", p_value, f"neither the claim nor its opposite is significant at {test.alpha:g}"


def _two_sided(differences: np.ndarray) -> tuple[float, float]:
    """p-values for a mean above and below 0, doubled so that the Type I error rate of both together is alpha."""
    p_values = sign_flip_p_values(differences)
    above, below = (min(1.0, 2.0 * p) if not isnan(p) else nan for p in (p_values["greater"], p_values["less"]))
    return above, below


def judge_exact(claims: Iterable[Claim]) -> list[Verdict]:
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
