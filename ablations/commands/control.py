"""`floorbench cancel` and `floorbench retry`: stop runs, and start stopped ones again."""

import getpass
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.run import run_grid
from ablations.commands.selection import Arms, Names, Seeds, Tasks, described, named_runs
from ablations.commands.status import by_run
from ablations.selection import Selection
from harness.command_line import (
    DEFAULT_PACK,
    DEFAULT_WORKERS,
    DONE,
    RUNS,
    Changes,
    GridScale,
    Root,
    remark_console,
    result_console,
)
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.prefixes import with_unneeded_prefixes
from harness.settings import Run
from harness.watching.overview import Row, overview
from slurm.watching import QueueView


def cancel(
    names: Names = None,
    root: Root = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    scale: GridScale = None,
    changes: Changes = None,
) -> None:
    """Stop runs and prefixes that only they need, or remove them from the queue; asks first. Finished work is kept."""
    runs = named_runs(names or [], root, scale, changes, Selection.of(tasks, arms, seeds))
    cancel_runs(with_unneeded_prefixes(runs, root), root, yes)


def retry(
    names: Names = None,
    cluster: Annotated[
        str | None, typer.Option(help="Submit the runs to a cluster, by its profile.", show_default="this machine")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes on this machine, one thread each.", show_default=DEFAULT_WORKERS),
    ] = None,
    pack: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of runs that train together on this machine.", show_default=DEFAULT_PACK
        ),
    ] = None,
    root: Root = RUNS,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    scale: GridScale = None,
    changes: Changes = None,
) -> None:
    """Restart runs that failed, were interrupted, cancelled or lost."""
    selection = Selection.of(tasks, arms, seeds)
    runs = named_runs(names or [], root, scale, changes, selection)
    words = " ".join(["retry", *(names or []), *([str(selection)] if selection else [])])
    raise typer.Exit(retry_runs(runs, root, workers, pack, cluster, words))


def cancel_runs(runs: Sequence[Run], root: Path, yes: bool) -> None:
    """Cancel unfinished runs after confirmation, or at once if `yes`.

    A running run is saved and left by its worker while the others of its pack go on. Array tasks of SLURM that no
    other run needs are cancelled.
    """
    queue = QueueView(root)
    rows = [row for row in overview(root, runs, queue.now()) if row.state.is_cancellable]
    console = remark_console()
    if not rows:
        console.print("nothing to cancel: none of these runs is planned, queued, running, interrupted or lost")
        return
    _confirm(rows, yes)
    for row in rows:
        RunFolder(root / row.run).cancel(getpass.getuser())
    running = sum(row.state is RunState.RUNNING for row in rows)
    if running:
        console.print(f"{running} running: each will be saved and stopped within seconds")
    for remark in [*queue.remarks, *_leave_queue(root, rows)]:
        console.print(remark)
    console.print(f"{len(rows)} cancelled; resume with floorbench run, submit or retry")


def _confirm(rows: Sequence[Row], yes: bool) -> None:
    """Show the runs and ask for confirmation unless `yes`; raises `typer.Abort` if it is refused."""
    if yes:
        return
    result_console().print(by_run(rows, time.time()))
    if not sys.stdin.isatty():
        raise UserError("cancel: confirmation needed; pass --yes when there is no terminal")
    typer.confirm(f"cancel {'this run' if len(rows) == 1 else f'these {len(rows)} runs'}?", abort=True)


def _leave_queue(root: Path, rows: Sequence[Row]) -> list[str]:
    """Cancel the array tasks that only cancelled runs wait for; returns remarks."""
    queued = {row.run for row in rows if row.state is RunState.QUEUED}
    if not queued:
        return []
    from slurm.watching import cancel_tasks, queued_runs, tasks_without

    try:
        in_queue = queued_runs(root)
        cancelled = {row.run for row in rows}
        kept = [row.run for row in overview(root, None, in_queue)
                if row.state.is_active and row.run not in cancelled]  # fmt: skip
        tasks = tasks_without(root, queued, kept)
        cancel_tasks(tasks)
    except UserError as error:
        return [f"{error}; the array tasks stay in SLURM's queue and will skip the cancelled runs"]
    return [f"removed from SLURM's queue: {' '.join(tasks)}"] if tasks else []


def retry_runs(
    runs: Sequence[Run], root: Path, workers: int | None, pack_limit: int | None, cluster: str | None, words: str
) -> int:
    """Restart unfinished runs on this machine or on a cluster, in new packs; returns the exit code.

    `words` describe a submission to a reader.
    """
    queue = QueueView(root)
    in_queue = queue.now()
    states = {row.run: row.state for row in overview(root, runs, in_queue, ended=queue.ended)}
    chosen = [run for run in runs if states[run.id].may_be_retried]
    console = remark_console()
    for remark in queue.remarks:
        console.print(remark)
    if not chosen:
        console.print("nothing to retry: none of these runs is failed, interrupted, cancelled or lost")
        return DONE
    console.print(f"retrying {described(chosen)}")
    if cluster is None:
        return run_grid(chosen, root, workers, pack_limit, retry_failed=True)
    from ablations.commands.submit import offer_test_job, submit_grid
    from slurm.profile import load

    profile = load(cluster)
    advice = offer_test_job(cluster, profile, root, asks=True)
    submit_grid(chosen, root, profile, words, retry_failed=True, as_json=False)
    if advice:
        console.print(advice)
    return DONE
