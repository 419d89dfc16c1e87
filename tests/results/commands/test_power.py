"""`floorbench power` on the published numbers, and what it refuses."""

import pandas as pd
import pytest

from results.publishing.published_runs import PUBLISHED
from tests.support.command_line import call_here, only_line


def test_the_published_study_as_a_pilot(tmp_path, capsys):
    done = call_here(capsys, "power", "study", "--from", PUBLISHED, "--metric", "regret_eval", "--out", tmp_path)
    table = pd.read_csv(tmp_path / "power.csv").set_index("task")
    assert len(table) == 9
    assert table["n"].eq(10).all()
    assert table.loc["pointmaze-medium-narrow", "deviation"] == pytest.approx(0.125, abs=5e-4)
    assert "pointmaze-medium-narrow" in done.stdout
    assert {file.name for file in tmp_path.iterdir()} >= {"power.md", "power_curves.png", "power_curves.csv"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--effect", "0"], "--effect 0: must be positive and finite"),
        (["--margin", "inf"], "--margin inf: must be positive and finite"),
        (["--arm", "cql"], "--arm cql: is the baseline as well; name two arms"),
        (["--metric", "task.name"], "--metric task.name: not a number that runs have"),
        (["study", "--arm", "optimal"], "no task has two seeds with optimal and cql"),
        (["--root", "runs"], "--root and --from exclude each other"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    done = call_here(capsys, "power", "--from", PUBLISHED, *arguments, code=2)
    assert message in only_line(done)
