"""What SLURM's queue says of the runs of a root, and taking them out of it."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.errors import UserError, one_line
from harness.folders.usage import Known, known_usage
from harness.watching.overview import Queued
from slurm.command import PATIENCE, ask
from slurm.queue import queue
from slurm.submissions import FOLDER, places

# SLURM's words for a task that has its nodes; any other waits.
AT_WORK = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")

# Seconds after which the queue is asked again: its controller serves everybody.
INTERVAL = 10.0

# Seconds to wait for the queue before the status is shown without it.
VIEW_PATIENCE = 5.0


def queued_runs(root: Path, patience: float = PATIENCE) -> dict[str, Queued]:
    """The tasks that wait or run, by the id of every run of which they are the newest.

    Asks once, for the users who submitted in this root. UserError if the controller does not answer in time.
    """
    known = places(root)
    users = {place.submission.user for place in known.values() if place.task_id}
    if not users:
        return {}
    tasks = {(task.id, task.job_name): task for task in queue(users, patience)}
    found = {}
    for run, place in known.items():
        task = tasks.get((place.task_id or "", place.job_name))
        if task is not None:
            found[run] = Queued(
                job=task.id,
                waits=task.state not in AT_WORK,
                reason=task.reason,
                node=task.node or None,
                submitted=place.submission.submitted,
            )
    return found


def tasks_of_nothing_else(root: Path, runs: Collection[str], kept: Collection[str]) -> list[str]:
    """SLURM's ids of the tasks that some runs belong to, and none of the runs that are `kept`."""
    known = places(root)
    needed = {known[run].key for run in kept if run in known}
    free = {known[run].key: known[run] for run in runs if run in known and known[run].key not in needed}
    return [place.task_id for place in free.values() if place.task_id]


def take_out(tasks: Sequence[str]) -> None:
    """Cancel tasks. UserError if SLURM refuses.

    Without `--state=PENDING`: with it SLURM 22.05 cancels every waiting task of the array, named or not.
    """
    if tasks:
        ask("scancel", *tasks)


class QueueView:
    """The queue, and what accounting says of `costs`, as they were when last asked; `remarks` say why they were not."""

    def __init__(self, root: Path):
        self.root = root
        self.remarks: list[str] = []
        self.costs: dict[str, Known] = {}
        self._asked: float | None = None
        self._runs: dict[str, Queued] = {}

    def now(self) -> dict[str, Queued]:
        """The tasks that wait or run, by run id; none where nothing was submitted or the queue does not answer."""
        if not (self.root / FOLDER).is_dir():
            return {}
        if self._asked is None or time.monotonic() - self._asked > INTERVAL:
            self._ask()
        return self._runs

    def _ask(self) -> None:
        from slurm.accounting import keep_accounts

        self.remarks = []
        try:
            self._runs = queued_runs(self.root, VIEW_PATIENCE)
        except UserError as error:
            self._runs = {}
            self.remarks.append(f"{error}; what waits in SLURM's queue is not known")
        else:
            try:
                keep_accounts(self.root, {queued.job for queued in self._runs.values()}, VIEW_PATIENCE)
            except (UserError, OSError) as error:
                self.remarks.append(f"{one_line(error)}; costs are those that the runs themselves tell")
        try:
            self.costs = known_usage(self.root)
        except UserError as error:
            self.remarks.append(str(error))
        self._asked = time.monotonic()
