"""The table of verdicts: order, readable numbers, and its files."""

from math import inf, nan

import pandas as pd
import pytest

from ablations.claim import Claim, EveryCase, Level
from results.tables import write
from results.verdicts.decisions import Verdict, judge_exact
from results.verdicts.table import by_topic, effect, number, verdict_table


def claim(name: str, topic: str, numbers=(0.5,), corrects: str | None = None) -> Claim:
    test = EveryCase(at_most=1.0)
    return Claim(name, topic, f"Statement of {name}.", "tutorial, 2", "gap", lambda: numbers, test, corrects)


@pytest.fixture
def verdicts() -> list[Verdict]:
    """Two topics, mixed; a correction of a correction far from both; a correction of something not here."""
    return judge_exact(
        [
            claim("a", "max", [-35.0, 2.0]),
            claim("b", "bias"),
            claim("c", "max"),
            claim("a-when-deterministic", "conditions", [1.2e-11, -7.0], "a-if-small"),
            claim("a-if-small", "max", [nan], "a"),
            claim("d", "bias", corrects="elsewhere"),
        ]
    )


def test_topics_as_they_come_and_corrections_below_what_they_correct(verdicts):
    order = {topic: [verdict.claim.id for verdict in group] for topic, group in by_topic(verdicts).items()}
    assert order == {"max": ["a", "a-if-small", "a-when-deterministic", "c"], "bias": ["b", "d"]}


def test_a_circle_of_corrections_is_refused():
    circle = judge_exact([claim("a", "t", corrects="b"), claim("b", "t", corrects="a"), claim("c", "t")])
    with pytest.raises(ValueError, match="claims a, b: their corrections form a cycle"):
        by_topic(circle)


def test_a_row_for_machines_and_a_row_for_people(verdicts):
    table = verdict_table(verdicts)
    numbers, text = table.numbers.set_index("id"), table.text.set_index("Id")
    assert list(numbers.index) == list(text.index) == ["a", "a-if-small", "a-when-deterministic", "c", "b", "d"]
    assert numbers.loc["a", ["outcome", "effect", "low", "high", "n"]].to_list() == ["contradicted", 2.0, -35.0, 2.0, 2]
    assert numbers.loc["a-when-deterministic", "topic"] == "max"
    assert numbers.loc["a-if-small", "corrects"] == "a"
    assert text.loc["a", ["Claim", "Verdict", "Effect", "n"]].to_list() == [
        "Statement of a.", "contradicted", "2 [-35, 2]", "2",
    ]  # fmt: skip
    assert text.loc["a-if-small", "Claim"] == "Statement of a-if-small. (corrects: a)"
    assert text.loc["a-if-small", ["Verdict", "Effect"]].to_list() == ["inconclusive", "-"]
    assert text.loc["a", "Metric"] == "gap; every case at most 1"


def test_verdicts_on_runs_have_their_place_test_and_remark():
    """Two tasks of one claim stand together, and its correction once, behind both."""
    level = Claim("low", "scale", "It is low.", "tutorial", "Q", lambda: (), Level(("cql",), "below"))
    instead = Claim("lower", "scale", "It is lower.", "derived", "Q", lambda: (), Level(("cql",), "below"), "low")
    verdicts = [
        Verdict(level, "supported", -3.0, -4.0, -2.0, 6, "t", "maze", "cql", 0.03125, nan, "", ("a1", "b2")),
        Verdict(level, "not tested", nan, nan, nan, 0, "", "road", "cql", remark="no finished run of cql"),
        Verdict(instead, "contradicted", 2.0, 1.0, 3.0, 6, "t", "maze", "cql", 1e-5, -0.6),
    ]
    table = verdict_table(verdicts)
    text, numbers = table.text.set_index("Id"), table.numbers
    assert list(text.index) == ["low", "low", "lower"]
    assert text["Where"].to_list() == ["maze, CQL", "road, CQL", "maze, CQL"]
    assert text["p"].to_list() == ["0.031", "-", "<0.001"]
    assert text["r"].to_list() == ["-", "-", "-0.60"]
    assert text["Remark"].to_list() == ["", "no finished run of cql", ""]
    assert numbers["runs"].to_list() == ["a1 b2", "", ""]
    assert sum(table.prose.values()) < 0.75
    assert len(table.notes) == 2


def test_a_single_number_is_shown_without_interval(verdicts):
    assert effect(verdicts[1]) == "0.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-35.0, "-35"), (1.2e-11, "1.2e-11"), (-0.0, "0"), (1 / 3, "0.3333"), (-12345.6, "-12346"), (999.99, "1000"),
     (0.00099, "0.00099"), (3e6, "3e+06"), (inf, "inf")],
)  # fmt: skip
def test_numbers_are_readable(value, shown):
    assert number(value) == shown


def test_files_of_the_table(verdicts, tmp_path):
    csv, md, tex = write(verdict_table(verdicts), tmp_path)
    assert list(pd.read_csv(csv).columns) == [
        "id", "topic", "outcome", "effect", "low", "high", "n", "method", "corrects", "source",
        "primary", "control", "task", "arm", "p_value", "correlation", "remark", "runs",
    ]  # fmt: skip
    assert md.read_text().count("| contradicted ") == 1
    text = tex.read_text()
    assert text.index(r"\emph{max}") < text.index("a-when-deterministic") < text.index(r"\emph{bias}")
    assert "2 [$-$35, 2]" in text
    assert r"p{0.27\textwidth}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "caption" not in line]
    # The heading twice (it is repeated on every page) and six claims, each of seven cells.
    assert [line.count("&") for line in rows] == [6] * 8
    assert text.count(r"\begin{") == text.count(r"\end{") == 1
