"""`floorbench verify`: repeat a sample of finished runs in another root and compare the results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ablations.commands.selection import Arms, Grid, Seeds, Tasks, grid_runs
from ablations.selection import Selection
from harness.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNS,
    Changes,
    FittedTable,
    GridScale,
    OptionalRoot,
    Workers,
    remark_console,
    result_console,
)
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching import planner
from harness.launching.planner import commit
from harness.launching.pool import run_packs
from harness.launching.preflight import check_environments, check_root, data_of, tasks_of
from harness.launching.progress import ProgressDisplay, make_datasets
from harness.settings import Run
from harness.training.kernels import PACK_LIMIT, provide_kernels, workers_for

if TYPE_CHECKING:
    from harness.watching.verification import Original, Verification

COLUMNS = ("run", "task", "arm", "seed", "compared", "verdict", "first difference")


@dataclass(frozen=True)
class Finished:
    """Finished runs of a grid, where they are from, and a function that reads the recorded results of one."""

    runs: list[Run]
    place: Path
    read: Callable[[Run], Original]


def verify(
    grid: Grid = None,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    sample: Annotated[int, typer.Option(min=1, help="Maximum number of runs to repeat.")] = 3,
    sample_seed: Annotated[int, typer.Option(help="Seed of the random sample.")] = 0,
    root: OptionalRoot = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Compare with numbers written by report --export.")
    ] = None,
    workers: Workers = None,
    scale: GridScale = None,
    changes: Changes = None,
) -> None:
    """Repeat a sample of finished runs to check reproducibility; exit code 1 if one differs."""
    if root and source:
        raise UserError("verify: --root and --from exclude each other; leave out one")
    runs = grid_runs(grid, scale, changes, Selection.of(tasks, arms, seeds))
    finished = in_numbers(runs, source) if source else in_folders(runs, root or RUNS)
    raise typer.Exit(verify_grid(finished, sample, sample_seed, workers))


def in_folders(runs: Sequence[Run], root: Path) -> Finished:
    """The runs that are finished in a root."""
    from harness.watching.verification import original_in

    finished = planner.checked_plan(runs, root).in_state(RunState.DONE)
    if not finished:
        raise UserError(f"verify: {root} has no finished run of this grid; run the grid first, or name another --root")
    return Finished(finished, root, lambda run: original_in(RunFolder.of(root, run)))


def in_numbers(runs: Sequence[Run], source: Path) -> Finished:
    """The runs that are finished according to exported frames."""
    from results.frame.frames import load, originals

    known = originals(load(source, {run.id for run in runs}), runs, source)
    if not known:
        raise UserError(f"verify: {source} has no finished run of this grid; name another grid or --from")
    return Finished([original.run for original in known.values()], source, lambda run: known[run.id])


def verify_grid(finished: Finished, count: int, seed: int, workers: int | None) -> int:
    """Repeat a sample of finished runs in a temporary root and print the comparison; returns the exit code.

    The original runs are only read. The repeated runs are deleted unless one differs.
    """
    # Imports NumPy, which `--help` does not need.
    from harness.training.starts import copy_starts
    from harness.watching.verification import check_data, sample
    from harness.watching.verification import verify as compare

    chosen = sample(finished.runs, count, seed)
    console = remark_console()
    check_environments(tasks_of(chosen))
    provide_kernels(chosen, console.print)
    make_datasets(data_of(chosen), console)
    originals = [finished.read(run) for run in chosen]
    for original in originals:
        check_data(original)
    console.print(f"repeating {len(chosen)} of {len(finished.runs)} finished runs in {finished.place}")
    place = Path(tempfile.mkdtemp(prefix="floorbench-verify-"))
    code = INTERRUPTED
    try:
        check_root(place, chosen)
        copy_starts(chosen, finished.place, place)
        repeat(chosen, place, workers or workers_for(chosen), console)
        results = [compare(original, RunFolder.of(place, original.run)) for original in originals]
        code = FAILED if any(result.difference for result in results) else DONE
        show(results)
    except KeyboardInterrupt:
        console.print(f"interrupted; nothing was compared, {finished.place} is unchanged")
    finally:
        if code != FAILED:
            rmtree(place)
    if code == FAILED:
        console.print(f"the repetition is kept in {place}")
    return code


def repeat(runs: Sequence[Run], root: Path, workers: int, console: Console) -> None:
    """Train runs in a new root."""
    commit(runs, root)
    packs = [[RunFolder.of(root, run) for run in pack] for pack in planner.packs(runs, PACK_LIMIT, workers)]
    with ProgressDisplay(packs, console) as display:
        run_packs(packs, workers, watch=display.refresh)


def show(results: Sequence[Verification]) -> None:
    """Print one line per run, then how runs were compared and why."""
    from harness.watching.row_differences import TOLERANCES, TRUTH_TOLERANCE

    descriptions = {
        "bytes": "byte for byte",
        "numbers": "bit by bit, all numbers of all evaluations",
        "training": f"bit by bit, all numbers of the training; those against exact values to {TRUTH_TOLERANCE:g}",
        "tolerances": f"within tolerances ({TOLERANCES})",
    }
    console = result_console()
    lines = [dict(zip(COLUMNS, _cells(result), strict=True)) for result in results]
    console.print(FittedTable(lines, ("compared", "seed", "task", "arm"), ("task", "compared"), "first difference"))
    agreeing = sum(result.difference is None for result in results)
    console.print(f"{agreeing} of {len(results)} agree")
    for kind, why in dict.fromkeys((result.comparison.kind, result.comparison.why) for result in results):
        console.print(f"compared {descriptions[kind]}: {why}")
    for remark in dict.fromkeys(filter(None, (result.remark for result in results))):
        console.print(remark)


def _cells(result: Verification) -> tuple[str, ...]:
    run = result.run
    verdict = "differs" if result.difference else "agrees"
    difference = str(result.difference) if result.difference else ""
    return (run.id, run.task.name, run.arm, str(run.seed), result.comparison.kind, verdict, difference)
