"""SLURM's programs, and what they report: the queue of some users and the limits of a cluster."""

import getpass
import os
import re
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass

from harness.errors import UserError

# Seconds to wait for an answer. SLURM's programs themselves wait 10 s or more for an unreachable controller.
TIMEOUT = 60.0

# Text before the reason in an error of SLURM.
PREAMBLE = r"^(\w+: )?((error|fatal|allocation failure): )?(Batch job submission failed: )?"

# Errors after which it is unknown whether the controller has acted, as slurm_strerror words them: "Socket timed out on
# send/recv operation", "Zero Bytes were transmitted or received", "Unexpected message received", "Message receive
# failure", "Unable to contact slurm controller (receive failure)".
NO_ANSWER = r"timed out|Zero Bytes|Unexpected message|failure\)?$"

# Beginnings of variables that add filters and formats to what these programs are asked.
PREFERENCES = ("SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_", "SLURM_TIME_FORMAT")

# Format of squeue. The name comes last, as it may contain the separator.
QUEUE_FORMAT = "%i|%F|%T|%r|%N|%j"


def ask(*command: str, timeout: float = TIMEOUT) -> str:
    """The output of a SLURM program; UserError with its reason if it fails, is missing or does not answer in time.

    The user's preferences for these programs do not take part: with SQUEUE_STATES=RUNNING, no task would be pending.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFERENCES)}
    try:
        done = subprocess.run(
            command,
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} not found; is SLURM installed?") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: no answer within {timeout:.0f} s") from None
    if done.returncode != 0:
        raise UserError(f"{command[0]}: {reason_in(done.stderr) or f'failed with exit code {done.returncode}'}")
    return done.stdout


def reason_in(stderr: str) -> str:
    """The reason in the stderr of a SLURM program: its first error, without the preamble."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|failure|fatal):", line)] or lines
    return re.sub(PREAMBLE, "", errors[0]) if errors else ""


def is_refusal(reason: str) -> bool:
    """Whether the controller refused a request. After any other error it may have accepted it."""
    return reason != "" and re.search(NO_ANSWER, reason) is None


@dataclass(frozen=True)
class QueuedTask:
    """A job or array task that is pending, running or completing.

    Attributes:
        id: as `scancel` takes it: "7" or "7_3".
        job_id: the id of its array.
        state: SLURM's state, e.g. PENDING or RUNNING.
        reason: why it is pending.
        node: where it runs.
        job_name: the name of its job.
    """

    id: str
    job_id: str
    state: str
    reason: str
    node: str
    job_name: str


def queue(users: Collection[str] = (), timeout: float = TIMEOUT) -> list[QueuedTask]:
    """The queued tasks of some users (default: the current one); UserError if the controller does not answer."""
    names = ",".join(sorted(users)) or getpass.getuser()
    command = ("squeue", "--noheader", "--array", f"--user={names}", f"--format={QUEUE_FORMAT}")
    return parse_queue(ask(*command, timeout=timeout))


def parse_queue(text: str) -> list[QueuedTask]:
    """Parse squeue's output in `QUEUE_FORMAT`."""
    return [QueuedTask(*line.split("|", 5)) for line in text.splitlines() if line.strip()]


def job_named(name: str, since: float) -> str | None:
    """The id of the job with a name that was submitted after `since` (Unix time), in any state.

    Asks the controller first, then accounting if available. UserError if the controller does not answer.
    """
    ids = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F").split()
    if not ids:
        begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
        try:
            ids = ask(
                "sacct", "--noheader", "--allocations", "--parsable2", f"--name={name}", f"--starttime={begin}",
                "--format=JobID",
            ).split()  # fmt: skip
        except UserError:
            return None
    return ids[-1].split("_")[0] if ids else None


@dataclass(frozen=True)
class Limits:
    """Limits on what a user can submit; the defaults are SLURM's.

    Attributes:
        max_array_size: the largest index of an array task, plus 1.
        max_job_count: number of jobs that the controller keeps for all users, where each array task counts; it refuses
            the job that would reach the number.
        max_submitted: number of jobs of this user that may be pending or running; None: unlimited.
    """

    max_array_size: int = 1001
    max_job_count: int = 10_000
    max_submitted: int | None = None

    @property
    def largest_array(self) -> int:
        """The maximum number of tasks of one array."""
        return min(self.max_array_size, self.max_job_count - 1)

    def room(self, queued: int) -> int:
        """The number of array tasks that a user with `queued` tasks can still submit."""
        kept = self.max_job_count - 1
        return max(0, (kept if self.max_submitted is None else min(self.max_submitted, kept)) - queued)


def limits(account: str | None = None) -> Limits:
    """The limits of the cluster for jobs of an account (None: any account of the user).

    UserError if the controller does not answer. Without accounting there are no limits per user.
    """
    configuration = ask("scontrol", "show", "config")
    try:
        associations = ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", "where", f"user={getpass.getuser()}",
            "format=Cluster,Account,MaxSubmit,GrpSubmit",
        )  # fmt: skip
    except UserError:
        associations = ""
    return parse_limits(configuration, associations, account)


def parse_limits(configuration: str, associations: str, account: str | None = None) -> Limits:
    """Parse the output of `scontrol show config` and `sacctmgr show associations`."""
    values = dict(re.findall(r"^(\w+)\s*= (.*)$", configuration, re.MULTILINE))
    cluster = values.get("ClusterName", "")
    submit_limits = []
    for line in associations.splitlines():
        fields = line.split("|")
        if fields[0] == cluster and account in (None, fields[1]):
            submit_limits += [int(field) for field in fields[2:] if field.isdigit()]
    default = Limits()
    return Limits(
        max_array_size=int(values.get("MaxArraySize", default.max_array_size)),
        max_job_count=int(values.get("MaxJobCount", default.max_job_count)),
        max_submitted=min(submit_limits, default=None),
    )
