"""A grid as the command line names it: name, scale and changed settings."""

import json
from collections.abc import Sequence
from typing import Any

from ablations.grids import runs_of
from harness.errors import UserError
from harness.launching.planner import Plan
from harness.plain_values import quoted_if_odd
from harness.settings import Run, with_settings


def grid_runs(name: str, scale: str, changes: Sequence[str]) -> list[Run]:
    """The runs of a grid with `key=value` changes applied to every one."""
    parsed = parse_changes(changes)
    runs = runs_of(name, scale)
    return [with_settings(run, parsed, source="--set") for run in runs] if parsed else runs


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Values by dotted path; a value is read as JSON where it is JSON, else as a string."""
    parsed = {}
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise UserError(f"--set {quoted_if_odd(change)}: must be key=value, for example --set algorithm.alpha=1")
        try:
            parsed[path.strip()] = json.loads(text)
        except (ValueError, RecursionError):
            parsed[path.strip()] = text
    return parsed


def counts_line(plan: Plan) -> str:
    """The states of a plan in one line."""
    counts = ", ".join(f"{count} {state}" for state, count in plan.counts().items())
    return f"{len(plan.runs)} runs in {plan.root}: {counts}"
