"""`floorbench status`: what every run is doing."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from harness.commands.output import print_json, remark_console, result_console
from harness.commands.queue import QueueView
from harness.commands.status_table import by_group, by_run, summary_line
from harness.launching.progress import LINE_INTERVAL, REFRESH_INTERVAL
from harness.settings import Run
from harness.watching.overview import Row, overview, total

# Runs of which each has a line of its own; of more there is a line per task and arm.
LINES = 60

Look = Callable[[], list[Row]]


def show_status(
    runs: Sequence[Run] | None, root: Path, as_json: bool = False, watch: bool = False, every_run: bool = False
) -> None:
    """Print the state of the given runs, or of all in the root; with `watch`, until none is running or queued.

    `every_run`: a line per run however many there are.
    """

    queue = QueueView(root)

    def look() -> list[Row]:
        in_queue = queue.now()
        return overview(root, runs, in_queue, known=queue.costs)

    if as_json:
        rows, now = look(), time.time()
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
        _watch(look, result_console(), every_run)
    else:
        result_console().print(_table(look(), every_run))
    for remark in queue.remarks:
        remark_console().print(remark)


def _table(rows: Sequence[Row], every_run: bool, lines: int = LINES) -> RenderableType:
    draw = by_run if every_run or len(rows) <= lines else by_group
    return draw(rows, time.time())


def _watch(look: Look, console: Console, every_run: bool) -> None:
    rows = look()
    if not console.is_terminal:
        console.print(_table(rows, every_run))
        while any(row.state.is_active for row in rows):
            time.sleep(LINE_INTERVAL)
            rows = look()
            console.print(summary_line(rows, time.time()))
        return
    # A live table cannot be scrolled: it has to fit.
    lines = min(LINES, console.height - 3)
    with Live(_table(rows, every_run, lines), console=console, auto_refresh=False) as live:
        while any(row.state.is_active for row in rows):
            time.sleep(REFRESH_INTERVAL)
            rows = look()
            live.update(_table(rows, every_run, lines), refresh=True)
