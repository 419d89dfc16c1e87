"""What was submitted: `ROOT/submissions/<name>/submission.json`, written before SLURM is asked, and SLURM's files.

A submission has arrays, an array has tasks, a task has packs, a pack has ids of runs. An array's id is filled in when
SLURM has given it; until then its name, which no other job has, tells whether SLURM knows it. SLURM's job ids are given
out again after a crash of its controller: whoever asks about a job compares the name too.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from algorithms.settings import CONFIG
from harness.errors import UserError
from harness.files import DamagedFileError, read_json, write_json
from harness.settings import first_problem

# In a root: the folder of submissions; in that: the code they run; in a submission: its facts, and SLURM's own files.
FOLDER, CODE, FACTS, JOBS = "submissions", "code", "submission.json", "jobs"

# Ids of runs that train together at first, and of all runs of a task.
Pack = tuple[str, ...]
Task = tuple[Pack, ...]


@dataclass(frozen=True, config=CONFIG)
class Array:
    """A job array. An array of one task is an ordinary job: SLURM gives its task no index."""

    # Its name in SLURM, which no other job has.
    job_name: str
    tasks: tuple[Task, ...]
    # Tasks that run at once.
    limit: int
    # Number of the array of this submission that must have ended before this one begins.
    after: int | None = None
    job_id: str | None = None
    # Why it never became a job, or why its job is not counted on any more.
    dropped: str | None = None

    def task_id(self, index: int) -> str | None:
        """SLURM's id of a task, as `squeue`, `scancel` and the names of its files have it."""
        if self.job_id is None or len(self.tasks) == 1:
            return self.job_id
        return f"{self.job_id}_{index}"


@dataclass(frozen=True, config=CONFIG)
class Submission:
    """Everything that was asked of SLURM in one go; `profile` is that of `slurm.profile`, every field resolved."""

    name: str
    grid: str
    user: str
    # The machine on which it was submitted.
    host: str
    # When, in seconds since 1970.
    submitted: float
    profile: dict[str, Any]
    # Name of the snapshot in the folder of code.
    code: str
    arrays: tuple[Array, ...]


@dataclass(frozen=True, config=CONFIG)
class Place:
    """A task: where a run is, was or will be computed."""

    root: Path
    submission: Submission
    # Numbers of the array in the submission and of the task in the array.
    array: int
    task: int

    @property
    def key(self) -> tuple[str, int, int]:
        """Which task it is, whatever has become known of it since."""
        return self.submission.name, self.array, self.task

    @property
    def job_array(self) -> Array:
        return self.submission.arrays[self.array]

    @property
    def job_name(self) -> str:
        return self.job_array.job_name

    @property
    def task_id(self) -> str | None:
        """SLURM's id of the task; None while it has none."""
        return self.job_array.task_id(self.task)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs of the task."""
        return tuple(run for pack in self.job_array.tasks[self.task] for run in pack)

    @property
    def log(self) -> Path | None:
        """The file of what the task prints, on stdout and stderr; None while the task has no id."""
        if self.task_id is None:
            return None
        return folder_of(self.root, self.submission.name) / JOBS / f"{self.task_id}_0_log.out"


_SUBMISSION = TypeAdapter(Submission)


def folder_of(root: Path, name: str) -> Path:
    """The folder of a submission."""
    return Path(root) / FOLDER / name


def write(root: Path, submission: Submission) -> None:
    """Write or replace the facts of a submission, whose folder is there."""
    write_json(folder_of(root, submission.name) / FACTS, _SUBMISSION.dump_python(submission, mode="json"))


def with_array(submission: Submission, number: int, **changes: Any) -> Submission:
    """A copy with changes to one array."""
    arrays = list(submission.arrays)
    arrays[number] = replace(arrays[number], **changes)
    return replace(submission, arrays=tuple(arrays))


def read(root: Path, name: str) -> Submission:
    """One submission; damage raises a UserError."""
    file = folder_of(root, name) / FACTS
    values = read_json(file)
    if values is None:
        raise UserError(f"{file}: is missing; there is no such submission")
    try:
        return _SUBMISSION.validate_python(values)
    except ValidationError as error:
        raise DamagedFileError(f"{file}: is damaged: {first_problem(error, noun='value')}") from None


def submissions(root: Path) -> list[Submission]:
    """All submissions of a root, oldest first; none where nothing was ever submitted."""
    found = [read(root, file.parent.name) for file in (Path(root) / FOLDER).glob(f"*/{FACTS}")]
    return sorted(found, key=lambda submission: (submission.submitted, submission.name))


def places(root: Path) -> dict[str, Place]:
    """Of every run that was ever submitted, by id: the newest task it belongs to; dropped arrays do not count."""
    newest: dict[str, Place] = {}
    for submission in submissions(root):
        for number, array in enumerate(submission.arrays):
            if array.dropped is None:
                for task in range(len(array.tasks)):
                    place = Place(Path(root), submission, number, task)
                    newest |= dict.fromkeys(place.runs, place)
    return newest


def task_of(root: Path, run: str) -> Place | None:
    """The newest task that a run belongs to, or None if it was never submitted."""
    return places(root).get(run)


def undecided(root: Path) -> list[tuple[Submission, int]]:
    """Arrays of which it is not known whether SLURM has taken them: their submitter was killed at that moment."""
    return [
        (submission, number)
        for submission in submissions(root)
        for number, array in enumerate(submission.arrays)
        if array.job_id is None and array.dropped is None
    ]


def runs_in_queue(root: Path, queue: Sequence[tuple[str, str]]) -> set[str]:
    """Ids of the runs whose newest task waits or runs; `queue` has SLURM's ids of tasks, with their jobs' names."""
    known = set(queue)
    return {run for run, place in places(root).items() if (place.task_id, place.job_name) in known}
