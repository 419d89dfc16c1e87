"""Submit grids to a test cluster, wait for them, and compare their metrics with those of the local pool."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.commands.submit import submit_grid
from ablations.grids import runs_of
from harness.errors import UserError
from harness.folders.provenance import PROJECT
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit, cut_packs
from harness.launching.pool import run_packs
from harness.settings import Run, with_settings
from harness.training.timing import CHECKPOINT_VARIABLE
from slurm import submissions
from slurm.profile import Profile
from slurm.queue import QueuedTask, queue
from slurm.submission import check_profile
from slurm.submissions import Array, Submission
from tests.support.waiting import wait_until

# Seconds to wait for the end of a grid on a busy machine.
TIMEOUT = 300.0

# A line of the job script that saves a checkpoint at every step, which makes runs slow.
SLOW = f"export {CHECKPOINT_VARIABLE}=0"

# Default fields of the profile: all runs in one pack, and so in one array task.
FIELDS = {
    "time_minutes": 30,
    "signal_seconds": 20,
    "partition": "gpu",
    "account": "research",
    "gres": "gpu:1",
    "runs_per_pack": 40,
}


def smoke() -> list[Run]:
    """Four runs."""
    return runs_of("smoke")


def forty() -> list[Run]:
    """Forty short runs: four arms with ten seeds each."""
    short = {"schedule.offline_steps": 60, "schedule.online_steps": 60, "schedule.offline_interval": 30}
    arms = ({}, {"algorithm.alpha": 1.0}, {"floor.inflation": 0.5}, {"algorithm.tau": 0.01})
    return [
        with_settings(smoke()[2], {**short, **arm, "seed": seed, "arm": f"arm{number}"})
        for number, arm in enumerate(arms)
        for seed in range(10)
    ]


@dataclass(frozen=True)
class Grid:
    """The grid of a scenario.

    Attributes:
        name: the function in this module that returns its runs.
        runs: their number is a multiple of 4; all may train together.
        pack: runs per pack in scenarios with many array tasks; divides a quarter of the number of runs.
    """

    name: str
    runs: tuple[Run, ...]
    pack: int


SMOKE = Grid("smoke", tuple(smoke()), 1)
FORTY = Grid("forty", tuple(forty()), 5)


def compute_here(runs: Sequence[Run], root: Path) -> dict[str, bytes]:
    """Train runs in the local pool; returns their metrics."""
    commit(runs, root)
    run_packs(cut_packs(runs, root, limit=8, workers=2), workers=2)
    return metrics(runs, root)


def metrics(runs: Sequence[Run], root: Path) -> dict[str, bytes]:
    """The metrics of finished runs as bytes, by run id."""
    folders = [RunFolder.of(root, run) for run in runs]
    assert [folder.status()["state"] for folder in folders] == ["done"] * len(runs), report(runs, root)
    return {folder.id: folder.metrics_file.read_bytes() for folder in folders}


def report(runs: Sequence[Run], root: Path) -> str:
    """States of runs and logs of array tasks, for debugging."""
    logs = [f"{file}:\n{file.read_text()}" for file in sorted(Path(root).glob("submissions/*/jobs/*.out"))]
    return "\n".join([str([RunFolder.of(root, run).status() for run in runs]), *logs])


def submit(root: Path, runs: Sequence[Run], retry_failed: bool = False, **fields) -> Submission:
    """Submit runs to the cluster selected by the environment; returns the newest submission."""
    submit_grid(runs, root, Profile(**{**FIELDS, **fields}), "smoke", retry_failed, as_json=False)
    return submissions.submissions(root)[-1]


def submit_elsewhere(root: Path, environment: dict[str, str], runs: str = "smoke()", code: str = "", **fields) -> str:
    """Submit in another process after executing `code`; returns its exit code and stderr."""
    program = f"{code}\nfrom tests.support.slurm.grids import *\nsubmit(Path({str(root)!r}), {runs}, **{fields!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, cwd=PROJECT, capture_output=True, text=True
    )
    return f"{done.returncode} {done.stderr}"


def tasks_in_queue(submission: Submission) -> list[QueuedTask]:
    """The queued array tasks of a submission."""
    names = {array.job_name for array in submission.arrays}
    return [task for task in queue() if task.job_name in names]


def wait_for_end(root: Path) -> None:
    """Wait until no array task of a submission in the root is queued."""
    wait_until(lambda: not any(map(tasks_in_queue, submissions.submissions(root))), TIMEOUT)


def wait_for_checkpoint(root: Path, runs: Sequence[Run]) -> None:
    """Wait until every run has a checkpoint; fails if a run is done."""
    folders = [RunFolder.of(root, run) for run in runs]
    wait_until(lambda: all(folder.newest_checkpoint for folder in folders), TIMEOUT)
    assert not any(folder.summary() for folder in folders), "the runs were too quick for the test"


def attempts(root: Path, run: str) -> list[tuple[str, int, str]]:
    """Job, restart number and reason of every attempt at a run."""
    history = RunFolder(root / run).provenance()["attempts"]
    return [(item["slurm"]["job"], item["slurm"]["restart"], item.get("reason", "").split(":")[0]) for item in history]


def shared_attempts(root: Path, runs: Sequence[Run]) -> list[tuple[str, int, str]]:
    """The attempts of the first run; fails if another run has different ones."""
    first, *others = [attempts(root, run.id) for run in runs]
    assert others == [first] * len(others)
    return first


def assert_each_task_was_done_once(root: Path, array: Array, tasks: Sequence[int] | None = None) -> None:
    """Every run of some (None: all) tasks of an array has one attempt, in its array task, that finished."""
    for task in range(len(array.tasks)) if tasks is None else tasks:
        for run in (run for pack in array.tasks[task] for run in pack):
            assert attempts(root, run) == [(array.task_id(task), 0, "done")]


def wait_for_nodes() -> None:
    """Wait until the controller accepts jobs; for some seconds after its start it does not know its nodes."""

    def accepts_jobs() -> bool:
        with contextlib.suppress(UserError):
            check_profile(Profile(**FIELDS))
            return True
        return False

    wait_until(accepts_jobs, 120.0)
