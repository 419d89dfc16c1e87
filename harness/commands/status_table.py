"""The tables of `floorbench status`: a line per run, or per task and arm where there are many, and a summary."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.commands.output import text_table
from harness.folders.state import RunState
from harness.launching.progress import duration
from harness.watching.overview import Row, by_task_and_arm, clock, total

# Number of runs named per state that needs attention, in a table by task and arm.
NAMED = 5


def by_run(rows: Sequence[Row], now: float) -> Group:
    """A line per run, and a summary."""
    lines = [
        {
            "run": row.run,
            "task": row.task,
            "arm": row.arm,
            "seed": row.seed,
            "state": row.state,
            "phase": row.phase,
            "step": row.step,
            "share": None if row.share is None else f"{row.share:.0%}",
            "updates/s": f"{row.updates_per_second:,.0f}" if row.updates_per_second else None,
            "end": clock(row.expected_end, now) if row.expected_end else None,
            "node": row.node if row.state is RunState.RUNNING else None,
            "job": row.job if row.state.is_active else None,
            "note": note(row),
        }
        for row in rows
    ]
    return Group(_columns(lines), Text(summary_line(rows, now)))


def by_group(rows: Sequence[Row], now: float) -> Group:
    """A line per task and arm with the runs in each state, some lines about what went wrong, and a summary."""
    lines = []
    for (task, arm), group in by_task_and_arm(rows).items():
        whole = total(group, now)
        lines.append(
            {
                "task": task or "?",
                "arm": arm or "?",
                "runs": whole.runs,
                **{state.value: whole.counts.get(state) for state in RunState},
                "share": f"{whole.share:.0%}",
                "updates/s": f"{whole.updates_per_second:,.0f}" if whole.updates_per_second else None,
                "end": clock(whole.expected_end, now) if whole.expected_end else None,
                "core-hours": f"{whole.usage.core_hours:,.2f}",
            }
        )
    return Group(_columns(lines), *map(Text, _troubles(rows)), Text(summary_line(rows, now)))


def note(row: Row) -> str | None:
    """Why a run is not on its way, with the last line of its log where that says more."""
    if not row.state.has_reason:
        return None
    more = f" (and {len(row.faults) - 1} more)" if len(row.faults) > 1 else ""
    said = row.last_words if row.last_words and row.last_words not in (row.reason or "") else None
    return "; ".join(filter(None, [f"{row.reason}{more}" if row.reason else None, said])) or None


def summary_line(rows: Sequence[Row], now: float) -> str:
    """Counts, cost and expected end of all runs in one line."""
    if not rows:
        return "no runs"
    whole = total(rows, now)
    counts = ", ".join(f"{count} {state}" for state, count in whole.counts.items())
    cost = f"{whole.usage.core_hours:,.2f} core-hours"
    if whole.usage.gpu_hours:
        cost += f" and {whole.usage.gpu_hours:,.2f} GPU-hours"
    end = whole.expected_end
    expected = f"; end about {clock(end, now)}, in {duration(end - now)}" if end else ""
    return f"{len(rows)} run{'s' if len(rows) > 1 else ''}: {counts}; {cost} spent{expected}"


def _troubles(rows: Sequence[Row]) -> list[str]:
    """A few runs of each state that somebody should look at."""
    lines = []
    for state in [state for state in RunState if state.needs_attention]:
        found = [row for row in rows if row.state == state]
        for row in found[:NAMED]:
            name = f"{row.task} {row.arm} seed {row.seed}" if row.task else "settings unreadable"
            lines.append(f"{state}: {row.run} ({name}): {note(row) or 'no reason is known'}")
        if len(found) > NAMED:
            lines.append(f"{state}: {len(found) - NAMED} more; --runs lists all")
    return lines


def _columns(lines: Sequence[dict[str, Any]]) -> Table:
    """A table of the columns in which anything stands."""
    names = [name for name in (lines[0] if lines else {}) if any(line[name] not in (None, "") for line in lines)]
    return text_table(names, [["" if line[name] is None else line[name] for name in names] for line in lines])
