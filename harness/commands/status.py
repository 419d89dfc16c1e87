"""`floorbench status`: what every run is doing."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.commands.output import print_json, result_console, text_table
from harness.errors import UserError
from harness.integrity import faults
from harness.planner import refuse_duplicates, state_of
from harness.progress import LINE_INTERVAL, REFRESH_INTERVAL
from harness.run_folder import RunFolder, run_folders
from harness.settings import Run

COLUMNS = ("run", "task", "arm", "seed", "state", "phase", "step", "share", "note")


def show_status(runs: Sequence[Run] | None, root: Path, as_json: bool, watch: bool) -> None:
    """Print the state of the given runs, or of all in the root; with `watch`, until none is running."""
    if as_json:
        print_json(rows_of(runs, root))
    elif watch:
        _watch(lambda: rows_of(runs, root), result_console())
    else:
        result_console().print(_table(rows_of(runs, root)))


def rows_of(runs: Sequence[Run] | None, root: Path) -> list[dict[str, Any]]:
    """One row per run: the names, the state, what `status.json` says, and the faults of its folder.

    A folder with a fault has the state "damaged" and its first fault as reason; nothing else is read from it.
    """
    if runs is None:
        pairs = [(_readable(folder), folder) for folder in run_folders(root)]
    else:
        refuse_duplicates(runs)
        pairs = [(run, RunFolder.of(root, run)) for run in runs]
    rows = [_row(run, folder) for run, folder in pairs]
    if runs is None:
        rows.sort(key=lambda row: (row["task"] or "", row["arm"] or "", row["seed"] or 0))
    return rows


def _readable(folder: RunFolder) -> Run | None:
    try:
        return folder.run()
    except (UserError, OSError):
        return None


def _row(run: Run | None, folder: RunFolder) -> dict[str, Any]:
    found = faults(folder) if folder.path.exists() else []
    state = "damaged" if found or run is None else state_of(folder)
    status = folder.status() if state not in ("new", "damaged") else {}
    if found:
        status = {"reason": found[0].removeprefix(f"{folder.path}/")}
    names = ("phase", "step", "share", "updates_per_second", "heartbeat", "reason")
    kept = {name: status.get(name) for name in names}
    task, arm, seed = (run.task.name, run.arm, run.seed) if run else (None, None, None)
    return {"run": folder.id, "task": task, "arm": arm, "seed": seed, "state": state, **kept, "faults": found}


def _table(rows: Sequence[dict[str, Any]]) -> Group:
    counts = Counter(row["state"] for row in rows)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    return Group(_cells(rows), Text(f"{len(rows)} runs: {summary}" if rows else "no runs"))


def _cells(rows: Sequence[dict[str, Any]]) -> Table:
    cells = []
    for row in rows:
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        more = f" (and {len(row['faults']) - 1} more)" if len(row["faults"]) > 1 else ""
        note = f"{row['reason']}{more}" if row["state"] in ("failed", "damaged") else None
        shown = {**row, "share": share, "note": note}
        cells.append(["" if shown[column] is None else shown[column] for column in COLUMNS])
    return text_table(COLUMNS, cells)


def _watch(look: Callable[[], list[dict[str, Any]]], console: Console) -> None:
    rows = look()
    if not console.is_terminal:
        while any(row["state"] == "running" for row in rows):
            console.print(_table(rows))
            time.sleep(LINE_INTERVAL)
            rows = look()
        console.print(_table(rows))
        return
    with Live(_table(rows), console=console, auto_refresh=False) as live:
        while any(row["state"] == "running" for row in rows):
            time.sleep(REFRESH_INTERVAL)
            rows = look()
            live.update(_table(rows), refresh=True)
