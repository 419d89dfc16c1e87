"""`floorbench status`: the state of every run, one line each or grouped by task and arm, with totals."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ablations.commands.selection import Arms, Seeds, Tasks, grid_runs, named_runs
from ablations.selection import Selection
from harness.command_line import (
    RUNS,
    Changes,
    FittedTable,
    GridScale,
    Json,
    Root,
    print_json,
    remark_console,
    result_console,
)
from harness.errors import UserError
from harness.folders.state import RunState
from harness.launching.prefixes import with_prefixes
from harness.launching.progress import LINE_INTERVAL, REFRESH_INTERVAL, duration
from harness.settings import Run
from harness.watching.overview import Row, by_task_and_arm, clock, overview, total
from slurm.watching import QueueView

# Maximum number of runs shown one per line; more are grouped by task and arm.
LINES = 60

# Largest share of the time in which --watch reads a large root, which others may read, too.
READING_SHARE = 0.2

# Seconds for which --watch waits for the first run to start.
START_TIMEOUT = 60.0

# Number of runs named per state that needs attention, in a table by task and arm.
NAMED = 5


def status(
    grid: Annotated[str | None, typer.Argument(help="Show only the runs of this grid.", metavar="GRID")] = None,
    root: Root = RUNS,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    scale: GridScale = None,
    changes: Changes = None,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until no run is running or queued.")] = False,
    every_run: Annotated[bool, typer.Option("--runs", help="Print one line per run, however many.")] = False,
) -> None:
    """Show the state of the runs in a directory."""
    if json and watch:
        raise UserError("status: --json and --watch exclude each other; leave out one")
    selection = Selection.of(tasks, arms, seeds)
    runs = None
    if grid is not None or scale or changes:
        runs = with_prefixes(grid_runs(grid, scale, changes, selection), root)
    elif selection:
        runs = named_runs([], root, None, None, selection)
    show_status(runs, root, json, watch, every_run)


def show_status(
    runs: Sequence[Run] | None, root: Path, as_json: bool = False, watch: bool = False, every_run: bool = False
) -> None:
    """Print the states of the given runs, or of all in the root; with `watch`, until none is running or queued.

    `every_run`: one line per run, however many.
    """
    queue = QueueView(root)

    def current() -> list[Row]:
        # A run that is being started has not created its root yet.
        if watch and not root.is_dir():
            return []
        in_queue = queue.now()
        return overview(root, runs, in_queue, known=queue.costs, ended=queue.ended)

    if as_json:
        rows, now = current(), time.time()
        print_json(
            {
                "root": str(root),
                "total": total(rows, now).plain(),
                "remarks": queue.remarks,
                "runs": [row.plain() for row in rows],
            }
        )
        return
    if watch:
        _watch(current, result_console(), every_run)
    else:
        result_console().print(_table(current(), every_run))
    for remark in queue.remarks:
        remark_console().print(remark)


def _table(rows: Sequence[Row], every_run: bool, lines: int = LINES) -> RenderableType:
    draw = by_run if every_run or len(rows) <= lines else by_group
    return draw(rows, time.time())


def _watch(current: Callable[[], list[Row]], console: Console, every_run: bool) -> None:
    reading = 0.0

    def read(wait: float = 0.0) -> list[Row]:
        nonlocal reading
        time.sleep(max(wait, reading / READING_SHARE - reading))
        start = time.monotonic()
        rows = current()
        reading = time.monotonic() - start
        return rows

    rows, began = read(), time.monotonic()
    active = _is_active(rows)

    def goes_on() -> bool:
        nonlocal active
        active = active or _is_active(rows)
        if active:
            return _is_active(rows)
        # Nothing has been active yet: a command beside this one may be starting.
        waiting = not rows or any(row.state.starts_by_itself for row in rows)
        return waiting and time.monotonic() - began < START_TIMEOUT

    if not console.is_terminal:
        console.print(_table(rows, every_run))
        while goes_on():
            rows = read(LINE_INTERVAL)
            console.print(summary_line(rows, time.time()))
        return
    # A live table cannot be scrolled, so it must fit on the screen.
    lines = min(LINES, console.height - 4)
    with Live(_table(rows, every_run, lines), console=console, auto_refresh=False) as live:
        while goes_on():
            rows = read(REFRESH_INTERVAL)
            live.update(_table(rows, every_run, lines), refresh=True)


def _is_active(rows: Sequence[Row]) -> bool:
    return any(row.state.is_active for row in rows)


def by_run(rows: Sequence[Row], now: float) -> Group:
    """One line per run, and a summary."""
    lines = [
        {
            "run": row.run,
            "task": row.task,
            "arm": row.arm,
            "data seed": row.data_seed or None,
            "seed": row.seed,
            "state": row.state,
            "phase": row.phase,
            "step": row.step,
            "progress": None if row.progress is None else f"{row.progress:.0%}",
            "updates/s": f"{row.updates_per_second:,.0f}" if row.updates_per_second else None,
            "end": clock(row.expected_end, now) if row.expected_end else None,
            "node": row.node if row.state is RunState.RUNNING else None,
            "job": row.job if row.state.is_active else None,
            "note": note(row),
        }
        for row in rows
    ]
    optional = ("job", "node", "updates/s", "phase", "step", "end", "progress")
    table = FittedTable(lines, optional, ("task", "data seed", "node", "phase"), flexible="note")
    return Group(table, Text(summary_line(rows, now)))


def by_group(rows: Sequence[Row], now: float) -> Group:
    """One line per task and arm with the number of runs in each state, some problems, and a summary."""
    lines = []
    for (task, arm), group in by_task_and_arm(rows).items():
        totals = total(group, now)
        lines.append(
            {
                "task": task or "?",
                "arm": arm or "?",
                "runs": totals.runs,
                **{state.value: totals.counts.get(state) for state in RunState},
                "progress": f"{totals.progress:.0%}",
                "updates/s": f"{totals.updates_per_second:,.0f}" if totals.updates_per_second else None,
                "end": clock(totals.expected_end, now) if totals.expected_end else None,
                "core-hours": f"{totals.usage.core_hours:,.2f}",
            }
        )
    table = FittedTable(lines, ("core-hours", "updates/s", "end", "progress", "runs"), ("task",))
    return Group(table, *map(Text, _problems(rows)), Text(summary_line(rows, now)))


def note(row: Row) -> str | None:
    """Why a run is not running, with the last line of its log if that says more."""
    if not row.state.has_reason:
        return None
    more = f" (and {len(row.faults) - 1} more)" if len(row.faults) > 1 else ""
    reason, last_line = row.reason or "", row.log_tail or ""
    if last_line in reason or (reason and reason in last_line):
        last_line = ""
    return "; ".join(filter(None, [reason and f"{reason}{more}", last_line])) or None


def summary_line(rows: Sequence[Row], now: float) -> str:
    """The number of runs in each state, cost and expected end in one line."""
    if not rows:
        return "no runs"
    totals = total(rows, now)
    counts = ", ".join(f"{count} {state}" for state, count in totals.counts.items())
    cost = f"{totals.usage.core_hours:,.2f} core-hours"
    if totals.usage.gpu_hours:
        cost += f" and {totals.usage.gpu_hours:,.2f} GPU-hours"
    end = totals.expected_end
    expected = f"; end about {clock(end, now)}, in {duration(end - now)}" if end else ""
    return f"{len(rows)} run{'s' if len(rows) > 1 else ''}: {counts}; {cost} spent{expected}"


def _problems(rows: Sequence[Row]) -> list[str]:
    """Some runs of each state that needs attention."""
    lines = []
    for state in [state for state in RunState if state.needs_attention]:
        matching = [row for row in rows if row.state == state]
        for row in matching[:NAMED]:
            name = f"{row.task} {row.arm} seed {row.seed}" if row.task else "settings unreadable"
            lines.append(f"{state}: {row.run} ({name}): {note(row) or 'reason unknown'}")
        if len(matching) > NAMED:
            lines.append(f"{state}: {len(matching) - NAMED} more; --runs lists all")
    return lines
