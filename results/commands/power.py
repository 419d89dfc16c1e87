"""`floorbench power`: how many seeds a comparison needs, from a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.selection import grid_runs
from harness.command_line import RUNS, Changes, Scale, WrappedTable, remark_console, result_console
from harness.errors import UserError
from harness.folders.limits import usable_cores


def power(
    grids: Annotated[list[str] | None, typer.Argument(help="Use only the runs of these grids.", metavar="GRID")] = None,
    arm: Annotated[str, typer.Option(help="The arm that is compared.")] = "monte_carlo",
    baseline: Annotated[str, typer.Option(help="The arm with which it is compared.")] = "cql",
    metric: Annotated[
        str, typer.Option(help="A number per run: online_change, regret_eval, final_score, ...")
    ] = "online_change",
    effect: Annotated[float, typer.Option(help="Difference to detect, in units of the metric.")] = 0.15,
    margin: Annotated[float, typer.Option(help="Margin of equivalence, in units of the metric.")] = 0.1,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of run folders; can be repeated.", show_default=str(RUNS)),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Read numbers written by report --export instead of run folders.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table and a figure to this directory.")] = None,
    scale: Scale = "demo",
    changes: Changes = None,
) -> None:
    """Estimate from a pilot how many seeds a comparison needs, and whether its tasks can tell the arms apart."""
    from results import tables
    from results.figures.drawing import write
    from results.frame import gather
    from results.frame.frames import load
    from results.frame.per_run import per_run
    from results.reports.power import Comparison, pilots, power_figure, power_table
    from results.tables.gate import gate_table, gates

    for name, size in (("effect", effect), ("margin", margin)):
        if not 0 < size < float("inf"):
            raise UserError(f"--{name} {size:g}: must be positive and finite")
    if arm == baseline:
        raise UserError(f"--arm {arm}: is the baseline as well; name two arms")
    if root and source:
        raise UserError("power: --root and --from exclude each other; leave out one")
    if changes and not grids:
        raise UserError("--set: only changes the runs of a grid; name a grid, or leave out --set")
    only = {run.id for name in grids for run in grid_runs(name, scale, changes)} if grids else None
    frames = load(source, only) if source else gather(root or [RUNS], only, usable_cores())
    comparison = Comparison(metric, arm, baseline, effect, margin)
    measured = per_run(frames.runs, frames.evaluations)
    of_tasks = pilots(measured, comparison)
    written = [power_table(of_tasks, comparison), gate_table(gates(measured))]
    for table in written:
        result_console().print(f"{table.title}\n")
        result_console().print(WrappedTable(table.text.to_dict("records")))
        for note in table.notes:
            remark_console().print(f"\n{note}\n")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            files = [path for table in written for path in tables.write(table, out)]
            files += write(power_figure(of_tasks, comparison), out)
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written ({error.strerror}); choose another directory") from None
        remark_console().print(f"written: {', '.join(str(file) for file in files)}")
