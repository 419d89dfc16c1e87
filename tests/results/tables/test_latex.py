"""Tables in LaTeX."""

import pandas as pd

from results.tables import Table
from results.tables.latex import latex
from results.tables.scores import scores
from tests.results.tables.made_frames import frame_of


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
