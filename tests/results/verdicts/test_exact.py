"""Claims held against their numbers, by hand."""

from math import inf, isnan, nan

import numpy as np
import pytest

from ablations.claim import Claim, EveryCase
from results.verdicts.exact import in_words, judge, verdict


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
    assert [(result.claim.id, result.outcome) for result in judge(claims)] == [
        ("2", "contradicted"),
        ("1", "supported"),
    ]
    assert measured == [2, 1]


def test_duplicate_ids_are_refused():
    twice = [claim(EveryCase(at_most=1), 0.0), claim(EveryCase(at_least=1), 2.0)]
    with pytest.raises(ValueError, match="push-down: the id is not unique"):
        judge(twice)
