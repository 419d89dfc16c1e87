"""Runs as the command line names them: by grid, by task, arm and seed, by id, or by the beginning of an id."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations.selection import Selection
from harness.errors import UserError
from harness.folders.reader import RunSummary, summaries
from harness.folders.run_folder import RunFolder
from harness.launching.planner import Plan, describe
from harness.plain_values import quoted_if_odd
from harness.settings import Run, with_settings

Grid = Annotated[
    str | None,
    typer.Argument(
        help="Name of a grid, e.g. floors, or a grid file (.toml); without: --task, --arm and --seed.", metavar="GRID"
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Run ids, their unique beginnings, or grids; without: --task, --arm or --seed.", metavar="RUN|GRID"
    ),
]
Tasks = Annotated[
    list[str] | None, typer.Option("--task", help="Select runs by task: a name, or a pattern such as pointmaze-*.")
]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="Select runs by arm: a name or a pattern.")]
Seeds = Annotated[list[str] | None, typer.Option("--seed", help="Select runs by seed: 3, or a range such as 0-4.")]
Large = Annotated[bool, typer.Option("--yes", help="Also start a grid file of more than 10,000 runs.")]

# The scale of grids where none is given.
DEMO = "demo"

# Number of candidates that an error lists.
LISTED = 5


def grid_runs(
    name: str | None,
    scale: str | None,
    changes: Sequence[str] | None,
    selection: Selection | None = None,
    large: bool = True,
) -> list[Run]:
    """The selected runs of a grid with `key=value` changes applied to each; without a name, the selection's grid.

    `name` may be the path of a grid file. Unless `large`, one with very many runs raises a UserError.
    """
    from ablations.grids import runs_of

    parsed = parse_changes(changes or [])
    if name is not None and is_file(name):
        runs = file_runs(name, scale, selection, large)
    elif name is not None:
        runs = runs_of(name, scale or DEMO)
        runs = selection.runs(runs, f"grid {name}") if selection else runs
    elif selection is not None:
        runs = selection.grid(scale or DEMO)
    else:
        raise UserError("no runs are named: name a grid, or select tasks, arms and seeds with --task, --arm and --seed")
    return [with_settings(run, parsed, source="--set") for run in runs] if parsed else runs


def is_file(name: str) -> bool:
    """Whether the name of a grid is the path of a grid file."""
    from ablations.grid_files import SUFFIX

    return name.endswith(SUFFIX)


def file_runs(name: str, scale: str | None, selection: Selection | None, large: bool) -> list[Run]:
    """The selected runs of a grid file; raises UserError if there are very many, unless `large`."""
    from ablations.grid_files import LARGE, read

    content = read(Path(name), scale).narrowed(selection)
    if content.count > LARGE and not large:
        raise UserError(f"{name}: {content.size}; more than {LARGE:,} need --yes; or select some with --task or --seed")
    runs = content.runs()
    return selection.runs(runs, name) if selection else runs


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


def named_runs(
    names: Sequence[str],
    root: Path,
    scale: str | None,
    changes: Sequence[str] | None,
    selection: Selection | None = None,
) -> list[Run]:
    """The runs of grids and ids without duplicates, in the order of the names; without names all runs in the root.

    With a scale or changes and without names, the runs are those of the selection's grid, as for `plan`. Raises
    UserError for an unknown name, for run folders with unreadable settings, for a scale or changes of named runs, and
    if the selection is empty.
    """
    from ablations.grids import GRIDS

    option = "--set" if changes else "--scale" if scale else None
    if option and not names:
        return grid_runs(None, scale, changes, selection)
    if option and not any(name in GRIDS or is_file(name) for name in names):
        raise UserError(f"{option}: only changes the runs of a grid; name a grid, or leave out {option}")
    if not names:
        if selection is None:
            raise UserError("no runs are named: give run ids or grids, or select runs with --task, --arm or --seed")
        return [RunFolder(root / summary.id).run() for summary in selected_summaries(root, selection)]
    present = None
    runs: dict[str, Run] = {}
    for name in names:
        if name in GRIDS or is_file(name):
            runs |= {run.id: run for run in grid_runs(name, scale, changes)}
        else:
            present = summaries(root) if present is None else present
            run = RunFolder(root / _id(name, present, f"neither a grid nor the beginning of a run id in {root}")).run()
            runs[run.id] = run
    return selection.runs(list(runs.values()), " ".join(names)) if selection else list(runs.values())


def selected_summaries(root: Path, selection: Selection) -> list[RunSummary]:
    """The summaries of the selected runs in a root; raises UserError if there are none."""
    return selection.chosen(summaries(root), _names, str(root))


def _names(summary: RunSummary) -> tuple[str | None, str | None, int | None]:
    names = summary.names
    return (names.task, names.arm, names.seed) if names else (None, None, None)


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
    candidates = f"runs: {_listed(present)}" if present else "the directory has no runs"
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
