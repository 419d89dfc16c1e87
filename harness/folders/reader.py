"""Read and validate run folders, completely or as summaries that are quick enough for ten thousand runs.

A summary rests on the settings, the status, the attempts, the summary of a finished run and the bytes of its metrics;
each file is read only if it has changed since the cache was written. The complete contents add every row of metrics and
check the checkpoints: commands that continue runs check them first (`refuse_faults`). Reading never repairs, overwrites
or removes anything.
"""

import functools
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json, to_json

from harness.data.files import dataset_exists, dataset_id
from harness.errors import UserError, one_line
from harness.files import DamagedFileError, check_file, check_folder, read_json, read_many
from harness.folders import run_folder
from harness.folders.attempts import Attempt, file_number
from harness.folders.cache import Cache
from harness.folders.run_folder import CANCEL, RunFolder, Snapshot, is_id, last_line, measured, settled_status
from harness.folders.state import RunState
from harness.plain_values import canonical_json, first_problem
from harness.settings import (
    ID_LENGTH,
    SCHEMA_VERSION,
    Run,
    Task,
    run_from_dict,
    total_updates,
)

# Long details of an attempt, which summaries leave out.
OMITTED_DETAILS = ("packages", "machine", "commit", "difference", "version", "build", "snapshot")

# Errors that damaged files raise.
DAMAGE_ERRORS = (UserError, OSError, ValidationError, ValueError, KeyError, TypeError, AttributeError)

CONFIG = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class ChangedDataError(UserError):
    """This machine's dataset is not the one on which a run was trained."""


class Status(BaseModel):
    """The fields of `status.json` that readers rely on."""

    model_config = CONFIG
    state: Literal[tuple(state.value for state in RunState.of_folder())]  # type: ignore[valid-type]
    phase: str | None = None
    step: int | None = None
    progress: float | None = None
    updates_per_second: float | None = None
    heartbeat: float | None = None
    host: str | None = None
    process: int | None = None
    reason: str | None = None


class Provenance(BaseModel):
    """The fields of `provenance.json` that readers rely on."""

    model_config = CONFIG
    commit: str | None = None
    difference: str | None = None
    lock: str | None = None
    packages: dict[str, str | None] = {}
    machine: dict[str, Any] = {}
    threads: int | None = None
    dataset: str | None = None
    attempts: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Names:
    """Task, arm and seeds of a run, and its total number of gradient steps."""

    task: str
    arm: str
    seed: int
    data_seed: int
    updates: int

    @classmethod
    def of(cls, run: Run) -> "Names":
        return cls(run.task.name, run.arm, run.seed, run.task.data_seed, total_updates(run))


@dataclass(frozen=True)
class RunSummary:
    """A run as the status shows it; `names` is None if its settings cannot be read."""

    root: Path
    id: str
    names: Names | None
    # As `RunFolder.status` returns it, with the further states `NEW` and `DAMAGED`.
    status: dict[str, Any]
    # Oldest first.
    attempts: tuple[Attempt, ...] = ()
    # The last line of the log of a failed or lost run.
    log_tail: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.root / self.id)

    @property
    def state(self) -> RunState:
        return self.status["state"]


@dataclass(frozen=True)
class RunContents:
    """Everything in a run folder; damaged parts are missing here and named by `faults`."""

    run: Run | None
    status: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any] | None
    provenance: dict[str, Any]
    # One line per fault: the file, what is wrong and what to do.
    faults: tuple[str, ...]


