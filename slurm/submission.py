"""Submit a grid as job arrays: draft them, submit them under a lock, and reconcile interrupted submissions.

Nothing here waits for a job.
"""

import contextlib
import getpass
import io
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from pathlib import Path

from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError, JobPaths

from harness import files
from harness.errors import UserError
from harness.files import naming
from harness.folders.state import RunState
from harness.launching.planner import Plan, commit, cut_packs
from harness.launching.prefixes import SharedPrefixes, commit_prefixes, shared_prefixes
from harness.settings import Run
from slurm import script, snapshot, submissions
from slurm.job import run_task
from slurm.profile import Profile, profile_to_dict
from slurm.queue import Limits, QueuedTask, ask, is_refusal, job_named, reason_in
from slurm.submissions import (
    FOLDER,
    JOBS,
    Array,
    ArrayTask,
    Submission,
    folder_of,
    places,
    runs_in_queue,
    undecided,
    with_array,
)

# Seconds to wait for another submission to the same root.
LOCK_TIMEOUT = 10.0

# sbatch --test-only says this of nodes that do not exist, and of nodes that are down.
UNAVAILABLE = "Requested node configuration is not available"

# Prefixes of the variables that SLURM sets in a job. A job that submits another must not pass them on.
JOB_VARIABLES = ("SLURM_", "SRUN_")

# Variables of sbatch replace options of a job script. These serve for options that a profile leaves out, the others are
# hidden.
DEFAULTS = {f"SBATCH_{option.upper()}": option for option in ("account", "partition", "qos", "reservation")}


@dataclass(frozen=True)
class Draft:
    """What a submission would submit.

    Attributes:
        plan: the grid and the states of its runs.
        queued: ids of unfinished runs of the grid that a queued array task will compute.
        shared: the prefixes from which its runs will start.
        runs: the runs to submit, including prefixes.
        tasks: their array tasks.
        arrays: their arrays, without job ids.
        left: number of runs that exceed the queue limit.
    """

    plan: Plan
    shared: SharedPrefixes
    queued: frozenset[str]
    runs: tuple[Run, ...]
    tasks: tuple[ArrayTask, ...]
    arrays: tuple[Array, ...]
    left: int


@dataclass(frozen=True)
class Chunk:
    """Consecutive array tasks that form one array.

    Attributes:
        start: the first task.
        count: the number of tasks; their indices in the array are 0 to `count` - 1.
        limit: how many of them may run at once.
        after: number of the chunk that must end before this one starts, or None.
    """

    start: int
    count: int
    limit: int
    after: int | None = None


