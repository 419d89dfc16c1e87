"""Runs as the command line names them: by id, by the beginning of an id, or by the name of their grid."""

from collections.abc import Sequence
from pathlib import Path

from ablations.grids import GRIDS
from harness.commands.grid import grid_runs
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.launching.planner import describe
from harness.plain_values import quoted_if_odd
from harness.settings import Run
from harness.watching.glance import Glance, glances

# Candidates that an error names.
NAMED = 5


def one_run(name: str, root: Path) -> RunFolder:
    """The folder of the run with an id, or the beginning of an id; UserError that names candidates if it is not one."""
    return RunFolder(root / _id(name, glances(root), f"no run in {root} has an id that begins so"))


def named_runs(names: Sequence[str], root: Path, scale: str, changes: Sequence[str]) -> list[Run]:
    """The runs of grids and ids, each once, in the order of the names.

    UserError for what is neither, for ids of folders whose settings cannot be read, and for changes without a grid.
    """
    if changes and not any(name in GRIDS for name in names):
        raise UserError("--set: changes the runs of a grid; name one, or leave it out with ids of runs")
    present = None
    found: dict[str, Run] = {}
    for name in names:
        if name in GRIDS:
            found |= {run.id: run for run in grid_runs(name, scale, changes)}
        else:
            present = glances(root) if present is None else present
            unknown = f"no run in {root} has an id that begins so, and no grid has this name"
            run = RunFolder(root / _id(name, present, unknown)).run()
            found[run.id] = run
    return list(found.values())


def _id(name: str, present: Sequence[Glance], unknown: str) -> str:
    """The one id that begins so; else a UserError, that says what is `unknown` or names candidates."""
    matching = [glance for glance in present if name and glance.id.startswith(name.lower())]
    if len(matching) == 1:
        return matching[0].id
    if matching:
        raise UserError(
            f"{quoted_if_odd(name)}: {len(matching)} runs begin so: {_listed(matching)}; give more of the id"
        )
    there = f"there are: {_listed(present)}" if present else "there is none"
    raise UserError(f"{quoted_if_odd(name)}: {unknown}; {there}")


def _listed(found: Sequence[Glance]) -> str:
    names = [f"{glance.id} ({_described(glance)})" for glance in found[:NAMED]]
    return ", ".join(names) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")


def _described(glance: Glance) -> str:
    names = glance.names
    return f"{names.task} {names.arm} seed {names.seed}" if names else "settings unreadable"


def described(runs: Sequence[Run]) -> str:
    """Some runs in a few words, with their number."""
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({describe(runs)})"
