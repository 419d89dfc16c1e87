"""`floorbench plan` and `floorbench run`: show the states of a grid's runs, and run them on this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.selection import Grid, counts_line, grid_runs
from harness.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNS,
    Changes,
    Json,
    Pack,
    Root,
    Scale,
    Workers,
    print_json,
    remark_console,
    result_console,
    text_table,
)
from harness.folders.reader import refuse_faults
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching import planner
from harness.launching.datasets import make_datasets
from harness.launching.planner import Plan, commit, cut_packs
from harness.launching.pool import run_packs
from harness.launching.preflight import check_environments, check_root, check_settings, tasks_of
from harness.launching.progress import ProgressDisplay
from harness.settings import Run
from harness.training.kernels import check_kernels, pack_limit_for, provide_kernels, workers_for

# Computes runs in a root and calls the watch meanwhile; returns False if it was interrupted.
Launch = Callable[[Sequence[Run], Path, Callable[[], None]], bool]


def plan(grid: Grid, scale: Scale = "demo", changes: Changes = None, root: Root = RUNS, json: Json = False) -> None:
    """Show which runs of a grid are new, running, done or failed. Writes nothing."""
    show_plan(grid_runs(grid, scale, changes), root, json)


def run(
    grid: Grid,
    workers: Workers = None,
    pack: Pack = None,
    root: Root = RUNS,
    changes: Changes = None,
    scale: Scale = "demo",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
) -> None:
    """Run a grid on this machine. Finished runs are skipped."""
    raise typer.Exit(run_grid(grid_runs(grid, scale, changes), root, workers, pack, retry_failed))


def show_plan(runs: Sequence[Run], root: Path, as_json: bool) -> None:
    """Print the states of runs."""
    refuse_faults(RunFolder.of(root, run) for run in runs)
    planned = planner.plan(runs, root)
    check_settings(runs)
    check_kernels(runs)
    columns = ("run", "task", "arm", "data_seed", "seed", "state")
    rows = [
        (run.id, run.task.name, run.arm, run.task.data_seed, run.seed, state)
        for run, state in zip(planned.runs, planned.states, strict=True)
    ]
    if as_json:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"root": str(root), "counts": planned.counts(), "runs": named})
        return
    console = result_console()
    console.print(text_table(columns, rows))
    console.print(counts_line(planned))


def run_grid(runs: Sequence[Run], root: Path, workers: int | None, pack_limit: int | None, retry_failed: bool) -> int:
    """Train unfinished runs and print how they ended; returns the exit code. See `train_runs`."""
    finished = train_runs(runs, root, workers, pack_limit, retry_failed)
    return conclude(planner.plan(runs, root)) if finished else INTERRUPTED


def train_runs(
    runs: Sequence[Run],
    root: Path,
    workers: int | None,
    pack_limit: int | None,
    retry_failed: bool = False,
    watch: Callable[[], None] = lambda: None,
) -> bool:
    """Train unfinished runs and call `watch` several times a second; returns False if interrupted.

    All checks come before the first update. `workers` and `pack_limit` default to values that suit the kernel and the
    machine.
    """
    refuse_faults(RunFolder.of(root, run) for run in runs)
    planned = planner.plan(runs, root)
    chosen = planned.to_start(retry_failed)
    if chosen:
        check_settings(chosen)
        check_kernels(chosen)
        check_environments(tasks_of(chosen))
        check_root(root, chosen)
    console = remark_console()
    console.print(counts_line(planned))
    if planned.in_state(RunState.FAILED) and not retry_failed:
        console.print("skipping failed runs; run them again with --retry-failed")
    if planned.in_state(RunState.RUNNING):
        console.print("skipping runs owned by another process")
    if chosen:
        provide_kernels(chosen, console.print)
        make_datasets(tasks_of(chosen), console)
        # A dataset collected again may differ from the one on which a run began.
        refuse_faults(RunFolder.of(root, run) for run in chosen)
        commit(chosen, root)
        workers = workers or workers_for(chosen)
        packs = cut_packs(chosen, root, pack_limit or pack_limit_for(chosen), workers)
        try:
            with ProgressDisplay(packs, console) as display:

                def refresh() -> None:
                    display.refresh()
                    watch()

                run_packs(packs, workers, refresh)
        except KeyboardInterrupt:
            console.print(f"interrupted; {counts_line(planner.plan(runs, root))}; resume with the same command")
            return False
    return True


def conclude(finished: Plan) -> int:
    """Print how the runs ended and why some failed; returns the exit code."""
    console = remark_console()
    console.print(counts_line(finished))
    for run in finished.where(lambda state: state.may_be_retried):
        folder = RunFolder.of(finished.root, run)
        status = folder.status()
        # A lost run has no reason, but its log may explain it.
        reason = status.get("reason") or folder.log_tail() or "reason unknown"
        console.print(
            f"{status['state']}: {run.id} ({run.task.name} {run.arm} seed {run.seed}): {reason}; {folder.log}"
        )
    return FAILED if finished.where(lambda state: state.may_be_retried) else DONE


def local(workers: int | None, pack_limit: int | None) -> Launch:
    """Launch runs on this machine."""
    return lambda runs, root, watch: train_runs(runs, root, workers, pack_limit, watch=watch)
