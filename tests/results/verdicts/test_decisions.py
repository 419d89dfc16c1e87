"""Tests of claims, worked by hand: sign flips count to 2^n, Page's test to (d!)^n, t intervals by table."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest

from ablations.claim import Claim, Difference, DoseResponse, Equivalence, EveryCase, Level, NonInferiority
from results.verdicts import decisions
from results.verdicts.decisions import in_words, judge_exact, verdict

SIX = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
# Quantiles of Student's t with 5 degrees of freedom.
T_975, T_950 = 2.570582, 2.015048


def one(finding, test):
    ((outcome, p_value, reason),) = decisions.outcomes([finding], [test])
    return outcome, p_value, reason


def test_six_numbers_on_one_side_are_two_of_64_flips():
    test = Level(("a",), "above")
    finding = decisions.level(SIX, test)
    half = T_975 * sqrt(3.5) / sqrt(6)
    assert (finding.effect, finding.low, finding.high) == pytest.approx((3.5, 3.5 - half, 3.5 + half), rel=1e-6)
    assert one(finding, test) == ("supported", 2 / 64, "")
    below = Level(("a",), "below")
    assert one(decisions.level(SIX, below), below)[:2] == ("contradicted", 2 / 64)


def test_a_level_is_tested_against_its_bound():
    """1 to 6 less 3.5 are as much above as below: of the mean of no flip is larger in more than half of the cases."""
    test = Level(("a",), "above", bound=3.5)
    outcome, p_value, reason = one(decisions.level(SIX, test), test)
    assert (outcome, p_value, reason) == (
        "inconclusive",
        1.0,
        "neither the claim nor its opposite is significant at 0.05",
    )
    beyond = Level(("a",), "below", bound=7.0)
    assert one(decisions.level(SIX, beyond), beyond)[0] == "supported"


def test_five_seeds_are_too_few():
    test = Level(("a",), "above", alpha=0.1)
    outcome, p_value, reason = one(decisions.level([100.0, 101, 102, 103, 104, nan], test), test)
    assert outcome == "too few seeds"
    assert isnan(p_value)
    assert reason == "5 seeds; at least 6 are needed"


def test_pairs_are_compared_within_seed():
    """The arms overlap widely, the differences are all 1 to 6."""
    baseline = np.array([10.0, 90, 20, 80, 30, 70])
    test = Difference(("a",), "b", "above")
    finding = decisions.difference(baseline + SIX, baseline, test)
    assert finding.effect == pytest.approx(3.5)
    assert finding.correlation == pytest.approx(np.corrcoef(baseline + SIX, baseline)[0, 1])
    assert one(finding, test)[:2] == ("supported", 2 / 64)


def test_the_arms_of_a_claim_are_one_family():
    """Holm: the smaller of two p-values is doubled, so 2/64 becomes 1/16, but 2/256 still passes."""
    test = Difference(("a", "c"), "b", "above")
    six = [decisions.difference(SIX, np.zeros(6), test)] * 2
    assert decisions.outcomes(six, [test] * 2) == [
        ("too few seeds", 1 / 16, "6 seeds cannot reach p <= 0.05 in a family of 2 tests"),
    ] * 2  # fmt: skip
    eight = [decisions.difference(np.arange(1.0, 9), np.zeros(8), test)] * 2
    assert [outcome for outcome, *_ in decisions.outcomes(eight, [test] * 2)] == ["supported"] * 2


def test_an_arm_with_too_few_seeds_is_no_member_of_the_family():
    test = Difference(("a", "c"), "b", "above")
    findings = [decisions.difference(SIX, np.zeros(6), test), decisions.difference(SIX[:5], np.zeros(5), test)]
    first, _ = decisions.outcomes(findings, [test] * len(findings))
    assert first == ("supported", 2 / 64, "")


def test_equivalence_needs_the_interval_inside_the_margin():
    small = np.array([0.02, -0.02] * 3)
    test = Equivalence("a", "b", margin=0.1, control="c")
    finding = decisions.equivalence(small, np.zeros(6), test)
    half = T_950 * sqrt(6 * 0.02**2 / 5) / sqrt(6)
    assert (finding.effect, finding.low, finding.high) == pytest.approx((0.0, -half, half), abs=1e-6)
    assert one(finding, test)[0] == "supported"
    spread = decisions.equivalence(20 * small, np.zeros(6), test)
    assert one(spread, test) == (
        "inconclusive",
        spread.p_value,
        "neither the claim nor its opposite is significant at 0.05",
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_equivalence_is_contradicted_by_a_difference_beyond_the_margin_either_way(sign):
    """Differences of 0.3 +- 0.02 exceed 0.1; of 0.12 +- 0.02 they do, too, but of 0.11 +- 0.02 not surely."""
    test = Equivalence("a", "b", margin=0.1, control="c")
    small = np.array([0.02, -0.02] * 3)
    outcomes = [one(decisions.equivalence(sign * (shift + small), np.zeros(6), test), test)[0] for shift in (0.3, 0.11)]
    assert outcomes == ["contradicted", "inconclusive"]


def test_equal_arms_are_equivalent():
    test = Equivalence("a", "b", margin=0.1, control="c")
    assert one(decisions.equivalence(SIX, SIX, test), test)[:2] == ("supported", 0.0)
    assert one(decisions.equivalence(SIX + 1, SIX, test), test)[:2] == ("contradicted", 0.0)


def test_no_worse_is_one_sided():
    """A regret that falls by 0.5 is no worse, one that rises by 0.5 is; the effect is the plain difference."""
    test = NonInferiority("a", "b", margin=0.1, better="below", control="c")
    small = np.array([0.02, -0.02] * 3)
    fell = decisions.non_inferiority(small - 0.5, np.zeros(6), test)
    rose = decisions.non_inferiority(small + 0.5, np.zeros(6), test)
    assert (one(fell, test)[0], one(rose, test)[0]) == ("supported", "contradicted")
    half = T_950 * sqrt(6 * 0.02**2 / 5) / sqrt(6)
    assert (rose.effect, rose.low, rose.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), rel=1e-5)
    assert "below 0.1" in rose.method
    score = NonInferiority("a", "b", margin=0.1, better="above", control="c")
    assert one(decisions.non_inferiority(small - 0.5, np.zeros(6), score), score)[0] == "contradicted"


def test_a_trend_within_every_seed():
    """Three doses in order in six seeds: one in 3!^6 orders, doubled for the other direction."""
    doses = [0.0, 0.25, 1.0]
    values = SIX[:, None] + 2.0 * np.array(doses)
    rises, falls = DoseResponse(("a", "b", "c"), "rises"), DoseResponse(("a", "b", "c"), "falls")
    finding = decisions.trend(values, doses, rises)
    assert (finding.effect, finding.low, finding.high) == pytest.approx((2.0, 2.0, 2.0))
    assert finding.correlation == pytest.approx(1.0)
    outcome, p_value, _ = one(finding, rises)
    assert outcome == "supported"
    assert p_value == pytest.approx(2 / 6**6)
    assert one(decisions.trend(values, doses, falls), falls)[0] == "contradicted"
    flat = decisions.trend(np.ones((6, 3)), doses, rises)
    assert one(flat, rises)[:2] == ("inconclusive", 1.0)


NORMAL = [
    Level(("a",), "above"),
    Difference(("a",), "b", "below"),
    Equivalence("a", "b", margin=1.0, control="c"),
    NonInferiority("a", "b", margin=1.0, better="above", control="c"),
    DoseResponse(("a", "b", "c", "d"), "rises"),
]


def outcome_at_the_edge(test, generator: np.random.Generator, seeds: int):
    """The outcome where the claim is just not true: no level, no difference, a difference of just the margin."""
    baseline = generator.normal(size=seeds)
    values = baseline + generator.normal(size=seeds)
    match test:
        case Level():
            finding = decisions.level(values - baseline, test)
        case Difference():
            finding = decisions.difference(values, baseline, test)
        case Equivalence():
            finding = decisions.equivalence(values + test.margin, baseline, test)
        case NonInferiority():
            finding = decisions.non_inferiority(values - test.margin, baseline, test)
        case DoseResponse():
            finding = decisions.trend(baseline[:, None] + generator.normal(size=(seeds, 4)), [0, 0.25, 0.5, 1], test)
    return one(finding, test)[0]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 10])
@pytest.mark.parametrize("test", NORMAL, ids=lambda test: type(test).__name__)
def test_type_1_errors_occur_at_rate_alpha(test, seeds):
    """Both outcomes are wrong where there is nothing; at the edge of a margin each is allowed alpha."""
    generator, repetitions = np.random.default_rng(11), 2000
    outcomes = [outcome_at_the_edge(test, generator, seeds) for _ in range(repetitions)]
    allowed = test.alpha + 3 * sqrt(test.alpha * (1 - test.alpha) / repetitions)
    shares = {outcome: outcomes.count(outcome) / repetitions for outcome in ("supported", "contradicted")}
    if isinstance(test, Equivalence | NonInferiority):
        assert max(shares.values()) <= allowed, shares
    else:
        assert sum(shares.values()) <= allowed, shares
    # A test that never speaks would pass the above.
    assert sum(shares.values()) >= 0.01, shares


@pytest.mark.slow
def test_the_family_wise_error_rate_is_alpha():
    generator, repetitions, arms = np.random.default_rng(12), 1000, ("a", "c", "d")
    test = Difference(arms, "b", "above")
    wrong = 0
    for _ in range(repetitions):
        baseline = generator.normal(size=10)
        findings = [decisions.difference(generator.normal(size=10), baseline, test) for _ in arms]
        wrong += any(outcome != "inconclusive" for outcome, *_ in decisions.outcomes(findings, [test] * len(findings)))
    assert 0.005 <= wrong / repetitions <= 0.05 + 3 * sqrt(0.05 * 0.95 / repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 10])
def test_true_effects_are_detected(seeds):
    """A shift of three standard deviations is seen nearly always, and on the right side."""
    generator, test = np.random.default_rng(13), Difference(("a",), "b", "below")
    outcomes = []
    for _ in range(200):
        baseline = generator.normal(size=seeds)
        outcomes.append(one(decisions.difference(baseline + generator.normal(-3, 1, seeds), baseline, test), test)[0])
    assert outcomes.count("supported") >= 190
    assert "contradicted" not in outcomes


def claim(test: EveryCase, numbers=(), name: str = "push-down") -> Claim:
    return Claim(name, "the max", "Q at -7 is pushed down.", "tutorial", "slope", lambda: numbers, test)


@pytest.mark.parametrize("bounds", [(), (-inf, inf), (inf, inf), (nan, nan), (nan, 1.0), (1.0, nan), (2.0, 1.0)])
def test_a_test_that_cannot_fail_or_cannot_pass_is_refused(bounds):
    with pytest.raises(ValueError, match="at_least="):
        EveryCase(*bounds)


def test_the_case_nearest_to_its_bound_decides():
    result = verdict(claim(EveryCase(at_least=-10)), [-7.0, -9.5, -8.0])
    assert (result.outcome, result.effect) == ("supported", -9.5)
    assert (result.low, result.high, result.n) == (-9.5, -7.0, 3)
    assert result.method == "every case at least -10"


def test_one_case_outside_contradicts_and_the_farthest_is_named():
    result = verdict(claim(EveryCase(0.0, 1.0)), [[0.5, 1.25], [-0.5, 0.0]])
    assert (result.outcome, result.effect, result.n) == ("contradicted", -0.5, 4)
    assert (result.low, result.high) == (-0.5, 1.25)


def test_a_bound_itself_still_passes():
    assert verdict(claim(EveryCase(0.0, 0.0)), 0.0).outcome == "supported"
    assert verdict(claim(EveryCase(at_most=2.0)), [2.0]).outcome == "supported"
    assert verdict(claim(EveryCase(at_most=2.0)), [np.nextafter(2.0, 3.0)]).outcome == "contradicted"


def test_infinite_cases_are_tested_against_finite_bounds():
    assert verdict(claim(EveryCase(at_most=0.0)), [-inf, -1.0]).outcome == "supported"
    unbounded = verdict(claim(EveryCase(at_most=0.0)), [-1.0, inf])
    assert (unbounded.outcome, unbounded.effect) == ("contradicted", inf)


@pytest.mark.parametrize("numbers", [[], [0.5, nan], nan])
def test_without_numbers_or_with_a_nan_nothing_is_concluded(numbers):
    result = verdict(claim(EveryCase(at_most=1.0)), numbers)
    assert result.outcome == "inconclusive"
    assert isnan(result.effect)
    assert isnan(result.low)
    assert result.n == np.size(numbers)


def test_descriptions_of_tests():
    assert in_words(EveryCase(at_most=1e-9)) == "every case at most 1e-09"
    assert in_words(EveryCase(-2, 0.5)) == "every case at least -2 and at most 0.5"
    assert in_words(EveryCase(-2, -2)) == "every case equals -2"
    assert in_words(EveryCase(-5 - 1e-9, -5 + 1e-9)) == "every case equals -5 within 1e-09"
    assert in_words(EveryCase(-1e-9, 1e-9)) == "every case equals 0 within 1e-09"


def test_every_claim_is_measured_once_in_order():
    measured = []

    def measure(value):
        measured.append(value)
        return value

    claims = [
        Claim(str(value), "t", "s", "derived", "m", lambda value=value: measure(value), EveryCase(at_most=1))
        for value in (2, 1)
    ]
    assert [(result.claim.id, result.outcome) for result in judge_exact(claims)] == [
        ("2", "contradicted"),
        ("1", "supported"),
    ]
    assert measured == [2, 1]


def test_duplicate_ids_are_refused():
    twice = [claim(EveryCase(at_most=1), 0.0), claim(EveryCase(at_least=1), 2.0)]
    with pytest.raises(ValueError, match="push-down: the id is not unique"):
        judge_exact(twice)
