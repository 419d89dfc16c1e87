"""What the runs of a root are doing: a row per run from its folder and the cluster's queue, and what rows sum up to."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.folders.reader import RunSummary, summaries
from harness.folders.state import RunState, counted
from harness.folders.usage import Known, Usage, usage
from harness.launching.planner import refuse_duplicates
from harness.settings import Run


@dataclass(frozen=True)
class Queued:
    """A run's task in a cluster's queue."""

    # The cluster's id of the task.
    job: str
    # Whether it waits; else it runs, and the run is computed or will be.
    waits: bool
    # Why it waits, in the cluster's words.
    reason: str
    node: str | None
    # When it was submitted, in seconds since 1970.
    submitted: float


@dataclass(frozen=True)
class Row:
    """A run at one moment; times are in seconds since 1970, None stands for what is not known or does not apply."""

    run: str
    task: str | None
    arm: str | None
    seed: int | None
    state: RunState
    phase: str | None = None
    step: int | None = None
    # Share of the work that is done, 0 to 1.
    progress: float | None = None
    updates_per_second: float | None = None
    heartbeat: float | None = None
    expected_end: float | None = None
    node: str | None = None
    # The cluster's id of the job that computes it, or did last, or will.
    job: str | None = None
    # Why it failed, was interrupted, is damaged or waits.
    reason: str | None = None
    # The last line of a failed or lost run's log.
    log_tail: str | None = None
    faults: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    # Gradient steps from beginning to end.
    updates: int = field(default=0, repr=False)

    def plain(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return asdict(self)


def overview(
    root: Path,
    runs: Sequence[Run] | None,
    queue: Mapping[str, Queued],
    now: float | None = None,
    known: Mapping[str, Known] | None = None,
) -> list[Row]:
    """A row per run folder in `root`, by task, arm and seed; or per run, in the order of `runs`. Writes nothing there.

    `queue` has the tasks that wait or run by run id, and `known` what accounting says of costs. Raises UserError if
    there is no such root, or for equal runs.
    """
    if runs is not None:
        refuse_duplicates(runs)
    now = time.time() if now is None else now
    known = known or {}
    rows = [_row(summary, queue.get(summary.id), known.get(summary.id), now) for summary in summaries(root, runs)]
    if runs is None:
        rows.sort(key=lambda row: (row.task or "", row.arm or "", row.seed or 0))
    return rows


def _row(summary: RunSummary, queued: Queued | None, known: Known | None, now: float) -> Row:
    names, status = summary.names, summary.status
    details = summary.attempts[-1].details if summary.attempts else {}
    state, running = summary.state, summary.state is RunState.RUNNING
    accounts = [attempt.account(running and attempt is summary.attempts[-1]) for attempt in summary.attempts]
    slurm = details.get("slurm") or {}
    row = Row(
        run=summary.id,
        task=names.task if names else None,
        arm=names.arm if names else None,
        seed=names.seed if names else None,
        state=state,
        phase=status.get("phase"),
        step=status.get("step"),
        progress=status.get("progress"),
        updates_per_second=status.get("updates_per_second") if running else None,
        heartbeat=summary.attempts[-1].heartbeat if summary.attempts else status.get("heartbeat"),
        node=slurm.get("node") or details.get("host"),
        job=slurm.get("job"),
        reason=_reason(summary, slurm.get("job"), known),
        log_tail=summary.log_tail,
        faults=summary.faults,
        usage=usage(accounts, now, known),
        updates=names.updates if names else 0,
    )
    if running:
        return replace(row, expected_end=_end(_remaining(row), row.updates_per_second, now))
    return row if queued is None else _in_queue(row, queued)


def _reason(summary: RunSummary, job: str | None, known: Known | None) -> str | None:
    """Why the run is not on its way; a lost one has left no word itself, but perhaps its cluster has one."""
    if summary.faults:
        return summary.faults[0].removeprefix(f"{summary.folder.path}/")
    if summary.state is RunState.LOST and known and job is not None and job in known.tasks:
        return f"its task {job} is {known.tasks[job]} by SLURM's accounting"
    return summary.status.get("reason")


def _in_queue(row: Row, queued: Queued) -> Row:
    """The row of a run whose task is in the queue, though nobody computes the run now.

    A run that failed is left alone by its task; only one that was submitted again since then is queued.
    """
    submitted_again = row.state is RunState.FAILED and queued.submitted > (row.heartbeat or 0.0)
    if not row.state.starts_by_itself and not submitted_again:
        return row
    reason = queued.reason if queued.waits else "its job is running and will come to it"
    return replace(row, state=RunState.QUEUED, job=queued.job, node=queued.node, reason=reason, log_tail=None)


def _remaining(row: Row) -> float:
    """Gradient steps that are left."""
    return row.updates * (1.0 - (row.progress or 0.0))


def _end(updates: float, speed: float | None, now: float) -> float | None:
    return now + updates / speed if speed else None


@dataclass(frozen=True)
class Total:
    """What some rows sum up to."""

    runs: int
    # How many are in each state that occurs.
    counts: dict[RunState, int]
    # Mean share of the work that is done.
    progress: float
    # Gradient steps per second, of all runs together.
    updates_per_second: float
    # When the last run that is under way will be done if the speed stays; None while nothing tells the speed.
    expected_end: float | None
    usage: Usage

    def plain(self) -> dict[str, Any]:
        """The sum as JSON has it."""
        return asdict(self)


def total(rows: Sequence[Row], now: float) -> Total:
    """Counts, progress, cost and expected end of some rows."""
    speed = sum(row.updates_per_second or 0.0 for row in rows)
    waiting = sum(_remaining(row) for row in rows if row.state.is_under_way)
    ends = [row.expected_end for row in rows if row.expected_end is not None]
    together = _end(waiting, speed, now)
    return Total(
        runs=len(rows),
        counts=counted(row.state for row in rows),
        progress=sum(row.progress or 0.0 for row in rows) / max(len(rows), 1),
        updates_per_second=speed,
        expected_end=None if together is None else max([together, *ends]),
        usage=sum((row.usage for row in rows), Usage()),
    )


def by_task_and_arm(rows: Iterable[Row]) -> dict[tuple[str | None, str | None], list[Row]]:
    """The rows in groups, in the order in which they first occur."""
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.arm), []).append(row)
    return groups


def clock(seconds: float, now: float) -> str:
    """A moment as one says it at `now`: "14:20", "Tue 14:20" in the week around, else "2026-03-01"."""
    moment, today = datetime.fromtimestamp(seconds), datetime.fromtimestamp(now)
    if moment.date() == today.date():
        return f"{moment:%H:%M}"
    return f"{moment:%a %H:%M}" if abs(moment - today) < timedelta(days=6) else f"{moment:%Y-%m-%d}"
