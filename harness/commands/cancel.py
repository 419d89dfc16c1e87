"""`floorbench cancel`: named runs are not to be computed any more; what they have computed stays."""

import getpass
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from harness.commands.output import remark_console, result_console
from harness.commands.queue import QueueView
from harness.commands.status_table import by_run
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import Run
from harness.watching.overview import Row, overview


def cancel_runs(runs: Sequence[Run], root: Path, yes: bool) -> None:
    """Cancel those of the runs that are not at an end, after a question; `yes` answers it.

    A running run is saved and left by its worker, while the others of its pack go on. A run that waits is not begun;
    SLURM's tasks in which nothing else waits leave the queue.
    """
    queue = QueueView(root)
    rows = [row for row in overview(root, runs, queue.now()) if row.state.is_cancellable]
    console = remark_console()
    if not rows:
        console.print("nothing to cancel: none of these runs is planned, queued, running, interrupted or lost")
        return
    _ask(rows, yes)
    for row in rows:
        RunFolder(root / row.run).cancel(getpass.getuser())
    running = sum(row.state is RunState.RUNNING for row in rows)
    if running:
        console.print(f"{running} running: saved and left at the next look, after some seconds of training")
    taken = _leave_queue(root, rows)
    for remark in [*queue.remarks, *taken]:
        console.print(remark)
    console.print(f"{len(rows)} cancelled; floorbench run, submit or retry goes on with them")


def _ask(rows: Sequence[Row], yes: bool) -> None:
    """Show what would be cancelled and ask, unless that is answered; raises `typer.Abort` for a no."""
    if yes:
        return
    result_console().print(by_run(rows, time.time()))
    if not sys.stdin.isatty():
        raise UserError("cancel: asks before it acts, and here nobody can answer; --yes does without")
    typer.confirm(f"cancel {'this run' if len(rows) == 1 else f'these {len(rows)} runs'}?", abort=True)


def _leave_queue(root: Path, rows: Sequence[Row]) -> list[str]:
    """Take the tasks of queued runs out of the queue in which no other run waits; returns remarks."""
    queued = {row.run for row in rows if row.state is RunState.QUEUED}
    if not queued:
        return []
    from slurm.watching import queued_runs, take_out, tasks_of_nothing_else

    try:
        in_queue = queued_runs(root)
        cancelled = {row.run for row in rows}
        kept = [row.run for row in overview(root, None, in_queue)
                if row.state.is_active and row.run not in cancelled]  # fmt: skip
        tasks = tasks_of_nothing_else(root, queued, kept)
        take_out(tasks)
    except UserError as error:
        return [f"{error}; the tasks stay in SLURM's queue and will leave the cancelled runs alone"]
    return [f"out of SLURM's queue: {' '.join(tasks)}"] if tasks else []
