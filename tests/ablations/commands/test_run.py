"""What `plan` prints about many runs."""

import io

import pytest
from rich.console import Console

from ablations.commands import run as commands
from ablations.commands.run import MOST_LINES, show_plan, summary_of
from ablations.grids import runs_of
from harness.launching.planner import plan


def test_few_tasks_and_arms_have_a_line_each(tmp_path):
    floors = summary_of(plan(runs_of("floors"), tmp_path))
    assert [line["arm"] for line in floors] == ["cql", "monte_carlo", "learned", "inflated_0.25", "inflated_1"]
    assert all((line["seeds"], line["runs"], line["new"]) == (6, 6, 6) for line in floors)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_many_tasks_and_arms_are_summarised_by_task(width, tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(commands, "result_console", lambda: Console(file=stream, width=width, color_system=None))
    runs = runs_of("study")
    assert len({(run.task.name, run.arm) for run in runs}) > MOST_LINES
    show_plan(runs, tmp_path, as_json=False)
    heading, *lines = stream.getvalue().splitlines()
    assert heading.split() == ["task", "arms", "seeds", "runs", "new"]
    assert lines[0].split() == ["pointmaze-umaze-narrow", "19", "10", "190", "190"]
    assert lines[8].split() == ["winding-road", "20", "10", "200", "200"]
    assert lines[9] == f"1720 runs in {tmp_path}: 1720 new" or width < 100
    assert len(lines) < 20
    assert max(map(len, lines)) <= width
