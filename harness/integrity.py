"""Faults of run folders: what does not hold what a run wrote there, or rests on data that are no longer those.

Looking at a fault changes nothing: no file is repaired, overwritten or removed because of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.dataset_files import dataset_exists, dataset_hash, dataset_id
from harness.errors import UserError, one_line
from harness.files import DamagedFileError
from harness.run_folder import RunFolder
from harness.settings import Task, first_problem

CONFIG = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Status(BaseModel):
    """What others rely on in a run's status."""

    model_config = CONFIG
    state: Literal["planned", "running", "interrupted", "lost", "failed", "done"]
    phase: str | None = None
    step: int | None = None
    share: float | None = None
    updates_per_second: float | None = None
    heartbeat: float | None = None
    host: str | None = None
    process: int | None = None
    reason: str | None = None


class Provenance(BaseModel):
    """What others rely on in a run's provenance."""

    model_config = CONFIG
    commit: str | None = None
    difference: str | None = None
    lock: str | None = None
    packages: dict[str, str | None] = {}
    machine: dict[str, Any] = {}
    threads: int | None = None
    dataset: str | None = None
    attempts: list[dict[str, Any]] = []


def faults(folder: RunFolder) -> list[str]:
    """The faults of a run folder, one line each: which file, what is wrong with it, what would be right.

    A folder that a process began to make and nothing was put into has none, and neither has an unfinished run because
    of a half-written last row of metrics, or of a damaged checkpoint while the one before it is whole.
    """
    if folder.path.is_dir() and not any(folder.path.glob("[!.]*")):
        return []
    found = []
    for look in (_settings, _status, _metrics, _provenance, _checkpoints, _dataset):
        try:
            look(folder)
        except (UserError, OSError) as error:
            found.append(one_line(error))
    return list(dict.fromkeys(found))


def refuse_faults(folders: Iterable[RunFolder]) -> None:
    """Raise a UserError that names the first fault in some folders and how many more there are."""
    found = [(folder, fault) for folder in folders if folder.path.exists() for fault in faults(folder)]
    if found:
        folder, first = found[0]
        rest = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(f"{first}{rest}; nothing was changed: floorbench doctor --root {folder.path.parent} lists "
                        "all faults")  # fmt: skip


def check_dataset(folder: RunFolder, name: str, content_hash: str) -> None:
    """Raise a UserError if the run was begun on data whose content hash is not that of dataset `name` now."""
    begun_on = folder.provenance().get("dataset")
    if begun_on not in (None, content_hash):
        raise UserError(
            f"{folder.path / 'provenance.json'}: the run was computed on data with content hash {begun_on}, but "
            f"that of dataset {name} is {content_hash} now; bring the data back or run it in another root"
        )


def _settings(folder: RunFolder) -> None:
    folder.run()


def _status(folder: RunFolder) -> None:
    _validate(Status, folder.status(), folder.path / "status.json")


def _metrics(folder: RunFolder) -> None:
    folder.metrics()


def _provenance(folder: RunFolder) -> None:
    _validate(Provenance, folder.provenance(), folder.path / "provenance.json")


def _checkpoints(folder: RunFolder) -> None:
    """An unfinished run that nobody computes needs a whole checkpoint to go on from, if it has any."""
    if not folder.checkpoints.is_dir() or folder.summary() is not None or folder.is_owned():
        return
    from harness.checkpoint import Checkpoints
    from harness.resumption import load_whole

    positions = Checkpoints(folder.checkpoints).positions()
    damage = []
    for position in positions:
        try:
            load_whole(folder, position)
            return
        except DamagedFileError as error:
            damage.append(error)
    # If checkpoints came and went meanwhile, somebody has begun to compute the run.
    if damage and Checkpoints(folder.checkpoints).positions() == positions:
        raise damage[0]


def _dataset(folder: RunFolder) -> None:
    """The data of the run's task, where they are there, must be those that it was computed on."""
    task = folder.run().task
    if "dataset" not in folder.provenance() or not _has_data(task):
        return
    content_hash = dataset_hash(task)
    if content_hash is not None:
        check_dataset(folder, dataset_id(task), content_hash)


def _has_data(task: Task) -> bool:
    """Whether the task's dataset lies on this machine; where no data can lie, none does."""
    try:
        return dataset_exists(task)
    except UserError:
        return False


def _validate(kind: type[BaseModel], values: dict[str, Any], file: Path) -> None:
    try:
        kind.model_validate(values)
    except ValidationError as error:
        raise DamagedFileError(f"{file}: is damaged: {first_problem(error, noun='value')}") from None
