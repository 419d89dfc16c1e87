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
    """One row per run: the names, the state, and what `status.json` says."""
    if runs is None:
        pairs = [(folder.run(), folder) for folder in run_folders(root)]
        pairs.sort(key=lambda pair: (pair[0].task.name, pair[0].arm, pair[0].seed))
    else:
        refuse_duplicates(runs)
        pairs = [(run, RunFolder.of(root, run)) for run in runs]
    return [_row(run, folder) for run, folder in pairs]


def _row(run: Run, folder: RunFolder) -> dict[str, Any]:
    state = state_of(folder)
    status = folder.status() if state != "new" else {}
    names = ("phase", "step", "share", "updates_per_second", "heartbeat", "reason")
    kept = {name: status.get(name) for name in names}
    return {"run": run.id, "task": run.task.name, "arm": run.arm, "seed": run.seed, "state": state, **kept}


def _table(rows: Sequence[dict[str, Any]]) -> Group:
    counts = Counter(row["state"] for row in rows)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    return Group(_cells(rows), Text(f"{len(rows)} runs: {summary}" if rows else "no runs"))


def _cells(rows: Sequence[dict[str, Any]]) -> Table:
    cells = []
    for row in rows:
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        note = row["reason"] if row["state"] == "failed" else None
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
