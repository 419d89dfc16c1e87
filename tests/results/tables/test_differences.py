"""Differences within seed against values worked by hand."""

import math

import pytest

from results.tables.differences import differences
from tests.results.tables.made_frames import frame_of, number


def test_differences_pair_seeds_that_both_have():
    # Seed 2 failed for cql: pairs 0.5 - 0.1 and 0.7 - 0.2, mean 0.45; correlation of two points is 1.
    frame = frame_of(
        ("cql", 0, "done", 0.1, 0.0), ("cql", 1, "done", 0.2, 0.0), ("cql", 2, "failed", math.nan, math.nan),
        ("monte_carlo", 2, "done", 0.9, 0.0), ("monte_carlo", 1, "done", 0.7, 0.0),
        ("monte_carlo", 0, "done", 0.5, 0.0),
    )  # fmt: skip
    table = differences(frame)
    row = number(table, "monte_carlo", "offline_score")
    assert row["mean"] == pytest.approx(0.45)
    assert (row["n"], row["method"]) == (2, "paired t, 95%")
    assert row["correlation"] == pytest.approx(1.0)
    assert table.text.iloc[0]["Score, offline end"].startswith("+0.45 [")
    assert differences(frame[frame["arm"] == "monte_carlo"]) is None


def test_implementations_are_held_against_their_reference():
    rows = [
        (arm, seed, "done", 0.1 + place, 0.0) for place, arm in enumerate(("reference", "official")) for seed in (0, 1)
    ]
    table = differences(frame_of(*rows))
    assert table.title == "Difference to Cal-QL, reference within seed"
    row = number(table, "official", "offline_score")
    assert (row["baseline"], row["mean"]) == ("reference", pytest.approx(1.0))
    both = differences(frame_of(*rows, ("cql", 0, "done", 0.1, 0.0)))
    assert set(both.numbers["baseline"]) == {"cql"}


def test_only_what_the_sign_flip_test_rejects_is_marked_after_holm():
    # Six seeds, one arm always better by another amount: p = 2/64 = 0.031; with a second arm twice that, with one alone
    # below 0.05.
    rows = [("cql", seed, "done", 0.1, 0.0) for seed in range(6)]
    rows += [("monte_carlo", seed, "done", 0.3 + 0.05 * seed, 0.0) for seed in range(6)]
    alone = differences(frame_of(*rows))
    row = number(alone, "monte_carlo", "offline_score")
    assert (row["p_value"], row["p_holm"]) == (pytest.approx(2 / 64), pytest.approx(2 / 64))
    assert alone.text.iloc[0]["Score, offline end"].endswith("]*")
    assert not alone.text.iloc[0]["Score, online end"].endswith("*")
    with_second = differences(frame_of(*rows, *[("learned", seed, "done", 0.1, 0.0) for seed in range(6)]))
    assert number(with_second, "monte_carlo", "offline_score")["p_holm"] == pytest.approx(4 / 64)
    assert not with_second.text["Score, offline end"].str.endswith("*").any()


def test_pairs_without_a_number_are_counted():
    rows = [(arm, seed, "done", 0.5, 0.0) for arm in ("cql", "monte_carlo") for seed in range(3)]
    table = differences(frame_of(*rows, regret_train=[0.5, 0.5, 0.5, math.nan, 0.4, 0.4]))
    assert table.text.iloc[0]["regret_train"] == "-0.10 [-0.10, -0.10] (n = 2)"
    assert list(table.text.columns)[-2:] == ["r", "n"]
    assert table.text.iloc[0]["n"] == "3"