class RunReader:
    """Reads the run folders of one root.

    Args:
        root: the folder of run folders.
        cache: keeps what files contained; by default in memory only.
        check_data: whether a run whose dataset has changed since is damaged.
    """

    def __init__(self, root: Path, cache: Cache | None = None, check_data: bool = True):
        self.root = Path(root)
        self.cache = cache or Cache(self.root)
        # Dataset hashes and tasks are computed once per task, dataset hashes by one thread.
        self._hashing = threading.Lock()
        self._dataset_hash = functools.cache(present_hash) if check_data else lambda task: None
        self._tasks: dict[str, Task] = {}

    # Complete ---------------------------------------------------------------------------------------------------------

    def contents(self, folder: RunFolder) -> RunContents:
        """Read everything in a run folder and find its faults.

        An empty folder, left by a process that was killed while creating it, has none. Neither has an unfinished run
        whose last row of metrics is incomplete, or whose newest checkpoint is damaged while an older one is intact.
        """
        if folder.path.is_dir() and not folder.exists:
            return RunContents(None, {"state": RunState.PLANNED}, [], None, {}, ())
        folder = Snapshot(folder)
        faults: list[str] = []

        def attempt(read: Callable[[], Any], default: Any = None) -> Any:
            try:
                return read()
            except (UserError, OSError) as error:
                faults.append(one_line(error))
                return default

        run = attempt(folder.run)
        status = attempt(lambda: _valid(Status, folder.status(), folder.path / "status.json"), {})
        rows = attempt(folder.metrics, [])
        provenance = attempt(lambda: _valid(Provenance, folder.provenance(), folder.path / "provenance.json"), {})
        attempt(folder.prefix_record)
        attempt(lambda: _check_checkpoints(folder))
        attempt(lambda: check_file(folder.log) if folder.log.exists() else None)
        if run is not None and "dataset" in provenance:
            attempt(lambda: self._check_data(folder, run.task, provenance["dataset"]))
        summary = attempt(folder.summary)
        return RunContents(run, status, rows, summary, provenance, tuple(dict.fromkeys(faults)))

    def _check_data(self, folder: RunFolder, task: Task, used: str | None) -> None:
        """Raise a UserError if this machine's dataset is not the one of hash `used` on which the run was trained."""
        with self._hashing:
            content_hash = self._dataset_hash(task)
        if content_hash is not None and used not in (None, content_hash):
            raise ChangedDataError(
                f"{folder.path / 'provenance.json'}: the run was computed on data with content hash {used}, but "
                f"dataset {dataset_id(task)} now has {content_hash}; restore the data or run it in another root"
            )

    # Summaries --------------------------------------------------------------------------------------------------------

    def summaries(self, runs: Sequence[Run] | None = None) -> list[RunSummary]:
        """The summaries of all run folders, by id, or of some runs, in their order; `UserError` without a root."""
        if runs is not None:
            return read_many(lambda run: self.summary(run.id, Names.of(run)), runs)
        return [summary for summary in read_many(self.summary, list(self._ids())) if summary.state is not RunState.NEW]

    def summary(self, id: str, names: Names | None = None) -> RunSummary:
        """The summary of one run; `names` are used if its folder does not exist."""
        try:
            present = set(self.cache.names(id))
            if all(name.startswith(".") for name in present):
                # No folder, or one with nothing but temporary files.
                return RunSummary(self.root, id, names, {"state": RunState.NEW})

            def read(name: str, parse: Callable[[bytes], Any]) -> Any:
                content = self.cache.read(f"{id}/{name}", parse) if name in present else None
                return content.value if content else None

            settings = read("config.json", _settings)
            if settings is None or settings["id"] != id:
                raise DamagedFileError(f"{self.root / id}: settings are missing or belong to another run")
            names = Names(**settings["names"])
            done = "done.json" in present
            mark = read("done.json", _metrics_mark) if done else None
            if mark is not None and mark != (read("metrics.jsonl", measured) or measured(b"")):
                raise DamagedFileError(f"{self.root / id}: metrics.jsonl does not match done.json")
            if (used := read("provenance.json", _dataset)) is not None:
                self._check_data(RunFolder(self.root / id), self._task(id, settings["task"]), used)
            attempts = self._attempts(id) if "attempts" in present else ()
            status = settled_status(
                read("status.json", _object),
                done,
                read(CANCEL, _object),
                lambda: bool(attempts) and attempts[-1].is_alive(time.time()),
            )
            Status.model_validate(status)
            log_tail = read("log.txt", last_line) if status["state"] in (RunState.FAILED, RunState.LOST) else None
            return RunSummary(self.root, id, names, status, attempts, log_tail or None)
        except ChangedDataError as error:
            # Usually true of all runs of a task, which then need not be read completely.
            return RunSummary(self.root, id, names, {"state": RunState.DAMAGED}, faults=(one_line(error),))
        except DAMAGE_ERRORS as error:
            faults = self.contents(RunFolder(self.root / id)).faults or (one_line(error),)
            return RunSummary(self.root, id, names, {"state": RunState.DAMAGED}, faults=faults)

    def _ids(self) -> Iterator[str]:
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such folder of runs")
        for name in sorted(os.listdir(self.root)):
            if is_id(name) or (self.root / name / "config.json").exists():
                yield name

    def _task(self, id: str, task_hash: str) -> Task:
        if task_hash not in self._tasks:
            self._tasks[task_hash] = run_from_dict(read_json(self.root / id / "config.json") or {}).task
        return self._tasks[task_hash]

    def _attempts(self, id: str) -> tuple[Attempt, ...]:
        attempts = []
        for number, name in sorted((file_number(name) or 0, name) for name in self.cache.names(f"{id}/attempts")):
            content = self.cache.read(f"{id}/attempts/{name}", _details) if number else None
            if content is not None:
                attempts.append(Attempt(self.root / id / "attempts", number, content.value, content.modified))
        return tuple(attempts)


