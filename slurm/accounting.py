"""Costs of a submission by SLURM's accounting, cached beside its record.

`ROOT/submissions/<name>/accounting.json` holds all starts of its array tasks and the resulting cost of each run.
`harness.folders.usage` uses these numbers for the attempts that they cover, and the attempts' own records otherwise.
"""

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algorithms.kernels.gpu_models import compute_share
from harness.errors import UserError
from harness.files import read_json, write_json
from harness.folders import attempts
from harness.folders.usage import ACCOUNTING, HOUR, Usage, cost
from slurm.queue import TIMEOUT, ask
from slurm.submissions import Submission, folder_of, submissions

# Format of sacct. The name comes last, as it may contain the separator.
FORMAT = "JobID,State,ElapsedRaw,AllocTRES,MaxRSS,Start,NodeList,ExitCode,JobName"

# Seconds between two requests about a submission that may have changed.
INTERVAL = 60.0

# SLURM's states of a start that has not ended.
UNFINISHED = ("RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "RESIZING")

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Start:
    """One start of a job or array task; a requeued one has several.

    Attributes:
        task: its id as in `squeue`: "7" or "7_3".
        state: SLURM's state, e.g. COMPLETED, REQUEUED, NODE_FAIL.
        seconds: reserved time; likewise `cores` and `gpus`, of which a MIG slice is a part.
        peak_memory: the largest memory of a step in bytes, if SLURM measures it.
        started: when, in SLURM's format.
        node: where.
        job_name: the name of its job.
        exit_code: its exit code and the signal that ended it, as "1:0".
    """

    task: str
    state: str
    seconds: int
    cores: int
    gpus: float
    peak_memory: int | None
    started: str
    node: str
    job_name: str
    exit_code: str = "0:0"

    @property
    def outcome(self) -> str:
        """State and exit code in words."""
        return self.state if self.exit_code in ("", "0:0") else f"{self.state}, exit code {self.exit_code}"


def parse_accounting(text: str) -> list[Start]:
    """Parse sacct's output in `FORMAT`; tasks that never started are left out."""
    starts: list[Start] = []
    for line in text.splitlines():
        job, state, seconds, tres, memory, started, node, code, name = line.split("|", 8)
        if "." in job:
            # A step, listed after its task. Memory is measured for steps only.
            if starts and starts[-1].task == job.split(".")[0]:
                starts[-1] = _with_memory(starts[-1], _bytes(memory))
        elif started not in ("Unknown", "None", ""):
            resources = dict(re.findall(r"([^,=]+)=(\d+)", tres))
            starts.append(
                Start(
                    task=job,
                    state=state.split(" ")[0],
                    seconds=int(seconds or 0),
                    cores=int(resources.get("cpu", 0)),
                    gpus=_gpus(resources),
                    peak_memory=None,
                    started=started,
                    node=node,
                    job_name=name,
                    exit_code=code,
                )
            )
    return starts


def _gpus(resources: dict[str, str]) -> float:
    """The GPUs among TRES: "gres/gpu" counts all, "gres/gpu:1g.10gb" those of a kind; a MIG slice is a part of one."""
    kinds = {name.partition(":")[2]: int(count) for name, count in resources.items() if name.startswith("gres/gpu:")}
    missing = sum(count * (1.0 - compute_share(kind)) for kind, count in kinds.items())
    return int(resources.get("gres/gpu", sum(kinds.values()))) - missing


def _with_memory(start: Start, memory: int | None) -> Start:
    peak = max(filter(None, [start.peak_memory, memory]), default=None)
    return Start(**{**asdict(start), "peak_memory": peak})


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return round(float(match[1]) * UNITS[match[2]]) if match else None


def ask_accounting(job_ids: Sequence[str], timeout: float = TIMEOUT) -> list[Start]:
    """All starts of some jobs; UserError if accounting is off or does not answer in time."""
    command = (
        "sacct",
        "--duplicates",
        "--noheader",
        "--parsable2",
        f"--jobs={','.join(job_ids)}",
        f"--format={FORMAT}",
    )
    return parse_accounting(ask(*command, timeout=timeout))


def update_accounting(
    root: Path, queued: Collection[str], timeout: float = TIMEOUT, interval: float | None = None
) -> None:
    """Update the cached accounting of the submissions of a root that may have changed.

    `queued`: ids of the queued array tasks; `interval`: seconds between two requests, by default `INTERVAL`. A
    submission without queued tasks and unfinished starts is complete and not requested again. UserError if accounting
    does not answer.
    """
    due, interval = {}, INTERVAL if interval is None else interval
    for submission in submissions(root):
        cached = read_json(folder_of(root, submission.name) / ACCOUNTING) or {}
        if not cached.get("complete") and time.time() - cached.get("asked", 0.0) > interval:
            due[submission.name] = submission
    ids = [array.job_id for submission in due.values() for array in submission.arrays if array.job_id]
    if not ids:
        return
    starts = ask_accounting(ids, timeout)
    for submission in due.values():
        relevant = starts_of(submission, starts)
        complete = bool(relevant) and not any(start.state in UNFINISHED or start.task in queued for start in relevant)
        complete = complete and not any(task in queued for task, _ in submitted_tasks(submission))
        write_json(folder_of(root, submission.name) / ACCOUNTING, account(root, submission, relevant, complete))


def submitted_tasks(submission: Submission) -> Iterable[tuple[str, tuple[str, ...]]]:
    """SLURM's id and the run ids of every submitted array task."""
    for array in submission.arrays:
        for index, task in enumerate(array.tasks):
            if (id := array.task_id(index)) is not None:
                yield id, tuple(run for pack in task for run in pack)


def starts_of(submission: Submission, starts: Iterable[Start]) -> list[Start]:
    """The starts of a submission's tasks; job names tell reused ids apart."""
    names = {array.job_id: array.job_name for array in submission.arrays if array.job_id}
    return [start for start in starts if names.get(start.task.split("_")[0]) == start.job_name]


def account(root: Path, submission: Submission, starts: Sequence[Start], complete: bool) -> dict[str, Any]:
    """The content of the cache: all starts, the state of each array task, and the cost of each run."""
    runs: dict[str, Usage] = {}
    runs_of_task = dict(submitted_tasks(submission))
    by_task: dict[str, list[Start]] = {}
    for start in starts:
        by_task.setdefault(start.task, []).append(start)
    for task, task_starts in by_task.items():
        weights = {run: _weight(root, run, task) for run in runs_of_task.get(task, ())}
        for run, usage in shared(task_starts, weights).items():
            runs[run] = runs.get(run, Usage()) + usage
    return {
        "asked": time.time(),
        "complete": complete,
        # How the last start of each ended.
        "tasks": {task: task_starts[-1].outcome for task, task_starts in by_task.items()},
        "runs": {run: asdict(usage) for run, usage in runs.items()},
        "starts": [asdict(start) for start in starts],
    }


def shared(starts: Iterable[Start], weights: Mapping[str, float]) -> dict[str, Usage]:
    """The cost of each run of an array task, in proportion to the weights; equal parts if all weights are 0.

    The peak memory is that of the array task.
    """
    total = sum(weights.values())
    parts = {run: weight / total if total else 1.0 / len(weights) for run, weight in weights.items()}
    usage = {run: Usage() for run in parts}
    for start in starts:
        hours = start.seconds / HOUR
        for run, part in parts.items():
            usage[run] += Usage(
                core_hours=hours * start.cores * part,
                gpu_hours=hours * start.gpus * part,
                peak_memory=start.peak_memory,
            )
    return usage


def _weight(root: Path, run: str, task: str) -> float:
    """Core-hours of a run's attempts in an array task."""
    try:
        history = attempts.history(root / run)
    except UserError:
        return 0.0
    in_task = [attempt for attempt in history if (attempt.get("slurm") or {}).get("job") == task]
    return sum(cost(attempt, time.time()).core_hours for attempt in in_task)
