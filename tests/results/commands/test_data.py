"""The list of tasks on terminals of several widths."""

import io

import pytest
from rich.console import Console

from harness.tasks.registry import SCALES
from results.commands import data


@pytest.mark.parametrize("width", [60, 80, 120])
def test_names_of_tasks_are_never_shortened(width, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(data, "result_console", lambda: Console(file=stream, width=width, color_system=None))
    data.show_tasks("demo", as_json=False)
    heading, *lines = stream.getvalue().splitlines()
    assert {line.split()[0] for line in lines} == {name for recipes in SCALES.values() for name in recipes}
    assert {"task", "made"} <= set(heading.split())
    assert max(map(len, [heading, *lines])) <= width
