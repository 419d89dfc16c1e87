"""The matrix, the sections and the headlines of claims."""

from dataclasses import replace
from math import nan

import pandas as pd
import pytest

from ablations.claim import Claim, Difference, EveryCase
from ablations.claims import CLAIMS
from results.reports.claim_sections import (
    FALLS,
    FALLS_LESS,
    LAB,
    ClaimSection,
    claim_sections,
    headlines,
    matrix,
    places,
)
from results.tables.scores import differences
from results.verdicts.decisions import Outcome, Verdict, judge_exact
from tests.support.made_frames import frame_of

RUNS = Claim("dose", "floor", "Doses cost.", "derived", "score", lambda: (), Difference(("a", "b"), "c", "below"))
LEVEL = Claim("low", "scale", "It is low.", "derived", "Q", lambda: (), Difference(("a",), "c", "below"))
UNSEEN = Claim("far", "scale", "It is far.", "derived", "Q", lambda: (), Difference(("a",), "c", "below"))
EXACT = Claim("jensen", "floor", "E max is max E.", "derived", "gap", lambda: [1.0], EveryCase(at_most=0.0))


def verdict(claim, outcome, task, arm, n=6) -> Verdict:
    return Verdict(claim, outcome, 0.0, -1.0, 1.0, n, "t", task, arm, nan)


VERDICTS = [
    verdict(RUNS, "supported", "maze", "a"),
    verdict(RUNS, "inconclusive", "maze", "b"),
    verdict(RUNS, "supported", "road", "a"),
    verdict(RUNS, "supported", "road", "b"),
    verdict(LEVEL, "contradicted", "maze", "a"),
    verdict(LEVEL, "not tested", "road", "a", n=0),
    verdict(UNSEEN, "not tested", "road", "a", n=0),
]


def test_the_matrix_has_a_row_per_tested_claim_and_a_cell_per_task_and_for_the_exact_lab():
    verdicts = [*VERDICTS, *judge_exact([EXACT])]
    assert places(verdicts) == ["maze", "road", LAB]
    rows = [(row.topic, row.id, row.link, [cell.text for cell in row.cells]) for row in matrix(verdicts)]
    nothing = "\N{EN DASH}"
    assert rows == [
        ("floor", "dose", "claims.html#claim-dose", ["1 \N{CHECK MARK} 1 ?", "2 \N{CHECK MARK}", nothing]),
        ("floor", "jensen", "exact/report.html#claim-jensen", [nothing, nothing, "\N{BALLOT X}"]),
        ("scale", "low", "claims.html#claim-low", ["\N{BALLOT X}", nothing, nothing]),
    ]
    first = matrix(verdicts)[0].cells
    assert [(cell.outcome, cell.title) for cell in first] == [
        ("inconclusive", "1 supported, 1 inconclusive"), ("supported", "2 supported"), ("not tested", "not tested"),
    ]  # fmt: skip


def test_a_section_counts_its_outcomes():
    counts = {one.claim.id: one.counts for one in claim_sections(VERDICTS)}
    assert counts["dose"] == {"supported": 3, "inconclusive": 1}
    assert counts["far"] == {"not tested": 1}


def section(*verdicts):
    return ClaimSection(verdicts[0].claim, list(verdicts), [])


def test_what_all_verdicts_share_is_stated_once():
    open_question = replace(verdict(LEVEL, "inconclusive", "road", "a"), remark="it does not pass")
    shared = section(verdict(LEVEL, "supported", "maze", "a"), open_question)
    assert shared.how == "t; inconclusive: it does not pass"
    assert list(shared.table.columns) == ["Task", "Verdict", "Effect", "n", "p"]
    assert shared.table.to_numpy().tolist() == [
        ["maze", "supported", "0 [-1, 1]", "6", "-"],
        ["road", "inconclusive", "0 [-1, 1]", "6", "-"],
    ]


def test_what_differs_between_verdicts_has_a_column():
    first = replace(
        verdict(RUNS, "supported", "maze", "a"), correlation=0.5, remark="a seed is missing", runs=("1", "2")
    )
    second = replace(
        verdict(RUNS, "inconclusive", "maze", "b"), method="exact", remark="it does not pass", runs=("2", "3")
    )
    shared = section(first, second)
    assert shared.how == ""
    assert list(shared.table.columns) == ["Task", "Arm", "Verdict", "Effect", "n", "p", "r", "Method", "Remark"]
    assert shared.table["r"].tolist() == ["0.50", "-"]
    assert shared.table["Method"].tolist() == ["t", "exact"]
    assert shared.table["Remark"].tolist() == ["a seed is missing", "it does not pass"]
    assert shared.runs == ["1", "2", "3"]
    remarked = section(first, replace(second, remark="", method="t"))
    assert "Remark" in remarked.table, "the remark does not explain an inconclusive verdict"


