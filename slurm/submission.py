"""Submitting a grid: what is not done, running or queued becomes arrays of SLURM. Nothing here waits for a job."""

import contextlib
import getpass
import io
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path

import filelock
from submitit.core.utils import FailedJobError, FailedSubmissionError

from harness.errors import UserError
from harness.launching.planner import Plan, commit, cut_packs
from harness.settings import Run
from slurm import script, snapshot, submissions
from slurm.arrays import chunks
from slurm.command import ask, complaint, is_decision
from slurm.job import run_task
from slurm.limits import Limits
from slurm.profile import Profile, profile_to_dict
from slurm.queue import QueuedTask
from slurm.submissions import FOLDER, JOBS, Array, Submission, Task, folder_of, runs_in_queue, with_array

# Seconds to wait for another submitter of the same root.
LOCK_PATIENCE = 10.0

# What a trial says of nodes that there are not, and of those that are down.
UNAVAILABLE = "Requested node configuration is not available"

# Variables that SLURM puts into a job: a job that submits another must not pass them on.
JOB_VARIABLES = ("SLURM_", "SBATCH_", "SRUN_")


@dataclass(frozen=True)
class Draft:
    """What a submission would submit.

    Attributes:
        plan: the grid and the states of its runs.
        queued: ids of the grid's runs that a task in SLURM's queue will compute, so no failed or cancelled one.
        runs: what is submitted.
        tasks: the same as tasks of packs.
        arrays: the same as arrays, without ids.
        left: runs that the queue has no room for now.
    """

    plan: Plan
    queued: frozenset[str]
    runs: tuple[Run, ...]
    tasks: tuple[Task, ...]
    arrays: tuple[Array, ...]
    left: int


def draft(planned: Plan, profile: Profile, limits: Limits, queue: Sequence[QueuedTask], retry_failed: bool) -> Draft:
    """Cut what is to be done into packs, tasks and arrays. Writes nothing."""
    over = {run.id for run in planned.where(lambda state: state.is_terminal)}
    queued = runs_in_queue(planned.root, [(task.id, task.job_name) for task in queue]) - over
    runs = [run for run in planned.to_start(retry_failed) if run.id not in queued]
    packs = cut_packs(runs, planned.root, profile.runs_per_pack, profile.workers)
    tasks = tasks_of([tuple(folder.id for folder in pack) for pack in packs], profile.packs_per_task)
    kept = tasks[: limits.room(len(queue))]
    chosen = {run for task in kept for pack in task for run in pack}
    token = secrets.token_hex(4)
    arrays = [
        Array(f"floorbench-{token}-{number}", kept[chunk.start : chunk.start + chunk.count], chunk.limit, chunk.after)
        for number, chunk in enumerate(chunks(len(kept), limits.largest_array, profile.array_limit))
    ]
    return Draft(
        plan=planned,
        queued=frozenset(queued & {run.id for run in planned.runs}),
        runs=tuple(run for run in runs if run.id in chosen),
        tasks=kept,
        arrays=tuple(arrays),
        left=len(runs) - len(chosen),
    )


