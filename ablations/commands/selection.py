"""Runs as the command line names them: by grid, by id, or by the beginning of an id."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import UserError
from harness.folders.reader import RunSummary, summaries
from harness.folders.run_folder import RunFolder
from harness.launching.planner import Plan, describe
from harness.plain_values import quoted_if_odd
from harness.settings import Run, with_settings

Grid = Annotated[str, typer.Argument(help="Name of a grid, e.g. floors or smoke.", metavar="GRID")]
Names = Annotated[list[str], typer.Argument(help="Run ids, their unique beginnings, or grids.", metavar="RUN|GRID...")]

# Number of candidates that an error lists.
LISTED = 5


def grid_runs(name: str, scale: str, changes: Sequence[str] | None) -> list[Run]:
    """The runs of a grid with `key=value` changes applied to each."""
    from ablations.grids import runs_of

    parsed = parse_changes(changes or [])
    runs = runs_of(name, scale)
    return [with_settings(run, parsed, source="--set") for run in runs] if parsed else runs


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Values by dotted path; a value that is not valid JSON is a string."""
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


def named_runs(names: Sequence[str], root: Path, scale: str, changes: Sequence[str] | None) -> list[Run]:
    """The runs of grids and ids without duplicates, in the order of the names.

    Raises UserError for an unknown name, for run folders with unreadable settings, and for changes without a grid.
    """
    from ablations.grids import GRIDS

    if changes and not any(name in GRIDS for name in names):
        raise UserError("--set: only changes the runs of a grid; name a grid, or leave out --set")
    present = None
    runs: dict[str, Run] = {}
    for name in names:
        if name in GRIDS:
            runs |= {run.id: run for run in grid_runs(name, scale, changes)}
        else:
            present = summaries(root) if present is None else present
            run = RunFolder(root / _id(name, present, f"neither a grid nor the beginning of a run id in {root}")).run()
            runs[run.id] = run
    return list(runs.values())


def one_run(name: str, root: Path) -> RunFolder:
    """The folder of the run with an id or a unique beginning of one; the UserError otherwise lists candidates."""
    return RunFolder(root / _id(name, summaries(root), f"not the beginning of a run id in {root}"))


def _id(name: str, present: Sequence[RunSummary], unknown: str) -> str:
    """The one id with a prefix."""
    matches = [summary for summary in present if name and summary.id.startswith(name.lower())]
    if len(matches) == 1:
        return matches[0].id
    if matches:
        raise UserError(f"{quoted_if_odd(name)}: ambiguous, {len(matches)} runs match: {_listed(matches)}; "
                        "give more of the id")  # fmt: skip
    candidates = f"runs: {_listed(present)}" if present else "it has no runs"
    raise UserError(f"{quoted_if_odd(name)}: {unknown}; {candidates}")


def _listed(runs: Sequence[RunSummary]) -> str:
    names = [f"{summary.id} ({_described(summary)})" for summary in runs[:LISTED]]
    return ", ".join(names) + (f" and {len(runs) - LISTED} more" if len(runs) > LISTED else "")


def _described(summary: RunSummary) -> str:
    names = summary.names
    return f"{names.task} {names.arm} seed {names.seed}" if names else "settings unreadable"


def described(runs: Sequence[Run]) -> str:
    """The number of runs, with their tasks, arms and seeds."""
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({describe(runs)})"


def counts_line(plan: Plan) -> str:
    """The number of runs in each state, in one line."""
    counts = ", ".join(f"{count} {state}" for state, count in plan.counts().items())
    return f"{len(plan.runs)} runs in {plan.root}: {counts}"
