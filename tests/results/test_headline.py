"""The sentences with which a report begins."""

import pandas as pd
import pytest

from ablations.claims import CLAIMS
from results.headline import FALLS, FALLS_LESS, headlines
from results.verdicts.decisions import Outcome, Verdict

CLAIM = {claim.id: claim for claim in CLAIMS}


def verdicts(falls: Outcome, less: Outcome) -> list[Verdict]:
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
        ("contradicted", "supported", 0.4, "rises after the switch; Cal-QL's changes for the better beside it."),
    ],
)
def test_the_words_follow_the_verdicts(falls, less, with_floor, sentence):
    (headline,) = headlines(verdicts(falls, less), measures(with_floor))
    assert headline.startswith("On maze, CQL's success rate ")
    assert sentence in headline


def test_the_numbers_have_n_and_intervals():
    """t(0.975, 7) = 2.364624; standard deviation 0.01 sqrt(8 / 7), so a half width of 0.0089."""
    (headline,) = headlines(verdicts("supported", "supported"), measures(0.0))
    assert (
        "CQL -0.20 [-0.21, -0.19] from 0.90, Cal-QL +0.00 [-0.01, 0.01] from 0.90 (95% t intervals, n = 8 seeds)"
        in (headline)
    )
    (replicated,) = headlines(verdicts("supported", "supported"), measures(0.0, data_seeds=4))
    assert "n = 4 data seeds" in replicated


def test_without_both_verdicts_there_is_no_sentence():
    assert headlines([], measures(0.0)) == []
    assert headlines(verdicts("too few seeds", "too few seeds"), measures(0.0)) == []
    assert headlines(verdicts("supported", "supported")[:1], measures(0.0)) == []
