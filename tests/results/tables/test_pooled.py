"""Aggregates over tasks, computed by hand."""

import math

import pytest

from results.tables.pooled import pooled
from tests.support.made_frames import frame_of


def two_tasks(*extra, **changes):
    """CQL and Cal-QL, four seeds, on two tasks: Cal-QL ends 0.1 above on the first, the same on the second."""
    rows = [(arm, seed, "done", 0.5, 0.0) for arm in ("cql", "monte_carlo") for _ in range(2) for seed in range(4)]
    finals = [0.1, 0.2, 0.3, 0.4, 0.6, 0.6, 0.6, 0.6, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6]
    tasks = (["first"] * 4 + ["second"] * 4) * 2
    return frame_of(*rows, *extra, task=[*tasks, *["first"] * len(extra)],
                    final_score=[*finals, *[0.9] * len(extra)], **changes)  # fmt: skip


def value(table, arm, metric):
    numbers = table.numbers
    return numbers[(numbers["arm"] == arm) & (numbers["metric"] == metric)].iloc[0]


def test_pooled_values_by_hand():
    table = pooled(two_tasks())
    # Of .1 .2 .3 .4 .6 .6 .6 .6 the middle four: .3 .4 .6 .6.
    assert value(table, "cql", "final_iqm")["mean"] == pytest.approx(1.9 / 4)
    assert value(table, "cql", "final_iqm")["n"] == 8
    assert value(table, "cql", "optimality_gap")["mean"] == pytest.approx(1 - 3.4 / 8)
    # First task: .2 wins 1 of 4 and ties 1; .3: 2 and 1; .4: 3 and 1; .5: 4. Second: all ties.
    first = (1.5 + 2.5 + 3.5 + 4) / 16
    assert value(table, "monte_carlo", "improvement")["mean"] == pytest.approx((first + 0.5) / 2)
    assert list(table.text["Arm"]) == ["CQL", "Cal-QL, Monte Carlo floor"]
    assert "Tasks" not in table.text, "they are the same in every row"
    assert table.notes[0] == "n: runs of an arm on first, second."
    assert table.text.iloc[0]["Improvement"] == "-"
    assert table.text.iloc[0]["IQM, online end"].startswith("0.48 [")
    interval = value(table, "cql", "final_iqm")
    assert interval["low"] < interval["mean"] < interval["high"]


def test_the_same_runs_give_the_same_intervals():
    first, second = pooled(two_tasks()), pooled(two_tasks())
    assert first.numbers.equals(second.numbers)


def test_an_arm_that_a_task_lacks_is_not_pooled_and_named():
    table = pooled(two_tasks(("learned", 0, "done", 0.5, 0.0)))
    assert set(table.numbers["arm"]) == {"cql", "monte_carlo"}
    assert "Not included, because they lack runs on some of these tasks: Cal-QL, learned floor." in table.notes


def test_one_task_is_not_pooled():
    assert pooled(frame_of(("cql", 0, "done", 0.5, 0.0))) is None
    assert pooled(two_tasks().query("arm != 'cql'")) is None


def test_a_run_without_a_score_leaves_its_pair_out():
    frame = two_tasks()
    frame.loc[0, "final_score"] = math.nan
    table = pooled(frame)
    assert value(table, "cql", "final_iqm")["n"] == 7
    assert value(table, "monte_carlo", "improvement")["n"] == 7
    assert value(table, "monte_carlo", "final_iqm")["n"] == 8
    # .2 .3 .4 .6 .6 .6 .6 without one at either end.
    assert value(table, "cql", "final_iqm")["mean"] == pytest.approx(2.5 / 5)
