"""What SLURM's accounting says of the tasks of a submission, kept beside it for when accounting is out of reach.

`ROOT/submissions/<name>/accounting.json` holds every start of every task and what each run cost by them; whoever adds
up costs (`harness.folders.usage`) takes these numbers for the attempts that they cover, and the attempts' own for the
others.
"""

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import read_json, write_json
from harness.folders import attempts
from harness.folders.usage import ACCOUNTING, HOUR, Usage, cost
from slurm.command import PATIENCE, ask
from slurm.submissions import Submission, folder_of, submissions

# What sacct is asked for; names come last, for they may hold anything.
FORMAT = "JobID,State,ElapsedRaw,AllocTRES,MaxRSS,Start,NodeList,JobName"

# Seconds after which what may have changed is asked for again.
INTERVAL = 60.0

# SLURM's words for a start that is not at its end.
GOING_ON = ("RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "RESIZING")

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Start:
    """One start of a job or of a task of a job array, of which requeued ones have several."""

    # As `squeue` has it: "7" or "7_3".
    task: str
    # SLURM's word, for example COMPLETED, REQUEUED, NODE_FAIL.
    state: str
    # Seconds, cores and GPUs that were reserved.
    seconds: int
    cores: int
    gpus: int
    # Most memory that one of its steps held, in bytes, where SLURM measures it.
    peak_memory: int | None
    started: str
    node: str
    job_name: str


def parse_accounting(text: str) -> list[Start]:
    """The starts in what sacct prints in this module's format; tasks that never began have none."""
    starts: list[Start] = []
    for line in text.splitlines():
        job, state, seconds, tres, memory, started, node, name = line.split("|", 7)
        if "." in job:
            # A step: it stands below its task, and only steps know their memory.
            if starts and starts[-1].task == job.split(".")[0]:
                starts[-1] = _with_memory(starts[-1], _bytes(memory))
        elif started not in ("Unknown", "None", ""):
            held = dict(re.findall(r"([^,=]+)=(\d+)", tres))
            starts.append(
                Start(
                    task=job,
                    state=state.split(" ")[0],
                    seconds=int(seconds or 0),
                    cores=int(held.get("cpu", 0)),
                    gpus=int(held.get("gres/gpu", 0)),
                    peak_memory=None,
                    started=started,
                    node=node,
                    job_name=name,
                )
            )
    return starts


def _with_memory(start: Start, memory: int | None) -> Start:
    peak = max(filter(None, [start.peak_memory, memory]), default=None)
    return Start(**{**asdict(start), "peak_memory": peak})


def _bytes(text: str) -> int | None:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return round(float(found[1]) * UNITS[found[2]]) if found else None


def ask_accounting(job_ids: Sequence[str], patience: float = PATIENCE) -> list[Start]:
    """Every start of some jobs; UserError where accounting is off or does not answer in time."""
    asked = ("sacct", "--duplicates", "--noheader", "--parsable2", f"--jobs={','.join(job_ids)}", f"--format={FORMAT}")
    return parse_accounting(ask(*asked, patience=patience))


def keep_accounts(root: Path, queued: Collection[str], patience: float = PATIENCE) -> None:
    """Ask about the submissions of a root that have changed since they were asked about, and write down the answers.

    `queued` holds the ids of the tasks that wait or run: a submission of which none is left, and of which all starts
    are at their end, is asked about for the last time. UserError where accounting does not answer.
    """
    due = {}
    for submission in submissions(root):
        kept = read_json(folder_of(root, submission.name) / ACCOUNTING) or {}
        if not kept.get("complete") and time.time() - kept.get("asked", 0.0) > INTERVAL:
            due[submission.name] = submission
    ids = [array.job_id for submission in due.values() for array in submission.arrays if array.job_id]
    if not ids:
        return
    starts = ask_accounting(ids, patience)
    for submission in due.values():
        own = starts_of(submission, starts)
        complete = bool(own) and not any(start.state in GOING_ON or start.task in queued for start in own)
        complete = complete and not any(task in queued for task, _ in tasks_of(submission))
        write_json(folder_of(root, submission.name) / ACCOUNTING, account(root, submission, own, complete))


def tasks_of(submission: Submission) -> Iterable[tuple[str, tuple[str, ...]]]:
    """SLURM's id and the runs of every task that SLURM was given."""
    for array in submission.arrays:
        for index, task in enumerate(array.tasks):
            if (id := array.task_id(index)) is not None:
                yield id, tuple(run for pack in task for run in pack)


def starts_of(submission: Submission, starts: Iterable[Start]) -> list[Start]:
    """The starts of a submission's tasks; an id that SLURM gave out again is told by its job's name."""
    names = {array.job_id: array.job_name for array in submission.arrays if array.job_id}
    return [start for start in starts if names.get(start.task.split("_")[0]) == start.job_name]


def account(root: Path, submission: Submission, starts: Sequence[Start], complete: bool) -> dict[str, Any]:
    """What is written down: the starts, the tasks they are starts of, and what each run of these cost."""
    runs: dict[str, Usage] = {}
    of_task = dict(tasks_of(submission))
    by_task: dict[str, list[Start]] = {}
    for start in starts:
        by_task.setdefault(start.task, []).append(start)
    for task, own in by_task.items():
        weights = {run: _weight(root, run, task) for run in of_task.get(task, ())}
        for run, used in shared(own, weights).items():
            runs[run] = runs.get(run, Usage()) + used
    return {
        "asked": time.time(),
        "complete": complete,
        # How the last start of each ended, or stands.
        "tasks": {task: own[-1].state for task, own in by_task.items()},
        "runs": {run: asdict(used) for run, used in runs.items()},
        "starts": [asdict(start) for start in starts],
    }


def shared(starts: Iterable[Start], weights: Mapping[str, float]) -> dict[str, Usage]:
    """What each of a task's runs cost, in proportion to their weights; to equal parts if nobody weighs anything.

    The peak of memory is the task's; for how long a run was computed its own attempts say.
    """
    whole = sum(weights.values())
    parts = {run: weight / whole if whole else 1.0 / len(weights) for run, weight in weights.items()}
    found = {run: Usage() for run in parts}
    for start in starts:
        hours = start.seconds / HOUR
        for run, part in parts.items():
            found[run] += Usage(
                core_hours=hours * start.cores * part,
                gpu_hours=hours * start.gpus * part,
                peak_memory=start.peak_memory,
            )
    return found


def _weight(root: Path, run: str, task: str) -> float:
    """Core-hours that a run's own attempts in a task account for."""
    try:
        history = attempts.history(root / run)
    except UserError:
        return 0.0
    own = [account for account in history if (account.get("slurm") or {}).get("job") == task]
    return sum(cost(account, time.time()).core_hours for account in own)
