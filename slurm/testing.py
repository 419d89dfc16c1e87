"""A test job: does a profile start Python on a node that has what runs need? For `floorbench doctor --cluster`.

It takes the way of every submission: the same job script, interpreter, snapshot of the code and file system.
"""

import contextlib
import getpass
import hashlib
import io
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from submitit.core.utils import FailedJobError, FailedSubmissionError

from harness.data.files import METADATA, minari_folder
from harness.errors import UserError, one_line
from harness.files import absolute, naming, read_json, write_json
from harness.folders.limits import usable_cores
from harness.launching.preflight import check_root
from harness.launching.progress import duration
from harness.plain_values import canonical_json
from harness.watching import doctor
from harness.watching.doctor import Finding
from harness.watching.overview import last_line_of_job
from slurm import script, snapshot, submissions
from slurm.profile import Profile, profile_to_dict
from slurm.queue import QueuedTask, ask, queue, reason_in
from slurm.submission import check_profile, only_options_of
from slurm.submissions import FOLDER
from slurm.watching import ALLOCATED

# In ROOT/submissions/: a folder per test job, and a record per profile that passed.
TESTS = "tests"

# Files of a test job: what the submitting machine has, and what the node found.
QUESTION, ANSWER = "question.json", "answer.json"

# The longest time limit of a test job in minutes; it may have to build the kernels.
TIME_LIMIT = 10

# Seconds to wait for the start of a test job, and for its answer after its end: NFS caches attributes for a minute.
TIMEOUT, ANSWER_TIMEOUT = 600.0, 90.0

# Seconds between two looks at the queue.
INTERVAL = 2.0

# Fields of a profile that do not decide whether a job starts.
WITHOUT_EFFECT = (
    "time_minutes", "array_limit", "requeue", "signal_seconds", "runs_per_pack", "workers", "packs_per_task", "root",
    "max_failures",
)  # fmt: skip

# Names of datasets have at most so many parts, such as floorbench/pointmaze-umaze-0123abcd-v0.
NAME_PARTS = 4


# Where it is submitted ----------------------------------------------------------------------------------------------


def run_test_job(profile: Profile, root: Path, say: Callable[[str], object] = lambda text: None) -> list[Finding]:
    """Submit a test job, wait for its end, and return its findings; a profile that passes is remembered in the root.

    UserError if SLURM refuses the job or does not answer. An exception, such as an interrupt, cancels the job.
    """
    script.check_root(root)
    check_profile(profile)
    check_root(root)
    folder = _new_folder(absolute(root))
    token = secrets.token_hex(8)
    question = {
        "token": token,
        "host": socket.gethostname(),
        "sets": local_sets(),
        "gpus": profile.gpus,
        "workers": profile.workers,
        "requeue": profile.requeue,
    }
    write_json(folder / QUESTION, question)
    name = f"floorbench-test-{token[:8]}"
    job = _submit(profile, root, folder, name)
    say(f"test job {job} is submitted; its log: {_log(folder, job)}")
    findings = _findings(job, name, folder, token)
    if all(finding.verdict != "problem" for finding in findings):
        write_json(_record(root, profile), {"job": job, "time": time.time(), "profile": profile_to_dict(profile)})
    return findings


def is_tried(root: Path, profile: Profile) -> bool:
    """Whether a test job of a profile has passed in this root, or one with equal resources was submitted there."""
    if _record(root, profile).exists():
        return True
    return any(
        _essential(item.profile) == _essential(profile_to_dict(profile)) for item in submissions.submissions(root)
    )


def local_sets() -> list[str]:
    """The names of the complete datasets in the local Minari folder."""
    folder = minari_folder()
    files = (file for parts in range(1, NAME_PARTS + 1) for file in folder.glob("*/" * parts + f"data/{METADATA}"))
    return sorted(str(file.parents[1].relative_to(folder)) for file in files)


def _new_folder(root: Path) -> Path:
    folder = root / FOLDER / TESTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    with naming(folder):
        folder.mkdir(parents=True)
    return folder


def _essential(profile: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in profile.items() if name not in WITHOUT_EFFECT}


def _record(root: Path, profile: Profile) -> Path:
    text = canonical_json(_essential(profile_to_dict(profile)))
    return Path(root) / FOLDER / TESTS / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _submit(profile: Profile, root: Path, folder: Path, name: str) -> str:
    """Submit the job; returns its id."""
    minutes = min(profile.time_minutes, TIME_LIMIT)
    short = replace(
        profile, time_minutes=minutes, signal_seconds=min(profile.signal_seconds, 30 * minutes), requeue=False
    )
    values = script.parameters(short, name, 1, (), absolute(root), snapshot.take(root))
    executor = script.executor(short, folder, values)
    try:
        with only_options_of(profile), contextlib.redirect_stderr(io.StringIO()):
            return str(executor.submit(answer, str(folder)).job_id)
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"sbatch: {reason_in(str(error)) or 'failed without a message'}") from None


def _log(folder: Path, job: str) -> Path:
    return folder / f"{job}_0_log.out"