def tasks_of(packs: Sequence[tuple[str, ...]], most: int) -> tuple[Task, ...]:
    """Packs in their order, as the fewest tasks of at most `most` packs, whose sizes differ by at most one pack."""
    count = ceil(len(packs) / most)
    edges = [number * len(packs) // count for number in range(count + 1)] if count else []
    return tuple(tuple(packs[start:end]) for start, end in pairwise(edges))


def job_script(drafted: Draft, profile: Profile, number: int) -> str:
    """The script of one array as sbatch would get it; ids that do not exist yet are named in words."""
    array, root = drafted.arrays[number], drafted.plan.root.resolve()
    after = None if array.after is None else f"<{drafted.arrays[array.after].job_name}>"
    wanted = script.parameters(profile, array.job_name, array.limit, after, root, root / FOLDER / "code" / "<snapshot>")
    return script.text(profile, root / FOLDER / "<submission>" / JOBS, wanted, len(array.tasks))


def try_out(profile: Profile) -> None:
    """Ask SLURM whether it would take a task with these options; UserError with its reason if not. Nothing stays."""
    with tempfile.TemporaryDirectory() as name, outside_of_a_job():
        folder = Path(name)
        wanted = script.parameters(profile, "floorbench-trial", 1, None, folder, folder)
        file = folder / "trial.sh"
        file.write_text(script.text(profile, folder, wanted, 1))
        try:
            ask("sbatch", "--test-only", str(file))
        except UserError as error:
            if UNAVAILABLE not in str(error) or not nodes_away(profile):
                raise
            # A job that is to begin much later is judged by what the nodes have when they are there.
            ask("scancel", ask("sbatch", "--begin=now+1day", "--parsable", str(file)).strip().split(";")[0])


def nodes_away(profile: Profile) -> bool:
    """Whether some of the partition's nodes are down or drained: a trial then refuses what they alone could take."""
    partition = [f"--partition={profile.partition}"] if profile.partition else []
    return bool(ask("sinfo", "--noheader", "--states=down,drain,fail,maint", "--format=%N", *partition).strip())


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Let one submitter at a time work on a root."""
    place = Path(root) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(place / ".lock", timeout=LOCK_PATIENCE):
            yield
    except filelock.Timeout:
        raise UserError(f"{place}: another submission is being made there; wait for its end") from None


def submit(drafted: Draft, profile: Profile, grid: str) -> Submission:
    """Submit a draft: snapshot, run folders, facts, then array by array; every id is written down at once.

    UserError with SLURM's reason if it refuses an array; the arrays before it stay, those after it are not tried, and
    submitting again goes on from there. An array about which SLURM gave no answer may be in its queue all the same: its
    runs stay with it until `reconcile` has asked. The caller holds the lock, and made the draft under it.
    """
    root = drafted.plan.root.resolve()
    code = snapshot.take(root)
    commit(drafted.runs, root)
    submission = Submission(
        name=make_folder(root, grid),
        grid=grid,
        user=getpass.getuser(),
        host=socket.gethostname(),
        submitted=time.time(),
        profile=profile_to_dict(profile),
        code=code.name,
        arrays=drafted.arrays,
    )
    submissions.write(root, submission)
    for number in range(len(submission.arrays)):
        try:
            job_id = submit_array(root, submission, number, profile, code)
        except (FailedJobError, FailedSubmissionError) as error:
            reason = complaint(str(error))
            decided = isinstance(error, FailedJobError) and is_decision(reason)
            raise UserError(give_up(root, submission, number, reason, decided)) from None
        submission = with_array(submission, number, job_id=job_id)
        submissions.write(root, submission)
    return submission


def give_up(root: Path, submission: Submission, number: int, reason: str, decided: bool) -> str:
    """Write down that an array, unless that is not `decided`, and those after it are none; returns what to say."""
    arrays = len(submission.arrays)
    for refused in range(number if decided else number + 1, arrays):
        submission = with_array(submission, refused, dropped=reason)
    submissions.write(root, submission)
    found = f"sbatch: {reason or 'ended without a word'}; {number} of {arrays} arrays were submitted"
    if not decided:
        found += f", and SLURM may have {submission.arrays[number].job_name} too"
    return f"{found}: submit again for what is left"


def submit_array(root: Path, submission: Submission, number: int, profile: Profile, code: Path) -> str:
    """Give one array to SLURM; returns its id."""
    array = submission.arrays[number]
    after = None if array.after is None else submission.arrays[array.after].job_id
    wanted = script.parameters(profile, array.job_name, array.limit, after, root, code)
    executor = script.executor(profile, folder_of(root, submission.name) / JOBS, wanted)
    count = len(array.tasks)
    # submitit prints what sbatch complains of, and raises it.
    with outside_of_a_job(), contextlib.redirect_stderr(io.StringIO()):
        jobs = executor.map_array(
            run_task, [str(root)] * count, [submission.name] * count, [number] * count, range(count)
        )
    return jobs[0].job_id.split("_")[0]


def make_folder(root: Path, grid: str) -> str:
    """Make the folder of a new submission; its name tells when it was, and which grid."""
    begin = f"{time.strftime('%Y%m%d-%H%M%S')}-{grid.split()[0]}"
    for number in range(1, 1000):
        name = begin if number == 1 else f"{begin}-{number}"
        with contextlib.suppress(FileExistsError):
            folder_of(root, name).mkdir(parents=True)
            return name
    raise UserError(f"{folder_of(root, begin)}: is there a thousand times; name another --root")


@contextlib.contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Hide from sbatch that this process itself runs in a job, if it does."""
    hidden = {}
    if "SLURM_JOB_ID" in os.environ:
        names = [name for name in os.environ if name.startswith(JOB_VARIABLES) and name != "SLURM_CONF"]
        hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
