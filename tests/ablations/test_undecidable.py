"""Which claims a grid cannot decide, known before it is run."""

import pytest

from ablations.claim import Claim, Difference, DoseResponse, Equivalence, Level
from ablations.claims import undecidable
from ablations.grids import grid, runs_of

TASK = "winding-road"


def claim(test, primary=False) -> Claim:
    return Claim("made-up", "Topic", "A statement.", "derived", "score", lambda runs: runs["dip"], test, None, primary)


def runs(*arms, seeds=6):
    return grid((TASK,), arms, range(seeds), "demo")


def test_six_seeds_decide_one_comparison_but_not_two():
    """2 / 2^6 = 0.031 passes, twice that does not; seven seeds give 2 x 2 / 2^7 = 0.031."""
    one, two = (claim(Difference(arms, "cql", "above")) for arms in (("learned",), ("learned", "monte_carlo")))
    grid = runs("cql", "learned", "monte_carlo")
    assert undecidable(grid, [one]) == []
    (entry,) = undecidable(grid, [two])
    assert (entry.task, entry.seeds, entry.needed) == (TASK, 6, 7)
    assert undecidable(runs("cql", "learned", "monte_carlo", seeds=7), [two]) == []


def test_five_seeds_decide_nothing():
    tests = (Level(("cql",), "above"), Equivalence("learned", "cql", 0.1, "control"),
             DoseResponse(("cql", "learned", "monte_carlo"), "rises"))  # fmt: skip
    for test in tests:
        (entry,) = undecidable(runs("cql", "learned", "monte_carlo", seeds=5), [claim(test)])
        assert (entry.seeds, entry.needed) == (5, 6)


def test_claims_without_their_arms_are_not_named():
    assert undecidable(runs("learned", seeds=2), [claim(Difference(("learned",), "cql", "above"))]) == []
    assert undecidable(runs("cql", "learned", seeds=2), [claim(DoseResponse(("cql", "learned", "x"), "rises"))]) == []


def test_several_data_seeds_are_counted_instead_of_seeds():
    """Four data seeds of six seeds are four replicates; twelve of one seed are twelve."""
    level = claim(Level(("cql",), "above"))
    (entry,) = undecidable(grid((TASK,), ("cql",), range(6), "demo", data_seeds=range(4)), [level])
    assert (entry.seeds, entry.needed) == (4, 6)
    assert undecidable(grid((TASK,), ("cql",), range(1), "demo", data_seeds=range(12)), [level]) == []


def test_primary_claims_are_one_family():
    single = claim(Difference(("learned",), "cql", "above"), primary=True)
    grid = runs("cql", "learned")
    assert undecidable(grid, [single]) == []
    assert [entry.needed for entry in undecidable(grid, [single, single])] == [7, 7]


@pytest.mark.parametrize("name", ["smoke", "floors"])
def test_a_verdict_of_too_few_seeds_is_foreseen(name):
    """The registered claims: two seeds of `smoke` decide none of those with both arms."""
    named = {entry.claim.id for entry in undecidable(runs_of(name))}
    assert named
    assert ("every-dose-costs-score" in named) is (name == "floors")