def summaries(root: Path, runs: Sequence[Run] | None = None) -> list[RunSummary]:
    """The summaries of a root's runs (see `RunReader.summaries`), by means of the user's cache."""
    check_folder(root)
    reader = RunReader(root, Cache.of(root, "status", [sys.modules[__name__], run_folder]))
    result = reader.summaries(runs)
    reader.cache.save(forget_unused=runs is None)
    return result


def faults(folder: RunFolder) -> list[str]:
    """The faults of a run folder, one line each."""
    return list(RunReader(folder.path.parent).contents(folder).faults)


def refuse_faults(folders: Iterable[RunFolder]) -> None:
    """Raise a UserError if any of the folders has a fault."""
    reader = functools.cache(RunReader)
    problems = []
    for folder in folders:
        if folder.path.exists():
            problems += [(folder, fault) for fault in reader(folder.path.parent).contents(folder).faults]
    refuse(problems)


def refuse(problems: Sequence[tuple[RunFolder, str]]) -> None:
    """Raise a UserError with the first of some faults and the number of others, if there are any."""
    if problems:
        folder, first = problems[0]
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{first}{rest}; nothing was changed; list all faults with: "
                        f"floorbench doctor --root {folder.path.parent}")  # fmt: skip


def present_hash(task: Task) -> str | None:
    """The content hash of a task's dataset on this machine, or None if there is none."""
    try:
        if not dataset_exists(task):
            return None
    except UserError:
        return None
    from harness.data.dataset import dataset_hash

    return dataset_hash(task)


def _check_checkpoints(folder: RunFolder) -> None:
    """Raise the first damage if an unfinished run without an owner has checkpoints, but no intact one."""
    if not folder.checkpoints.is_dir() or folder.summary() is not None or folder.is_owned():
        return
    from harness.folders.checkpoint import Checkpoints

    positions = Checkpoints(folder.checkpoints).positions()
    damage = []
    for position in positions:
        try:
            folder.load_checkpoint(position)
            return
        except DamagedFileError as error:
            damage.append(error)
    # If the checkpoints have changed meanwhile, a process has started to compute the run.
    if damage and Checkpoints(folder.checkpoints).positions() == positions:
        raise damage[0]


def _valid(model: type[BaseModel], values: dict[str, Any], file: Path) -> dict[str, Any]:
    """The values, after validation."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        raise DamagedFileError(f"{file}: is damaged: {first_problem(error, noun='value')}") from None
    return values


# What summaries keep of each file -----------------------------------------------------------------------------------


def _settings(data: bytes) -> dict[str, Any]:
    """Id, names and a hash of the task. Settings whose hash is the folder's id need no validation."""
    values = from_json(data)
    if values["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another schema version")
    schedule = values["schedule"]
    warmup = values.get("online", {}).get("warmup_horizons", 0) * values["task"]["horizon"]
    online_updates = max(0, schedule["online_steps"] - warmup) * schedule["updates_per_step"]
    updates = schedule["offline_steps"] + online_updates
    names = {
        "task": values["task"]["name"],
        "arm": values["arm"],
        "seed": values["seed"],
        "data_seed": values["task"]["data"].get("seed", 0),
        "updates": updates,
    }
    id = hashlib.sha256(canonical_json(values).encode()).hexdigest()[:ID_LENGTH]
    return {"id": id, "names": names, "task": hashlib.sha256(to_json(values["task"])).hexdigest()}


def _object(data: bytes) -> dict[str, Any]:
    return {**from_json(data)}


def _metrics_mark(data: bytes) -> dict[str, Any] | None:
    """The entry of `done.json` on the file of metrics; older versions wrote none."""
    return from_json(data).get("metrics")


def _dataset(data: bytes) -> str | None:
    return from_json(data).get("dataset")


def _details(data: bytes) -> dict[str, Any]:
    return {name: value for name, value in from_json(data).items() if name not in OMITTED_DETAILS}
