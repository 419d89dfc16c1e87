"""The truth table on hand-made evaluations."""

from math import nan, sqrt

import pandas as pd
import pytest
from scipy import stats

from ablations.grids import runs_of
from results.frame import evaluations
from results.tables.truth import COLUMNS, truth
from tests.support.run_folder_factory import write_done


def row(arm, seed, step, calibration, floor=nan, task="winding-road"):
    return {
        "run": f"{task}{arm}{seed}",
        "task": task,
        "arm": arm,
        "seed": seed,
        "step": step,
        "phase": "online" if step > 0 else "offline",
        "calibration_exact": calibration,
        "overestimation_exact": calibration - 8.0,
        "policy_gap_exact": 1.0,
        "floor_error": floor,
        "floor_rmse": floor,
    }


FRAME = pd.DataFrame(
    [
        row("cql", 0, -100, 90.0),
        row("cql", 0, 0, 1.0),
        row("cql", 0, 50, 70.0),
        row("cql", 0, 100, 5.0),
        row("cql", 1, 0, 3.0),
        row("cql", 1, 100, 7.0),
        row("exact", 0, 0, 4.0, floor=0.0),
        row("exact", 0, 100, 6.0, floor=0.0),
        row("cql", 0, 0, nan, task="pointmaze-umaze"),
    ]
)


def test_means_and_intervals_at_both_ends():
    table = truth(FRAME)
    lines = table.text.set_index(["At", "Arm"])
    assert list(lines.index) == [
        ("offline end", "CQL"),
        ("offline end", "Cal-QL, exact floor"),
        ("online end", "CQL"),
        ("online end", "Cal-QL, exact floor"),
    ]
    # Two numbers 2 apart: a standard error of 1.
    half = stats.t.ppf(0.975, 1) * sqrt(2) / sqrt(2)
    assert lines["Q - V_mu"].to_list() == [f"2.00 [{2 - half:.2f}, {2 + half:.2f}]", "4.00",
                                           f"6.00 [{6 - half:.2f}, {6 + half:.2f}]", "6.00"]  # fmt: skip
    assert lines["Q - V_pi"].str.split().str[0].to_list() == ["-6.00", "-4.00", "-2.00", "-2.00"]
    assert lines["Floor - V_mu"].to_list() == ["-", "0.00", "-", "0.00"]
    assert lines["n"].to_list() == ["2", "1", "2", "1"]
    assert set(table.text["Task"]) == {"winding-road"}, "tasks without known values have no place in it"


def test_numbers_are_one_row_per_estimate():
    numbers = truth(FRAME).numbers
    assert len(numbers) == 2 * 2 * len(COLUMNS)
    chosen = numbers[(numbers["at"] == "offline end") & (numbers["arm"] == "cql")].set_index("metric")
    assert chosen.loc["calibration_exact", ["mean", "n"]].to_list() == [2.0, 2]
    assert chosen.loc["floor_rmse", "n"] == 0


def test_without_an_online_phase_there_is_one_end():
    assert set(truth(FRAME[FRAME["step"] <= 0]).text["At"]) == {"offline end"}


def test_nothing_to_show_where_no_values_are_known(tmp_path):
    assert truth(FRAME[FRAME["task"] == "pointmaze-umaze"]) is None
    write_done(tmp_path, runs_of("smoke"))
    assert truth(evaluations([tmp_path])) is None


def test_real_rows_reach_the_table(tmp_path):
    write_done(tmp_path, [run for run in runs_of("truth") if run.seed < 2])
    table = truth(evaluations([tmp_path]))
    assert list(table.text["Arm"][:6]) == [
        "CQL",
        "Cal-QL, Monte Carlo floor",
        "Cal-QL, learned floor",
        "Cal-QL, exact floor",
        "Cal-QL, inflated by 0.25",
        "Cal-QL, inflated by 1",
    ]
    floors = table.numbers[table.numbers["metric"] == "floor_error"].set_index(["at", "arm"])["mean"]
    assert floors["offline end", "exact"] == pytest.approx(0.0)
    assert floors["online end", "inflated_1"] > floors["online end", "inflated_0.25"] > 0.0
