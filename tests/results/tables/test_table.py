"""A table as text, in LaTeX, and as files."""

import math

import pandas as pd

from ablations.grids import runs_of
from results.frame import runs
from results.statistics.intervals import Estimate
from results.tables import Table, write
from results.tables.scores import scores
from results.tables.table import interval_text, latex, number, spread
from tests.support.made_frames import frame_of
from tests.support.run_folder_factory import fail, write_done


def test_a_mean_with_its_interval():
    estimate = Estimate(-3.14159, -4.0, -2.2, 6, "t, 95%")
    assert interval_text(estimate, 1) == "-3.1 [-4.0, -2.2]"
    assert interval_text(estimate, 1, of=6) == "-3.1 [-4.0, -2.2]"
    assert interval_text(estimate, 1, of=7) == "-3.1 [-4.0, -2.2] (n = 6)"
    assert interval_text(Estimate(0.5, math.nan, math.nan, 1, ""), 2, sign=True) == "+0.50"
    assert interval_text(Estimate(math.nan, math.nan, math.nan, 0, ""), 2, of=3) == "-"


def test_halves_fall_to_the_even_side_however_they_were_summed():
    """Nineteen in forty, as two ways of summing have it; a float's own rounding has 0.47 and 0.48."""
    assert {number(mean, 2) for mean in (0.475, 0.4750000000000001, 0.47499999999999987)} == {"0.48"}
    assert [number(mean, 2) for mean in (0.015, 0.025, 0.465)] == ["0.02", "0.02", "0.46"]


def test_numbers():
    assert number(12345.678, 1) == "12,345.7"
    assert number(-0.001, 2) == "0.00"
    assert number(-0.001, 2, sign=True) == "+0.00"
    assert number(math.nan, 2) == "-"
    assert spread(pd.Series([2000.0, math.nan, 2000.0])) == "2,000"
    assert spread(pd.Series([500, 2000])) == "500 to 2,000"


def test_latex_is_escaped_and_has_a_minus():
    text = latex(scores(frame_of(("my_arm", 0, "done", 0.5, -70.0))))
    assert r"\toprule" in text
    assert r"\emph{maze}" in text
    assert r"my\_arm & 0.50 & " in text
    assert "$-$20.0" in text
    assert "95\\% t interval" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {8}


def test_a_table_without_groups_has_no_heading_rows():
    text = pd.DataFrame({"Arm": ["a", "b"], "n": ["1", "2"]})
    written = latex(Table("made", "Made", text, text, group=""))
    assert "multicolumn" not in written
    assert "a & 1 \\\\\nb & 2 \\\\\n" in written
    assert written.count(r"\midrule") == 1


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
