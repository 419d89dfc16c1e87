"""What a root full of run folders says at a glance: quick enough for ten thousand of them.

Read are the settings, the status, the summary, the attempts and the bytes of finished metrics, each file only if it is
another than at the last glance. What takes longer to look at (checkpoints, rows of unfinished metrics) is looked at by
`harness.watching.integrity.faults`, which everything that goes on with a run asks before it does.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from harness.data.files import dataset_id
from harness.errors import UserError, one_line
from harness.files import DamagedFileError, read_json
from harness.folders.attempts import Attempt, file_number
from harness.folders.run_folder import CANCEL, RunFolder, is_id, last_line, measured, settled_status
from harness.folders.state import RunState
from harness.settings import ID_LENGTH, SCHEMA_VERSION, Run, canonical_json, run_from_dict, total_updates
from harness.watching.file_memory import FileMemory
from harness.watching.integrity import Status, check_dataset, faults, present_hash

# Parts of an attempt's details that say where it computed, at length; nobody asks for them at a glance.
AT_LENGTH = ("packages", "machine", "commit", "difference", "snapshot")

# What reading a damaged file raises.
DAMAGE = (UserError, OSError, ValidationError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Names:
    """What a run is called, and its gradient steps in all."""

    task: str
    arm: str
    seed: int
    updates: int

    @classmethod
    def of(cls, run: Run) -> "Names":
        return cls(run.task.name, run.arm, run.seed, total_updates(run.schedule))


@dataclass(frozen=True)
class Glance:
    """A run and what its folder says of it; without names if its settings cannot be read."""

    root: Path
    id: str
    names: Names | None
    # As `RunFolder.status` has it, with the states "new" (no folder) and "damaged".
    status: dict[str, Any]
    # Oldest first.
    attempts: tuple[Attempt, ...] = ()
    # The last line of its log, where the run came to grief.
    log_tail: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.root / self.id)

    @property
    def state(self) -> RunState:
        return self.status["state"]


def glances(root: Path, runs: Sequence[Run] | None = None) -> list[Glance]:
    """A glance at every run folder in `root`, by id; or at those of some runs, in their order.

    Raises UserError if there is no such root and no runs are given.
    """
    root = Path(root)
    look = _Look(root, FileMemory.of(root, Path(__file__)))
    if runs is None:
        seen = [glance for glance in map(look.at, _ids(root)) if glance.state is not RunState.NEW]
    else:
        seen = [look.at(run.id, Names.of(run)) for run in runs]
    look.memory.save()
    return seen


def _ids(root: Path) -> Iterator[str]:
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of runs")
    for name in sorted(os.listdir(root)):
        if is_id(name) or (root / name / "config.json").exists():
            yield name


class _Look:
    """One look at the runs of a root."""

    def __init__(self, root: Path, memory: FileMemory):
        self.root, self.memory = root, memory
        # Name and content hash of the data of each task, by the task's hash; no content hash where there are no data.
        self.data: dict[str, tuple[str, str | None]] = {}

    def at(self, id: str, names: Names | None = None) -> Glance:
        """A glance at one run folder."""
        try:
            present = set(self.memory.names(id))
            if all(name.startswith(".") for name in present):
                # No folder, or one in which nothing was left but temporary files.
                return Glance(self.root, id, names, {"state": RunState.NEW})

            def read(name: str, take: Callable[[bytes], Any]) -> Any:
                content = self.memory.read(f"{id}/{name}", take) if name in present else None
                return content.value if content else None

            settings = read("config.json", _settings)
            if settings is None or settings["id"] != id:
                raise DamagedFileError(f"{self.root / id}: its settings are missing or another run's")
            names = Names(**settings["names"])
            done = "done.json" in present
            if done and read("done.json", _mark) not in (None, read("metrics.jsonl", measured) or measured(b"")):
                raise DamagedFileError(f"{self.root / id}: its metrics are not those of its summary")
            if fault := self._data_fault(id, settings["task"], read("provenance.json", _dataset)):
                return Glance(self.root, id, names, {"state": RunState.DAMAGED}, faults=(fault,))
            attempts = self._attempts(id) if "attempts" in present else ()
            status = settled_status(
                read("status.json", _status),
                done,
                read(CANCEL, _status),
                lambda: bool(attempts) and attempts[-1].is_alive(time.time()),
            )
            Status.model_validate(status)
            words = read("log.txt", last_line) if status["state"] in (RunState.FAILED, RunState.LOST) else None
            return Glance(self.root, id, names, status, attempts, words or None)
        except DAMAGE as error:
            found = faults(RunFolder(self.root / id)) or [one_line(error)]
            return Glance(self.root, id, names, {"state": RunState.DAMAGED}, faults=tuple(found))

    def _data_fault(self, id: str, task: str, computed_on: str | None) -> str | None:
        """What is wrong with the data of a run whose task has this hash, and which was computed on data of that one."""
        if computed_on is None:
            return None
        if task not in self.data:
            settings = run_from_dict(read_json(self.root / id / "config.json") or {}).task
            self.data[task] = (dataset_id(settings), present_hash(settings))
        name, content_hash = self.data[task]
        if content_hash in (None, computed_on):
            return None
        try:
            check_dataset(RunFolder(self.root / id), name, content_hash)
        except UserError as error:
            return one_line(error)
        return None

    def _attempts(self, id: str) -> tuple[Attempt, ...]:
        place = self.root / id / "attempts"
        found = []
        for number, name in sorted((file_number(name) or 0, name) for name in self.memory.names(f"{id}/attempts")):
            content = self.memory.read(f"{id}/attempts/{name}", _details) if number else None
            if content is not None:
                found.append(Attempt(place, number, content.value, content.changed))
        return tuple(found)


def _settings(data: bytes) -> dict[str, Any]:
    """Id, names and a hash of the task. Settings that give the id of the folder need not be validated again."""
    values = from_json(data)
    if values["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another schema version")
    schedule = values["schedule"]
    updates = schedule["offline_steps"] + schedule["online_steps"] * schedule["updates_per_step"]
    names = {"task": values["task"]["name"], "arm": values["arm"], "seed": values["seed"], "updates": updates}
    return {"id": _hash(values), "names": names, "task": _hash(values["task"])}


def _hash(values: Any) -> str:
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:ID_LENGTH]


def _status(data: bytes) -> dict[str, Any]:
    return {**from_json(data)}


def _mark(data: bytes) -> dict[str, Any] | None:
    """What `done.json` says of the metrics; folders of older versions do not say."""
    return from_json(data).get("metrics")


def _dataset(data: bytes) -> str | None:
    return from_json(data).get("dataset")


def _details(data: bytes) -> dict[str, Any]:
    return {name: value for name, value in from_json(data).items() if name not in AT_LENGTH}
