"""What a report says of the claims, in short and at length."""

from math import nan

from ablations.claim import Claim, EveryCase
from ablations.decision import Difference
from results.claim_sections import LAB, NOT_RUN, overview
from results.verdicts.exact import judge
from results.verdicts.verdict import Verdict

RUNS = Claim("dose", "floor", "Doses cost.", "derived", "score", lambda: (), Difference(("a", "b"), "c", "below"))
LEVEL = Claim("low", "scale", "It is low.", "derived", "Q", lambda: (), Difference(("a",), "c", "below"))
EXACT = Claim("jensen", "floor", "E max is max E.", "derived", "gap", lambda: [1.0], EveryCase(at_most=0.0))


def verdict(claim, outcome, task, arm, n=6) -> Verdict:
    return Verdict(claim, outcome, 0.0, -1.0, 1.0, n, "t", task, arm, nan)


def test_a_row_per_claim_and_a_column_per_task_and_for_the_lab():
    table = overview(
        [
            verdict(RUNS, "supported", "maze", "a"),
            verdict(RUNS, "inconclusive", "maze", "b"),
            verdict(RUNS, "supported", "road", "a"),
            verdict(RUNS, "supported", "road", "b"),
            verdict(LEVEL, "contradicted", "maze", "a"),
            verdict(LEVEL, "inconclusive", "road", "a", n=0),
            *judge([EXACT]),
        ]
    )
    assert list(table.columns) == ["Topic", "Id", "Claim", "maze", "road", LAB]
    assert table.to_numpy().tolist() == [
        ["floor", "dose", "Doses cost.", "1 supported, 1 inconclusive", "supported", NOT_RUN],
        ["floor", "jensen", "E max is max E.", NOT_RUN, NOT_RUN, "contradicted"],
        ["scale", "low", "It is low.", "contradicted", NOT_RUN, NOT_RUN],
    ]
