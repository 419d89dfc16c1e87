"""Tables in LaTeX."""

from results.tables.latex import latex
from results.tables.scores import scores
from tests.tables.made_frames import frame_of


def test_latex_is_escaped_and_has_a_minus():
    text = latex(scores(frame_of(("my_arm", 0, "done", 0.5, -70.0))))
    assert r"\toprule" in text
    assert r"\emph{maze}" in text
    assert r"my\_arm & 0.50 & " in text
    assert "$-$20.0" in text
    assert "95\\% t interval" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {8}
