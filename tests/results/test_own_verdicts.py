"""The published verdicts are those of the published runs."""

import re

import pandas as pd
import pytest

from results import own_verdicts as module
from results.own_runs import OWN, PROJECT, own_runs
from results.own_verdicts import FILE, own_verdicts, text, write


@pytest.fixture(scope="module")
def found():
    return own_verdicts()


def test_the_file_is_up_to_date(found, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "own_verdicts", lambda: found)
    write(tmp_path / "verdicts.csv")
    assert (tmp_path / "verdicts.csv").read_text() == FILE.read_text(), "make report brings it up to date"


def test_a_row_says_what_was_claimed_and_found(found):
    assert not found.duplicated(["grid", "id", "task", "arm"]).any()
    row = found.query("id == 'learned-floor-regret' and task == 'fetch-push'").iloc[0]
    assert row["claim"] == "With a learned floor the regret is unaltered."
    runs = own_runs("study").runs.query("task == 'fetch-push'").pivot(index="seed", columns="arm", values="regret_eval")
    assert row["effect"] == pytest.approx((runs["learned"] - runs["monte_carlo"]).mean(), abs=1e-12)
    assert (row["n"], row["outcome"]) == (10, "supported")


def test_numbers_have_six_digits():
    frame = pd.DataFrame({"effect": [1 / 3, 1.0], "n": [6, 6], "remark": ["a, b", ""]})
    assert text(frame) == 'effect,n,remark\n0.333333,6,"a, b"\n1,6,\n'


def test_make_report_writes_a_page_for_each_grid():
    (grids,) = re.findall(r"for grid in ([a-z ]+);", (PROJECT / "Makefile").read_text())
    assert tuple(grids.split()) == OWN
