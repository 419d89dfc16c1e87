"""`floorbench track`: pass the metrics of runs on to trackers, from their folders."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.selection import Arms, Seeds, Tasks, named_runs
from ablations.selection import Selection
from harness.command_line import remark_console
from harness.watching.trackers import Tracking

Trackers = Annotated[
    list[str] | None,
    typer.Option("--tracker", help="Also write metrics for tensorboard, wandb or jsonl, in ROOT/tracking."),
]


def track(
    root: Annotated[Path, typer.Argument(help="Directory of the run folders.", metavar="ROOT")],
    tracker: Annotated[list[str], typer.Option(help="tensorboard, wandb or jsonl; can be repeated.")],
    group: Annotated[str, typer.Option(help="Name that groups the runs, usually that of their grid.")] = "runs",
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
) -> None:
    """Pass the metrics of runs on to trackers. Rows that a tracker has are not repeated."""
    runs = named_runs([], root, None, None, Selection.of(tasks, arms, seeds) or Selection())
    tracking = Tracking(tracker, root, runs, group)
    added = tracking.update()
    tracking.close()
    remark_console().print(f"{added} rows of {len(runs)} runs in {root} passed on to {', '.join(tracker)}")