def chunks(tasks: int, largest: int, at_once: int) -> list[Chunk]:
    """Split `tasks` array tasks into arrays of at most `largest`; at most `at_once` tasks run at a time in total.

    There are as few arrays as possible, of nearly equal size, and they share the limit equally. As each array must be
    allowed at least one task, some arrays wait for others if there are more arrays than `at_once`.
    """
    if tasks == 0:
        return []
    count = ceil(tasks / largest)
    edges = [number * tasks // count for number in range(count + 1)]
    lanes = min(count, at_once)
    limits = [(lane + 1) * at_once // lanes - lane * at_once // lanes for lane in range(lanes)]
    return [
        Chunk(start, end - start, min(limits[number % lanes], end - start), number - lanes if number >= lanes else None)
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def draft(
    planned: Plan,
    profile: Profile,
    limits: Limits,
    queue: Sequence[QueuedTask],
    retry_failed: bool,
    shared_prefix: bool = True,
) -> Draft:
    """Divide the runs to start into packs, array tasks and arrays. Writes nothing.

    Runs whose prefix is not done are in arrays of their own, which wait for all others.
    """
    root = planned.root
    in_queue = runs_in_queue(root, [(task.id, task.job_name) for task in queue])
    queued = in_queue - {run.id for run in planned.where(lambda state: state.is_terminal)}
    runs = [run for run in planned.to_start(retry_failed) if run.id not in queued]
    shared = shared_prefixes(runs, root, shared_prefix)
    prefixes = [run for run in shared.to_start(retry_failed) if run.id not in in_queue]
    waiting = {run for run, prefix in shared.of_run.items() if shared.state(prefix) is not RunState.DONE}
    first = _tasks(prefixes, root, profile) + _tasks([run for run in runs if run.id not in waiting], root, profile)
    then = _tasks([run for run in runs if run.id in waiting], root, profile)
    room = limits.room(len(queue))
    first, then = first[:room], then[: max(0, room - len(first))]
    chosen = {run for task in (*first, *then) for pack in task for run in pack}
    token = secrets.token_hex(4)
    arrays = _arrays(first, token, limits, profile)
    needed = {shared.of_run[run] for task in then for pack in task for run in pack}
    newest = places(root) if needed & in_queue else {}
    jobs = dict.fromkeys(newest[prefix].task_id for prefix in sorted(needed & in_queue))
    dependent = [
        replace(array, ahead=tuple(range(len(arrays))), prefix_jobs=tuple(job for job in jobs if job))
        for array in _arrays(then, token, limits, profile, len(arrays))
    ]
    return Draft(
        plan=planned,
        shared=shared,
        queued=frozenset(queued & {run.id for run in planned.runs}),
        runs=tuple(run for run in (*prefixes, *runs) if run.id in chosen),
        tasks=(*first, *then),
        arrays=(*arrays, *dependent),
        left=len(prefixes) + len(runs) - len(chosen),
    )


def _tasks(runs: Sequence[Run], root: Path, profile: Profile) -> tuple[ArrayTask, ...]:
    packs = cut_packs(runs, root, profile.pack_limit(runs), profile.workers)
    return array_tasks([tuple(folder.id for folder in pack) for pack in packs], profile.packs_per_task)


def _arrays(tasks: tuple[ArrayTask, ...], token: str, limits: Limits, profile: Profile, start: int = 0) -> list[Array]:
    """The arrays of some array tasks, of which the first has the number `start` in the submission."""
    return [
        Array(
            f"floorbench-{token}-{start + number}",
            tasks[chunk.start : chunk.start + chunk.count],
            chunk.limit,
            None if chunk.after is None else start + chunk.after,
        )
        for number, chunk in enumerate(chunks(len(tasks), limits.largest_array, profile.array_limit))
    ]


def array_tasks(packs: Sequence[tuple[str, ...]], most: int) -> tuple[ArrayTask, ...]:
    """Group packs, in order, into as few array tasks of at most `most` packs as possible, of nearly equal size."""
    count = ceil(len(packs) / most)
    edges = [number * len(packs) // count for number in range(count + 1)] if count else []
    return tuple(tuple(packs[start:end]) for start, end in pairwise(edges))


def job_script(drafted: Draft, profile: Profile, number: int) -> str:
    """The sbatch script of one array, with placeholders for ids that do not exist yet."""
    array, root = drafted.arrays[number], files.absolute(drafted.plan.root)
    after = [*(f"<{drafted.arrays[other].job_name}>" for other in array.waits_for), *array.prefix_jobs]
    wanted = script.parameters(profile, array.job_name, array.limit, after, root, root / FOLDER / "code" / "<snapshot>")
    return script.text(profile, root / FOLDER / "<submission>" / JOBS, wanted, len(array.tasks))


def check_profile(profile: Profile) -> None:
    """Ask SLURM whether it accepts a profile's options; UserError with its reason if not. Nothing is submitted."""
    with tempfile.TemporaryDirectory() as name, only_options_of(profile):
        folder = Path(name)
        wanted = script.parameters(profile, "floorbench-check", 1, (), folder, folder)
        file = folder / "check.sh"
        file.write_text(script.text(profile, folder, wanted, 1), encoding="utf-8")
        try:
            _ask_about(file, profile)
        except UserError as error:
            if UNAVAILABLE not in str(error):
                raise
            compare = "compare with: sinfo --format='%P %D %c %m %G %f'"
            raise UserError(f"{error}: no node has {_resources(profile)}; {compare}") from None


def _ask_about(file: Path, profile: Profile) -> None:
    """Ask SLURM whether it accepts a job script."""
    try:
        ask("sbatch", "--test-only", str(file))
    except UserError as error:
        if UNAVAILABLE not in str(error) or not nodes_away(profile):
            raise
        # For a job that begins later, SLURM also considers nodes that are down.
        ask("scancel", ask("sbatch", "--begin=now+1day", "--parsable", str(file)).strip().split(";")[0])


def _resources(profile: Profile) -> str:
    """The fields of a profile that decide on which nodes its array tasks run."""
    names = ("cpus_per_task", "memory_gb", "gres", "constraint")
    values = [f"{name} = {getattr(profile, name)}" for name in names if getattr(profile, name) is not None]
    return ", ".join([*values, *(f"sbatch.{name} = {value}" for name, value in profile.sbatch.items())])


def nodes_away(profile: Profile) -> bool:
    """Whether nodes of the partition are down or drained: sbatch --test-only refuses what only they could run."""
    partition = [f"--partition={profile.partition}"] if profile.partition else []
    return bool(ask("sinfo", "--noheader", "--states=down,drain,fail,maint", "--format=%N", *partition).strip())


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of submissions to a root."""
    place = Path(root) / FOLDER
    with naming(place):
        place.mkdir(parents=True, exist_ok=True)
    with files.locked(place / ".lock", LOCK_TIMEOUT, "submit to this root"):
        yield


def submit(drafted: Draft, profile: Profile, grid: str, trackers: Sequence[str] = ()) -> Submission:
    """Write the snapshot, the run folders and the record of the submission, then submit array by array.

    Each job id is recorded at once. UserError with SLURM's reason if it refuses an array: the arrays before it stay
    submitted, those after it are not tried, and submitting again continues there. An array for which SLURM gave no
    answer may be in the queue; its runs belong to it until `reconcile` has asked. The caller holds the lock, and made
    the draft under it.
    """
    root = files.absolute(drafted.plan.root)
    code = snapshot.take(root)
    commit(drafted.runs, root)
    prefixes = {run.id for run in drafted.shared.plan.runs}
    commit_prefixes([run for run in drafted.runs if run.id not in prefixes], drafted.shared)
    submission = Submission(
        name=make_folder(root, grid),
        grid=grid,
        user=getpass.getuser(),
        host=socket.gethostname(),
        submitted=time.time(),
        profile=profile_to_dict(profile),
        code=code.name,
        arrays=drafted.arrays,
        trackers=tuple(dict.fromkeys(trackers)),
        group=short_name(grid),
    )
    submissions.write(root, submission)
    for number in range(len(submission.arrays)):
        try:
            job_id = submit_array(root, submission, number, profile, code)
        except (FailedJobError, FailedSubmissionError) as error:
            reason = reason_in(str(error))
            refused = isinstance(error, FailedJobError) and is_refusal(reason)
            raise UserError(give_up(root, submission, number, reason, refused)) from None
        submission = with_array(submission, number, job_id=job_id)
        submissions.write(root, submission)
    return submission


def give_up(root: Path, submission: Submission, number: int, reason: str, refused: bool) -> str:
    """Drop the arrays after one that failed, and the array itself if SLURM refused it; returns the error message."""
    arrays = len(submission.arrays)
    for dropped in range(number if refused else number + 1, arrays):
        submission = with_array(submission, dropped, dropped=reason)
    submissions.write(root, submission)
    message = f"sbatch: {reason or 'failed without a message'}; {number} of {arrays} arrays were submitted"
    if not refused:
        message += f", and {submission.arrays[number].job_name} may have been"
    return f"{message}; submit again for the rest"


def submit_array(root: Path, submission: Submission, number: int, profile: Profile, code: Path) -> str:
    """Submit one array; returns its job id."""
    array = submission.arrays[number]
    after = [*filter(None, (submission.arrays[other].job_id for other in array.waits_for)), *array.prefix_jobs]
    wanted = script.parameters(profile, array.job_name, array.limit, after, root, code)
    executor = script.executor(profile, folder_of(root, submission.name) / JOBS, wanted)
    count = len(array.tasks)
    # submitit prints sbatch's error and raises it as well.
    with only_options_of(profile), contextlib.redirect_stderr(io.StringIO()):
        jobs = executor.map_array(
            run_task, [str(root)] * count, [submission.name] * count, [number] * count, range(count)
        )
    return jobs[0].job_id.split("_")[0]


def short_name(grid: str) -> str:
    """The first word of a grid and its options as a part of file names: of a file its stem, "runs" without a grid."""
    first = Path(grid.split()[0]).stem
    return "runs" if first.startswith("-") else re.sub(r"[^\w.-]", "_", first)


def make_folder(root: Path, grid: str) -> str:
    """Create the folder of a new submission, named by time and grid; returns the name."""
    begin = f"{time.strftime('%Y%m%d-%H%M%S')}-{short_name(grid)}"
    for number in range(1, 1000):
        name = begin if number == 1 else f"{begin}-{number}"
        with contextlib.suppress(FileExistsError):
            folder_of(root, name).mkdir(parents=True)
            return name
    raise UserError(f"{folder_of(root, begin)}: has 1,000 submissions of the same second; try again")


def reconcile(root: Path) -> list[str]:
    """Find out about every array whose id an interrupted submitter did not record; returns a remark for each.

    Arrays that SLURM has are adopted, with the files that submitit would have written; the others are dropped.
    UserError if the controller does not answer; then nothing changes. The caller holds the lock.
    """
    remarks = []
    for submission, number in undecided(root):
        array = submission.arrays[number]
        job_id = job_named(array.job_name, submission.submitted)
        current = submissions.read(root, submission.name)
        if job_id is None:
            submissions.write(root, with_array(current, number, dropped="interrupted before SLURM received it"))
            remarks.append(f"{array.job_name}: interrupted before SLURM received it; its runs can be submitted again")
        else:
            adopted = with_array(current, number, job_id=job_id)
            complete_files(root, adopted, number)
            submissions.write(root, adopted)
            remarks.append(f"{array.job_name}: found in SLURM as job {job_id}")
    return remarks


def complete_files(root: Path, submission: Submission, number: int) -> None:
    """Write missing pickles of an array's tasks: tasks wait 60 s for the pickle that tells them what to run."""
    array = submission.arrays[number]
    for task in range(len(array.tasks)):
        paths = JobPaths(folder_of(root, submission.name) / JOBS, job_id=array.task_id(task))
        if not paths.submitted_pickle.exists():
            temporary = paths.submitted_pickle.with_suffix(".adopted")
            DelayedSubmission(run_task, str(root), submission.name, number, task).dump(temporary)
            temporary.replace(paths.submitted_pickle)


@contextlib.contextmanager
def only_options_of(profile: Profile) -> Iterator[None]:
    """Hide variables from sbatch that would replace a profile's options, and those of a surrounding job."""
    given = {name for name, value in profile_to_dict(profile).items() if value is not None} | set(profile.sbatch)
    in_job = "SLURM_JOB_ID" in os.environ

    def is_hidden(name: str) -> bool:
        if name.startswith("SBATCH_"):
            return DEFAULTS.get(name) is None or DEFAULTS[name] in given
        return in_job and name.startswith(JOB_VARIABLES) and name != "SLURM_CONF"

    hidden = {name: os.environ.pop(name) for name in list(filter(is_hidden, os.environ))}
    try:
        yield
    finally:
        os.environ.update(hidden)
