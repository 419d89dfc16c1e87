"""verdicts.csv contains the verdicts on the published runs."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from results.publishing import published_runs as module
from results.publishing.published_runs import (
    GRIDS,
    PROJECT,
    VERDICTS,
    as_csv,
    published_runs,
    published_verdicts,
    write,
)


@pytest.fixture(scope="module")
def verdicts():
    return published_verdicts()


def test_the_file_is_up_to_date(verdicts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "published_verdicts", lambda: verdicts)
    write(tmp_path / "verdicts.csv")
    assert (tmp_path / "verdicts.csv").read_text() == VERDICTS.read_text(), "update it with: make report"


def test_a_row_has_the_claim_and_its_verdict(verdicts):
    assert not verdicts.duplicated(["grid", "id", "task", "arm"]).any()
    row = verdicts.query("id == 'learned-floor-regret' and task == 'fetch-push'").iloc[0]
    assert "learned floor" in row["claim"].lower()
    runs = published_runs("study").runs.query("task == 'fetch-push'")
    regret = runs.pivot(index="seed", columns="arm", values="regret_eval")
    assert row["effect"] == pytest.approx((regret["learned"] - regret["monte_carlo"]).mean(), abs=1e-12)
    assert (row["n"], row["outcome"]) == (10, "supported")


def test_numbers_have_six_digits():
    frame = pd.DataFrame({"effect": [1 / 3, 1.0], "n": [6, 6], "remark": ["a, b", ""]})
    assert as_csv(frame) == 'effect,n,remark\n0.333333,6,"a, b"\n1,6,\n'


def test_make_report_writes_a_report_for_every_grid():
    (code,) = re.findall(r"for grid in \$\$\(\$\(BIN\)/python -c '([^']+)'\);", (PROJECT / "Makefile").read_text())
    printed = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert tuple(printed.stdout.split()) == GRIDS
