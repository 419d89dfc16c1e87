"""The runs of a root in SLURM's queue: their states, and how to remove them."""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from harness.errors import UserError, one_line
from harness.folders.usage import Known, known_usage
from harness.watching.overview import Ended, Queued
from slurm.queue import TIMEOUT, ask, queue
from slurm.submissions import FOLDER, places

# SLURM's states of a task that has its nodes; in any other it is pending.
ALLOCATED = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")

# Seconds between two requests to the controller, which all users share.
INTERVAL = 10.0

# Seconds to wait for the queue before the status is shown without it.
VIEW_TIMEOUT = 5.0

# Seconds after a submission during which the queue may not show all of its tasks.
SETTLED = 15.0


def queued_runs(root: Path, timeout: float = TIMEOUT) -> dict[str, Queued]:
    """The queued array tasks by the id of every run whose newest task they are.

    Makes one request, for all users who submitted to this root. UserError if the controller does not answer in time.
    """
    newest = places(root)
    users = {place.submission.user for place in newest.values() if place.task_id}
    if not users:
        return {}
    tasks = {(task.id, task.job_name): task for task in queue(users, timeout)}
    queued = {}
    for run, place in newest.items():
        task = tasks.get((place.task_id or "", place.job_name))
        if task is not None:
            queued[run] = Queued(
                job=task.id,
                waits=task.state not in ALLOCATED,
                reason=task.reason,
                node=task.node or None,
                submitted=place.submission.submitted,
            )
    return queued


def ended_tasks(root: Path, queued: Collection[str], costs: Mapping[str, Known]) -> dict[str, Ended]:
    """The newest array task of every run that is not `queued`, by run id; tasks submitted just now are left out.

    `costs`: what accounting knows, by run id.
    """
    ended = {}
    for run, place in places(root).items():
        if run in queued or place.task_id is None or place.log is None:
            continue
        if time.time() - place.submission.submitted < SETTLED:
            continue
        known = costs.get(run, Known())
        submitted = place.submission.submitted
        ended[run] = Ended(place.task_id, known.tasks.get(place.task_id), place.log, submitted)
    return ended


def tasks_without(root: Path, runs: Collection[str], kept: Collection[str]) -> list[str]:
    """SLURM's ids of the array tasks of `runs` that contain none of the `kept` runs."""
    newest = places(root)
    needed = {newest[run].key for run in kept if run in newest}
    free = {newest[run].key: newest[run] for run in runs if run in newest and newest[run].key not in needed}
    return [place.task_id for place in free.values() if place.task_id]


def cancel_tasks(tasks: Sequence[str]) -> None:
    """Cancel array tasks. UserError if SLURM refuses.

    Not with `--state=PENDING`, for which SLURM 22.05 cancels all pending tasks of the array, named or not.
    """
    if tasks:
        ask("scancel", *tasks)


class QueueView:
    """The queue and the costs known to accounting, as of the last request; `remarks` say what failed."""

    def __init__(self, root: Path):
        self.root = root
        self.remarks: list[str] = []
        self.costs: dict[str, Known] = {}
        # The newest array task of every run that is not in the queue.
        self.ended: dict[str, Ended] = {}
        self._asked: float | None = None
        self._runs: dict[str, Queued] = {}

    def now(self) -> dict[str, Queued]:
        """The queued array tasks by run id; empty if nothing was submitted or the controller does not answer."""
        if not (self.root / FOLDER).is_dir():
            return {}
        if self._asked is None or time.monotonic() - self._asked > INTERVAL:
            self._ask()
        return self._runs

    def _ask(self) -> None:
        from slurm.accounting import UNFINISHED, update_accounting

        self.remarks = []
        try:
            self._runs = queued_runs(self.root, VIEW_TIMEOUT)
        except UserError as error:
            self._runs, self.ended = {}, {}
            self.remarks.append(f"{error}; SLURM's queue is unknown")
        else:
            self.ended = ended_tasks(self.root, self._runs, self.costs)
            # A task that has ended since accounting was asked is worth another request.
            unknown = any(task.outcome is None or task.outcome in UNFINISHED for task in self.ended.values())
            interval = {"interval": INTERVAL} if unknown else {}
            try:
                queued = {queued.job for queued in self._runs.values()}
                update_accounting(self.root, queued, VIEW_TIMEOUT, **interval)
            except (UserError, OSError) as error:
                self.remarks.append(f"{one_line(error)}; costs are estimated from the runs' own records")
        try:
            self.costs = known_usage(self.root)
        except UserError as error:
            self.remarks.append(str(error))
        if self.ended:
            self.ended = ended_tasks(self.root, self._runs, self.costs)
        self._asked = time.monotonic()
