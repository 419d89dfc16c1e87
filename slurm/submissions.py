"""Records of submissions: `ROOT/submissions/<name>/submission.json`, written before anything is submitted.

A submission consists of arrays, an array of tasks, an array task of packs, a pack of run ids. The job id of an array is
recorded once SLURM has assigned it; until then its unique name tells whether SLURM has it. As SLURM may reuse job ids
after a crash of its controller, queries compare names as well.
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
from harness.plain_values import first_problem

# In a root: the folder of submissions; in that: snapshots of the code; in a submission: its record, and SLURM's files.
FOLDER, CODE, RECORD, JOBS = "submissions", "code", "submission.json", "jobs"

# Ids of the runs of a pack as submitted, and the packs of an array task.
Pack = tuple[str, ...]
ArrayTask = tuple[Pack, ...]


@dataclass(frozen=True, config=CONFIG)
class Array:
    """A job array. An array of one task is an ordinary job, without task indices.

    Attributes:
        job_name: its unique name in SLURM.
        tasks: its array tasks.
        limit: how many of them may run at once.
        after: number of the array of this submission that must end before this one starts, so that not too many tasks
            run at once.
        ahead: for runs that start from a prefix: numbers of the arrays of this submission that compute prefixes or
            other runs, and must end before.
        prefix_jobs: likewise the ids of array tasks of earlier submissions that compute prefixes.
        job_id: its id, once SLURM has assigned one.
        dropped: why it never became a job, or why its job no longer counts.
    """

    job_name: str
    tasks: tuple[ArrayTask, ...]
    limit: int
    after: int | None = None
    job_id: str | None = None
    dropped: str | None = None
    ahead: tuple[int, ...] = ()
    prefix_jobs: tuple[str, ...] = ()

    @property
    def waits_for(self) -> tuple[int, ...]:
        """Numbers of the arrays of this submission that must end before this one starts."""
        return tuple(dict.fromkeys((*self.ahead, *(() if self.after is None else (self.after,)))))

    def task_id(self, index: int) -> str | None:
        """SLURM's id of an array task, as in `squeue`, `scancel` and the names of its files."""
        if self.job_id is None or len(self.tasks) == 1:
            return self.job_id
        return f"{self.job_id}_{index}"


@dataclass(frozen=True, config=CONFIG)
class Submission:
    """One submission.

    Attributes:
        name: its folder.
        grid: the grid and options, for a reader.
        user: who submitted it.
        host: the machine on which it was submitted.
        submitted: when, as Unix time.
        profile: all fields of the `slurm.profile.Profile`.
        code: name of the code snapshot.
        arrays: its arrays.
        trackers: names of the trackers to which its array tasks pass on metrics.
        group: the name by which trackers group its runs.
    """

    name: str
    grid: str
    user: str
    host: str
    submitted: float
    profile: dict[str, Any]
    code: str
    arrays: tuple[Array, ...]
    trackers: tuple[str, ...] = ()
    group: str = "runs"


@dataclass(frozen=True, config=CONFIG)
class Place:
    """An array task: `array` is its array's number in the submission, `task` its index in the array."""

    root: Path
    submission: Submission
    array: int
    task: int

    @property
    def key(self) -> tuple[str, int, int]:
        """Identifies the array task, independent of job ids."""
        return self.submission.name, self.array, self.task

    @property
    def name(self) -> str:
        """The name of the array task in files: submission, array and task."""
        return f"{self.submission.name}-{self.array}-{self.task}"

    @property
    def job_array(self) -> Array:
        return self.submission.arrays[self.array]

    @property
    def job_name(self) -> str:
        return self.job_array.job_name

    @property
    def task_id(self) -> str | None:
        """SLURM's id of the array task; None if it has none yet."""
        return self.job_array.task_id(self.task)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs of the array task."""
        return tuple(run for pack in self.job_array.tasks[self.task] for run in pack)

    @property
    def log(self) -> Path | None:
        """The log of the array task (stdout and stderr); None if it has no id yet."""
        if self.task_id is None:
            return None
        return folder_of(self.root, self.submission.name) / JOBS / f"{self.task_id}_0_log.out"


_SUBMISSION = TypeAdapter(Submission)


def folder_of(root: Path, name: str) -> Path:
    """The folder of a submission."""
    return Path(root) / FOLDER / name


def write(root: Path, submission: Submission) -> None:
    """Write or replace the record of a submission, whose folder must exist."""
    # Array tasks run the code as submitted, which may be older: it knows no fields that were added since.
    values = _SUBMISSION.dump_python(submission, mode="json", exclude_defaults=True)
    write_json(folder_of(root, submission.name) / RECORD, values)


def with_array(submission: Submission, number: int, **changes: Any) -> Submission:
    """A copy with changes to one array."""
    arrays = list(submission.arrays)
    arrays[number] = replace(arrays[number], **changes)
    return replace(submission, arrays=tuple(arrays))


def read(root: Path, name: str) -> Submission:
    """Read the record of a submission; UserError if it is missing or damaged."""
    file = folder_of(root, name) / RECORD
    values = read_json(file)
    if values is None:
        raise UserError(f"{file}: not found")
    try:
        return _SUBMISSION.validate_python(values)
    except ValidationError as error:
        raise DamagedFileError(f"{file}: is damaged: {first_problem(error, noun='value')}") from None


def submissions(root: Path) -> list[Submission]:
    """All submissions of a root, oldest first."""
    records = [read(root, file.parent.name) for file in (Path(root) / FOLDER).glob(f"*/{RECORD}")]
    return sorted(records, key=lambda submission: (submission.submitted, submission.name))


def places(root: Path) -> dict[str, Place]:
    """The newest array task of every submitted run, by run id; dropped arrays do not count."""
    newest: dict[str, Place] = {}
    for submission in submissions(root):
        for number, array in enumerate(submission.arrays):
            if array.dropped is None:
                for task in range(len(array.tasks)):
                    place = Place(Path(root), submission, number, task)
                    newest |= dict.fromkeys(place.runs, place)
    return newest


def task_of(root: Path, run: str) -> Place | None:
    """The newest array task of a run, or None if it was never submitted."""
    return places(root).get(run)


def undecided(root: Path) -> list[tuple[Submission, int]]:
    """Arrays that SLURM may or may not have: their submitter was interrupted before it recorded a job id."""
    return [
        (submission, number)
        for submission in submissions(root)
        for number, array in enumerate(submission.arrays)
        if array.job_id is None and array.dropped is None
    ]


def runs_in_queue(root: Path, queue: Sequence[tuple[str, str]]) -> set[str]:
    """Ids of the runs whose newest array task is queued; `queue` lists ids of array tasks with their job names."""
    queued = set(queue)
    return {run for run, place in places(root).items() if (place.task_id, place.job_name) in queued}