CLAIM = {claim.id: claim for claim in CLAIMS}


def decided(falls: Outcome, less: Outcome) -> list[Verdict]:
    return [
        Verdict(CLAIM[name], outcome, -0.2, -0.3, -0.1, 8, "", "maze")
        for name, outcome in ((FALLS, falls), (FALLS_LESS, less))
    ]


def measures(with_floor: float, data_seeds: int = 1) -> pd.DataFrame:
    """Eight seeds of each arm: CQL changes by -0.2, Cal-QL by a number, both +-0.01."""
    return pd.DataFrame(
        [
            {"task": "maze", "arm": arm, "data_seed": seed % data_seeds, "seed": seed, "baseline_score": 0.9,
             "online_change": change + 0.01 * (-1) ** (seed // 4)}
            for arm, change in (("cql", -0.2), ("monte_carlo", with_floor))
            for seed in range(8)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("falls", "less", "with_floor", "sentence"),
    [
        ("supported", "supported", 0.0, "CQL's success rate falls after the switch and Cal-QL's does not."),
        ("supported", "supported", -0.1, "CQL's success rate falls after the switch and Cal-QL's falls less."),
        ("supported", "inconclusive", -0.1, "falls after the switch, and Cal-QL's not significantly less."),
        ("supported", "contradicted", -0.4, "falls after the switch, and Cal-QL's falls more."),
        ("inconclusive", "inconclusive", 0.0, "does not change significantly after the switch; Cal-QL's change"),
        ("contradicted", "supported", 0.4, "rises after the switch; Cal-QL's change is significantly better."),
    ],
)
def test_the_words_follow_from_the_verdicts(falls, less, with_floor, sentence):
    (headline,) = headlines(decided(falls, less), measures(with_floor))
    assert headline.startswith("On maze, CQL's success rate ")
    assert sentence in headline


def test_the_numbers_have_n_and_intervals():
    """t(0.975, 7) = 2.364624; standard deviation 0.01 sqrt(8 / 7), so a half width of 0.0089."""
    (headline,) = headlines(decided("supported", "supported"), measures(0.0))
    assert (
        "CQL -0.20 [-0.21, -0.19] from 0.90, Cal-QL +0.00 [-0.01, 0.01] from 0.90 (95% t intervals, n = 8 seeds)"
        in (headline)
    )
    (replicated,) = headlines(decided("supported", "supported"), measures(0.0, data_seeds=4))
    assert "n = 4 data seeds" in replicated


def test_intervals_of_changes_stay_within_their_range():
    """Two seeds with -0.9 and -0.7: the t interval alone is [-2.07, 0.47], and no score can fall by more than 1."""
    two = measures(0.0).query("seed < 2").assign(online_change=[-0.9, -0.7, 0.0, 0.0])
    (headline,) = headlines(decided("supported", "supported"), two)
    assert "CQL -0.80 [-1.00, 0.47] from 0.90" in headline


def test_without_both_verdicts_there_is_no_sentence():
    assert headlines([], measures(0.0)) == []
    assert headlines(decided("too few seeds", "too few seeds"), measures(0.0)) == []
    assert headlines(decided("supported", "supported")[:1], measures(0.0)) == []


def test_without_tested_claims_the_largest_difference_comes_first():
    rows = [
        (arm, seed, "done", 0.5, -70.0) for arm in ("reference", "cql_merged_buffer", "official") for seed in range(8)
    ]
    regret = [0.1] * 8 + [0.15, 0.05] * 4 + [0.6, 0.7] * 4
    table = differences(frame_of(*rows, regret_eval=regret))
    untested = [verdict(UNSEEN, "not tested", "maze", "a", n=0)]
    (headline,) = headlines(untested, measures(0.0), table)
    # 0.55 on average, standard deviation 0.0535; t(0.975, 7) = 2.3646.
    assert headline == (
        "No registered claim is about these arms. Of 2 arms, Cal-QL, official differs most from Cal-QL, reference in "
        "regret_eval: +0.55 [0.51, 0.59] (95% paired t interval, n = 8 seeds). Significant after correction over the "
        "arms: 1."
    )
    few = differences(frame_of(*[row for row in rows if row[1] < 5], regret_eval=[0.1] * 5 + [0.2] * 5 + [0.6] * 5))
    (headline,) = headlines(untested, measures(0.0), few)
    assert headline.endswith("Significant after correction over the arms: none, which 5 seeds are too few to show.")
    assert headlines(VERDICTS, measures(0.0), table) == []
    assert headlines(untested, measures(0.0)) == []
