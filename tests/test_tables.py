"""Tables against values worked by hand, and their files."""

import math

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import runs
from results.tables import differences, latex, learned_floor, scale_mismatch, scores, write
from tests.run_folder_factory import fail, write_done


def frame_of(*rows: tuple, **changes) -> pd.DataFrame:
    """A frame of runs with only what tables read; rows are (arm, seed, state, offline_score, q_policy)."""
    frame = pd.DataFrame(rows, columns=["arm", "seed", "state", "offline_score", "offline_q_policy"])
    constant = {
        "task": "maze", "final_score": 1.0, "regret_eval": 0.25, "regret_train": 0.5, "dip": 0.0, "recovery_steps": 0.0,
        "dip_window": 2000.0, "schedule.dense_interval": 500, "offline_q_data": -60.0, "offline_return_to_go": -50.0,
        "learned_floor.held_out_rmse": math.nan, "learned_floor.held_out_r2": math.nan, "learned_floor.steps": math.nan,
    }  # fmt: skip
    return frame.assign(**{**constant, **changes})


def number(table, arm, metric):
    here = table.numbers
    return here[(here["arm"] == arm) & (here["metric"] == metric)].iloc[0]


def test_scores_by_hand():
    # 0.2, 0.4, 0.6: mean 0.4, standard error 0.2/sqrt 3; t(0.975, 2) = 4.302653, half width 0.4968.
    table = scores(frame_of(*[("cql", seed, "done", 0.2 + 0.2 * seed, -70.0) for seed in range(3)]))
    row = number(table, "cql", "offline_score")
    assert row["mean"] == pytest.approx(0.4)
    assert row["high"] == pytest.approx(0.4 + 4.302653 * 0.2 / math.sqrt(3), abs=1e-6)
    assert (row["n"], row["method"]) == (3, "t, 95%")
    text = table.text.iloc[0]
    assert text["Score, offline end"] == "0.40 [-0.10, 0.90]"
    # Q(s, pi(s)) -70 against a mean return-to-go of -50.
    assert text["Calibration, offline end"] == "-20.0 [-20.0, -20.0]"
    assert text["Arm"] == "CQL"
    assert text["n"] == "3"


def test_unfinished_runs_are_counted_and_not_averaged():
    frame = frame_of(("new_arm", 0, "done", 0.5, 0.0), ("new_arm", 1, "failed", math.nan, math.nan))
    text = scores(frame).text.iloc[0]
    assert text["Score, offline end"] == "0.50"
    assert text["n"] == "1 of 2"
    assert text["Arm"] == "new_arm"


def test_an_arm_without_a_finished_run_keeps_its_row():
    frame = frame_of(("cql", 0, "done", 0.5, 0.0), ("learned", 0, "lost", math.nan, math.nan))
    text = scores(frame).text.set_index("Arm").loc["Cal-QL, learned floor"]
    assert (text["n"], text["Score, offline end"], text["Recovery"]) == ("0 of 1", "-", "0 of 0")


def test_recovery_counts_those_that_dipped():
    rows = [("cql", seed, "done", 0.5, 0.0) for seed in range(4)]
    table = scores(frame_of(*rows, dip=[0.0, 0.2, 0.1, 0.3], recovery_steps=[0.0, 1000.0, 2000.0, math.nan]))
    assert table.text.iloc[0]["Recovery"] == "2 of 3 [1,500 steps]"
    assert number(table, "cql", "recovery_steps")["n"] == 2


def test_definitions_name_window_and_spacing():
    notes = " ".join(scores(frame_of(("cql", 0, "done", 0.5, 0.0))).notes)
    assert "in the first 2,000 environment steps, evaluated every 500" in notes
    for metric in ("regret_eval", "regret_train", "Dip", "Recovery", "Calibration"):
        assert f"{metric}" in notes


def test_nothing_done_is_one_line():
    with pytest.raises(UserError, match=r"no run is done yet \(1 running\)"):
        scores(frame_of(("cql", 0, "running", math.nan, math.nan)))


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


def test_scale_mismatch_counts_seeds_below_the_return():
    rows = [("cql", 0, "done", 0, 0), ("cql", 1, "done", 0, 0), ("monte_carlo", 0, "done", 0, 0)]
    settings = {"algorithm.alpha": 20.0, "task.data.transitions": 100_000}
    table = scale_mismatch(frame_of(*rows, offline_q_data=[-60.0, -49.0, -45.0], **settings))
    assert list(table.numbers["below"]) == [True, False, False]
    assert list(table.numbers["difference"]) == [-10.0, 1.0, 5.0]
    assert "CQL: 1 of 2; Cal-QL, Monte Carlo floor: 0 of 1" in table.notes[0]
    assert "Seen with these settings: transitions 100000, alpha 20." in table.notes[0]
    assert list(table.text["CQL"]) == ["-60.0", "-49.0"]
    assert list(table.text["Cal-QL, Monte Carlo floor"]) == ["-45.0", "-"]


def test_learned_floor_has_a_row_per_fit():
    assert learned_floor(frame_of(("cql", 0, "done", 0.5, 0.0))) is None
    rows = [("cql", 0, "done", 0.5, 0.0), ("learned", 3, "done", 0.5, 0.0)]
    table = learned_floor(frame_of(*rows, **{"learned_floor.held_out_rmse": [math.nan, 2.345]}))
    assert list(table.text["Seed"]) == ["3"]
    assert table.text.iloc[0]["Held-out RMSE"] in ("2.35", "2.34")


def test_latex_is_escaped_and_has_a_minus():
    text = latex(scores(frame_of(("my_arm", 0, "done", 0.5, -70.0))))
    assert r"\toprule" in text
    assert r"\emph{maze}" in text
    assert r"my\_arm & 0.50 & " in text
    assert "$-$20.0" in text
    assert "95\\% t interval" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {8}


def test_files_are_the_same_bytes_twice(tmp_path):
    write_done(tmp_path / "runs", runs_of("smoke")[:3])
    fail(tmp_path / "runs", runs_of("smoke")[3], "diverged")
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        paths = write(scores(runs([tmp_path / "runs"])), folder)
        assert [path.name for path in paths] == ["scores.csv", "scores.md", "scores.tex"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    read = pd.read_csv(tmp_path / "a" / "scores.csv")
    assert set(read["metric"]) >= {"offline_score", "final_score", "regret_eval", "regret_train", "dip", "calibration"}
    assert "1 of 2" in (tmp_path / "a" / "scores.md").read_text()
