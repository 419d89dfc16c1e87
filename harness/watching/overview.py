"""The status of the runs in a root, from run folders and the cluster's queue: one row per run, and totals."""

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.folders.reader import RunSummary, summaries
from harness.folders.run_folder import last_line, tail
from harness.folders.state import RunState, counted
from harness.folders.usage import Known, Usage, usage
from harness.launching.planner import refuse_duplicates
from harness.settings import Run


@dataclass(frozen=True)
class Queued:
    """The array task of a run in a cluster's queue."""

    # The id of the array task.
    job: str
    # Whether the array task is pending; otherwise it runs, and computes the run now or later.
    waits: bool
    # Why it is pending, as the cluster reports it.
    reason: str
    node: str | None
    # Time of submission in seconds since 1970.
    submitted: float


@dataclass(frozen=True)
class Ended:
    """The array task of a run that has left a cluster's queue."""

    # The id of the array task.
    job: str
    # How it ended according to accounting; None if unknown.
    outcome: str | None
    # Its log, which may not exist.
    log: Path
    # Time of submission in seconds since 1970.
    submitted: float


# States of array tasks that explain why their runs were interrupted, as SLURM's outcomes begin.
UNTIMELY_ENDS = (
    "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "DEADLINE", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "CANCELLED", "REVOKED",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The status of a run. Times are in seconds since 1970; None means unknown or not applicable."""

    run: str
    task: str | None
    arm: str | None
    data_seed: int | None
    seed: int | None
    state: RunState
    phase: str | None = None
    step: int | None = None
    # Fraction of the gradient steps that is done, 0 to 1.
    progress: float | None = None
    updates_per_second: float | None = None
    heartbeat: float | None = None
    expected_end: float | None = None
    node: str | None = None
    # The id of the current, last or next cluster job.
    job: str | None = None
    # Why the run failed, was interrupted, is damaged or is pending.
    reason: str | None = None
    # The last line of the log of a failed or lost run.
    log_tail: str | None = None
    faults: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    # Total number of gradient steps.
    updates: int = field(default=0, repr=False)

    def plain(self) -> dict[str, Any]:
        """The row as JSON values."""
        return asdict(self)


def overview(
    root: Path,
    runs: Sequence[Run] | None,
    queue: Mapping[str, Queued],
    now: float | None = None,
    known: Mapping[str, Known] | None = None,
    ended: Mapping[str, Ended] | None = None,
) -> list[Row]:
    """One row per run in the order of `runs`, or per run folder in `root` by task, arm and seeds; writes nothing.

    `queue` holds the queued array tasks, `ended` those that have left the queue, and `known` the costs from accounting,
    all by run id. Raises UserError if the root does not exist, and for duplicate runs.
    """
    if runs is not None:
        refuse_duplicates(runs)
    now = time.time() if now is None else now
    known = known or {}
    rows = [_row(summary, queue.get(summary.id), known.get(summary.id), now) for summary in summaries(root, runs)]
    if ended:
        last_lines = functools.cache(last_line_of_job)
        rows = [_not_started(row, ended[row.run], last_lines) if row.run in ended else row for row in rows]
    if runs is None:
        rows.sort(key=lambda row: (row.task or "", row.arm or "", row.data_seed or 0, row.seed or 0))
    return rows


def last_line_of_job(log: Path) -> str:
    """The last line of a job's log before srun's notes on exit codes; empty without one."""
    lines = [line for line in tail(log).splitlines() if not line.startswith("srun: ")]
    return last_line("\n".join(lines).encode()) or last_line(tail(log).encode())


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
        data_seed=names.data_seed if names else None,
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
    """Why the run makes no progress; for lost runs, and what interrupted others, from the accounting."""
    if summary.faults:
        return summary.faults[0].removeprefix(f"{summary.folder.path}/")
    reason = summary.status.get("reason")
    outcome = known.tasks.get(job) if known and job is not None else None
    if outcome and summary.state is RunState.LOST:
        return f"SLURM reports its array task {job} as {outcome}"
    if outcome and summary.state is RunState.INTERRUPTED and outcome.startswith(UNTIMELY_ENDS):
        ended = f"its array task {job} ended as {outcome}"
        return f"{reason}; {ended}" if reason else ended
    return reason


def _in_queue(row: Row, queued: Queued) -> Row:
    """The row of a run that no process owns, but whose array task is in the queue.

    Array tasks skip failed runs, so a failed run is queued only if it was submitted again since.
    """
    submitted_again = row.state is RunState.FAILED and queued.submitted > (row.heartbeat or 0.0)
    if not row.state.starts_by_itself and not submitted_again:
        return row
    reason = queued.reason if queued.waits else "its job is running and will compute it"
    return replace(row, state=RunState.QUEUED, job=queued.job, node=queued.node, reason=reason, log_tail=None)


def _not_started(row: Row, ended: Ended, last_lines: Callable[[Path], str]) -> Row:
    """The row of a run whose array task ended before it began another attempt: such a run is lost."""
    if row.state not in (RunState.PLANNED, RunState.INTERRUPTED, RunState.LOST):
        return row
    if row.job == ended.job or (row.heartbeat or 0.0) > ended.submitted:
        return row
    outcome = f"ended as {ended.outcome}" if ended.outcome else "left the queue"
    where = f"log: {ended.log}" if ended.log.exists() else f"without a log ({ended.log})"
    reason = f"its array task {ended.job} {outcome} before the run began; {where}"
    return replace(row, state=RunState.LOST, job=ended.job, reason=reason, log_tail=last_lines(ended.log) or None)


def _remaining(row: Row) -> float:
    """The number of remaining gradient steps."""
    return row.updates * (1.0 - (row.progress or 0.0))


def _end(updates: float, speed: float | None, now: float) -> float | None:
    return now + updates / speed if speed else None


@dataclass(frozen=True)
class Total:
    """Totals of some rows."""

    runs: int
    # The number of runs in each state that occurs.
    counts: dict[RunState, int]
    # Mean progress.
    progress: float
    # Gradient steps per second of all runs together.
    updates_per_second: float
    # When all runs under way will be done at the current speed; None if the speed is unknown.
    expected_end: float | None
    usage: Usage

    def plain(self) -> dict[str, Any]:
        """The total as JSON values."""
        return asdict(self)


def total(rows: Sequence[Row], now: float) -> Total:
    """Counts, progress, cost and expected end of some rows."""
    speed = sum(row.updates_per_second or 0.0 for row in rows)
    remaining = sum(_remaining(row) for row in rows if row.state.is_under_way)
    ends = [row.expected_end for row in rows if row.expected_end is not None]
    together = _end(remaining, speed, now)
    return Total(
        runs=len(rows),
        counts=counted(row.state for row in rows),
        progress=sum(row.progress or 0.0 for row in rows) / max(len(rows), 1),
        updates_per_second=speed,
        expected_end=None if together is None else max([together, *ends]),
        usage=Usage.total([row.usage for row in rows]),
    )


def by_task_and_arm(rows: Iterable[Row]) -> dict[tuple[str | None, str | None], list[Row]]:
    """Group rows by task and arm, in order of first occurrence."""
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.arm), []).append(row)
    return groups


def clock(seconds: float, now: float) -> str:
    """A time relative to `now`: "14:20" today, "Tue 14:20" within a week, else "2026-03-01"."""
    moment, today = datetime.fromtimestamp(seconds), datetime.fromtimestamp(now)
    if moment.date() == today.date():
        return f"{moment:%H:%M}"
    return f"{moment:%a %H:%M}" if abs(moment - today) < timedelta(days=6) else f"{moment:%Y-%m-%d}"