def _findings(job: str, name: str, folder: Path, token: str) -> list[Finding]:
    """Wait for the job; its findings, or why there are none."""
    began, ended = time.monotonic(), False
    try:
        while task := _in_queue(job, name):
            if task.state not in ALLOCATED and time.monotonic() - began > TIMEOUT:
                text = f"{job} has been pending for {duration(TIMEOUT)} ({task.reason}); cancelled, try again later"
                return [Finding("job", "problem", text)]
            time.sleep(INTERVAL)
        ended = True
    finally:
        if not ended:
            with contextlib.suppress(UserError):
                ask("scancel", job)
    outcome = how_ended(job)
    timeout = ANSWER_TIMEOUT if outcome is None or outcome.startswith("COMPLETED") else INTERVAL
    deadline = time.monotonic() + timeout
    while (answer := _answer(folder, token)) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    log = _log(folder, job)
    if answer is None:
        last = last_line_of_job(log) or "is empty" if log.exists() else "no log, so that its node may not see the root"
        state = "left the queue" if outcome is None else f"ended as {outcome}"
        return [Finding("job", "problem", f"{job} {state} without an answer; log {log}: {last}")]
    began_on = f"{job} ran on {answer['host']}, {duration(answer['seconds'])} from Python's start to its answer"
    visible = Finding("root", "ok", f"{folder.parents[2]} is writable on the node, and what it writes is visible here")
    return [Finding("job", "ok", began_on), visible, *(Finding(**finding) for finding in answer["findings"])]


def _in_queue(job: str, name: str) -> QueuedTask | None:
    tasks = (task for task in queue([getpass.getuser()]) if (task.job_id, task.job_name) == (job, name))
    return next(tasks, None)


def how_ended(job: str) -> str | None:
    """State and exit code of a job that ended just now, as the controller remembers it; None if unknown."""
    try:
        text = ask("scontrol", "show", "job", "--oneliner", job)
    except UserError:
        return None
    values = dict(word.split("=", 1) for word in text.split() if "=" in word)
    state, code = values.get("JobState"), values.get("ExitCode", "0:0")
    return state if code == "0:0" else f"{state}, exit code {code}"


def _answer(folder: Path, token: str) -> dict[str, Any] | None:
    try:
        answer = read_json(folder / ANSWER)
    except (UserError, OSError):
        return None
    return answer if answer and answer.get("token") == token else None


# On the node -------------------------------------------------------------------------------------------------------


def answer(place: str) -> None:
    """Check the node and write the findings beside the question."""
    began, folder = time.monotonic(), Path(place)
    question = read_json(folder / QUESTION)
    if question is None:
        raise UserError(f"{folder / QUESTION}: not found on {socket.gethostname()}; the node does not see the root")
    checks: list[doctor.Check] = [
        ("python", doctor.python),
        ("packages", doctor.packages),
        ("processor", lambda: cores(question["workers"])),
        ("memory", doctor.memory),
        ("files", lambda: files(folder)),
        ("datasets", lambda: datasets(question["sets"], question["host"])),
        ("kernels", kernels),
        ("gpu", lambda: gpus(question["gpus"])),
        ("pointmaze", doctor.pointmaze),
        ("provenance", doctor.code),
        ("requeue", lambda: requeueing(question["requeue"])),
    ]
    findings = [asdict(doctor.guarded(name, check)) for name, check in checks]
    values = {"token": question["token"], "host": socket.gethostname(), "findings": findings}
    write_json(folder / ANSWER, {**values, "seconds": time.monotonic() - began})


def cores(workers: int) -> Finding:
    """Whether the job has a core for every worker of the profile."""
    finding = doctor.cores()
    if usable_cores() < workers:
        return replace(finding, verdict="note", text=f"{finding.text}; fewer than the profile's workers = {workers}")
    return finding


def files(folder: Path) -> Finding:
    """Whether the root's file system has hard links, on which the ownership of a run rests."""
    first, second = folder / ".first", folder / ".second"
    try:
        first.write_bytes(b"")
        second.hardlink_to(first)
    except OSError as error:
        return Finding("files", "problem", f"{folder}: a hard link cannot be created ({one_line(error)}); choose "
                                           "another file system for the root")  # fmt: skip
    finally:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)
    return Finding("files", "ok", "the root has hard links")


def datasets(expected: list[str], host: str) -> Finding:
    """Whether the node sees the datasets of the submitting machine."""
    missing = sorted(set(expected) - set(local_sets()))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return Finding("datasets", "problem", f"{minari_folder()}: {missing[0]}{more} not found on the node; set "
                                              "MINARI_DATASETS_PATH to a folder that all nodes share")  # fmt: skip
    if not expected:
        return Finding("datasets", "note", f"{minari_folder()} has none on {host}, so that it is not known whether "
                                           "nodes see the same folder")  # fmt: skip
    return Finding("datasets", "ok", f"{minari_folder()} has all {len(expected)} of {host}")


def kernels() -> Finding:
    """Build and load the C++ kernels, unless they are there."""
    from algorithms.kernels.build import KernelUnavailableError, library, load_library

    try:
        load_library()
    except KernelUnavailableError as error:
        return Finding("kernels", "note", f"{error}; use --set algorithm.kernel=torch, which is slower")
    return Finding("kernels", "ok", f"built and loaded, {library()}")


def gpus(requested: float) -> Finding:
    """Whether torch sees the GPUs that the profile requests."""
    import torch

    from algorithms.kernels import gpu

    if not requested:
        return Finding("gpu", "ok", "none requested")
    if reason := gpu.obstacle():
        return Finding("gpu", "problem", f"{requested:g} requested, but torch can use none: {reason}")
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    if torch.cuda.device_count() < requested:
        return Finding(
            "gpu", "problem", f"{requested:g} requested, but torch sees {torch.cuda.device_count()}: {names}"
        )
    return Finding("gpu", "ok", names)


def requeueing(wanted: bool) -> Finding:
    """Whether an array task can requeue itself at its time limit."""
    missing = [name for name in ("squeue", "scontrol") if shutil.which(name) is None]
    if wanted and missing:
        return Finding("requeue", "note", f"{', '.join(missing)} not found on the node: array tasks that reach their "
                                          "time limit have to be submitted again")  # fmt: skip
    return Finding("requeue", "ok", "array tasks can requeue themselves" if wanted else "not wanted")
