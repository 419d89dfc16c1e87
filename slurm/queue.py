"""What SLURM's queue says of this user's jobs."""

import getpass
import time
from collections.abc import Collection
from dataclasses import dataclass

from harness.errors import UserError
from slurm.command import PATIENCE, ask

# What squeue is asked for; names come last, for they may hold anything.
FORMAT = "%i|%F|%T|%r|%N|%j"


@dataclass(frozen=True)
class QueuedTask:
    """A job, or a task of a job array, that waits, runs or is being ended.

    Attributes:
        id: as `scancel` takes it: "7" or "7_3".
        job_id: that of its array.
        state: SLURM's word, for example PENDING or RUNNING.
        reason: why it waits.
        node: where it runs.
        job_name: the name of its job.
    """

    id: str
    job_id: str
    state: str
    reason: str
    node: str
    job_name: str


def queue(users: Collection[str] = (), patience: float = PATIENCE) -> list[QueuedTask]:
    """The tasks of some users (none: this one) in the queue; UserError if the controller does not answer in time."""
    named = ",".join(sorted(users)) or getpass.getuser()
    asked = ("squeue", "--noheader", "--array", f"--user={named}", f"--format={FORMAT}")
    return parse_queue(ask(*asked, patience=patience))


def parse_queue(text: str) -> list[QueuedTask]:
    """The tasks in what squeue prints in this module's format."""
    return [QueuedTask(*line.split("|", 5)) for line in text.splitlines() if line.strip()]


def job_named(name: str, since: float) -> str | None:
    """The id of the job of this name, submitted after `since` (seconds since 1970), whatever became of it.

    The controller is asked first and accounting next, where there is any. UserError if the controller does not answer.
    """
    found = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F").split()
    if not found:
        begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
        try:
            found = ask(
                "sacct", "--noheader", "--allocations", "--parsable2", f"--name={name}", f"--starttime={begin}",
                "--format=JobID",
            ).split()  # fmt: skip
        except UserError:
            return None
    return found[-1].split("_")[0] if found else None
