"""Tables about values: scale of Q, learned floors, calibration against exact values."""

import math
from math import nan, sqrt

import pandas as pd
import pytest
from scipy import stats

from ablations.grids import runs_of
from results.frame import evaluations
from results.tables.values import COLUMNS, learned_floor, scale_mismatch, truth
from tests.support.made_frames import frame_of
from tests.support.run_folder_factory import write_done


def test_scale_mismatch_counts_seeds_below_the_return():
    rows = [("cql", 0, "done", 0, 0), ("cql", 1, "done", 0, 0), ("monte_carlo", 0, "done", 0, 0)]
    settings = {"algorithm.alpha": 20.0, "task.data.transitions": 100_000}
    table = scale_mismatch(frame_of(*rows, offline_q_data=[-60.0, -49.0, -45.0], **settings))
    assert list(table.numbers["below"]) == [True, False, False]
    assert list(table.numbers["difference"]) == [-10.0, 1.0, 5.0]
    assert list(table.text["Arm"]) == ["CQL", "Cal-QL, Monte Carlo floor"]
    assert list(table.text["Seeds below"]) == ["1 of 2", "0 of 1"]
    assert table.text["Calibration of Q(s, a)"][0].startswith("-4.5 [")
    assert table.text["Mean Q(s, a)"][1].startswith("-45.0")
    assert list(table.text["Mean return-to-go"]) == ["-50.0", "-50.0"]
    assert table.notes[-1] == "maze: transitions 100000, alpha 20."


def test_learned_floor_has_a_row_per_task_and_arm():
    assert learned_floor(frame_of(("cql", 0, "done", 0.5, 0.0))) is None
    rows = [("cql", 0, "done", 0.5, 0.0), ("learned", 3, "done", 0.5, 0.0), ("learned", 4, "done", 0.5, 0.0)]
    fits = {"learned_floor.held_out_rmse": [math.nan, 2.0, 3.0], "learned_floor.held_out_r2": [math.nan, 0.5, 0.9]}
    table = learned_floor(frame_of(*rows, **fits))
    assert list(table.numbers["seed"]) == [3, 4]
    (row,) = table.text.to_dict("records")
    assert (row["Arm"], row["n"]) == ("Cal-QL, learned floor", "2")
    # The t interval of two numbers 1 apart: 12.7 standard errors of 0.5 to each side.
    assert row["Held-out RMSE"] == "2.50 [0.00, 8.85]"
    assert "RMSE, V_mu" not in row
    assert row["Held-out R2"].startswith("0.700 [")


def test_learned_floor_has_the_error_against_the_truth_where_it_is_known():
    rows = [("learned", 0, "done", 0.5, 0.0), ("learned_td", 0, "done", 0.5, 0.0)]
    fits = {"learned_floor.held_out_rmse": 2.0, "learned_floor.exact_bias": [-1.0, math.nan],
            "learned_floor.exact_rmse": [1.5, math.nan]}  # fmt: skip
    first, second = learned_floor(frame_of(*rows, **fits)).text.to_dict("records")
    assert (first["Bias, V_mu"], first["RMSE, V_mu"]) == ("-1.00", "1.50")
    assert "nan" not in second["RMSE, V_mu"]


def row(arm, seed, step, calibration, floor=nan, task="winding-road"):
    return {
        "run": f"{task}{arm}{seed}",
        "task": task,
        "arm": arm,
        "data_seed": 0,
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
