"""Faults of run folders: what does not hold what a run wrote there, or rests on data that are no longer those.

Looking at a fault changes nothing: no file is repaired, overwritten or removed because of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.data.files import dataset_exists, dataset_id
from harness.errors import UserError, one_line
from harness.files import DamagedFileError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import Run, Task, first_problem

CONFIG = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Status(BaseModel):
    """What others rely on in a run's status."""

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


@dataclass(frozen=True)
class Contents:
    """What a run folder says, each file read once; what is damaged is missing here and named by the faults."""

    run: Run | None
    status: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any] | None
    provenance: dict[str, Any]
    # One line each: which file, what is wrong with it, what would be right.
    faults: tuple[str, ...]


# The content hash of a task's data on this machine, None where there are none.
HashOf = Callable[[Task], str | None]


def inspect(folder: RunFolder, hash_of: HashOf | None = None) -> Contents:
    """Read a run folder and find its faults. Whoever inspects many hands in a `hash_of` that remembers.

    A folder that a process began to make and nothing was put into has none, and neither has an unfinished run because
    of a half-written last row of metrics, or of a damaged checkpoint while the one before it is whole.
    """
    if folder.path.is_dir() and not any(folder.path.glob("[!.]*")):
        return Contents(None, {"state": RunState.PLANNED}, [], None, {}, ())
    found: list[str] = []

    def look(at: Callable[[], Any], otherwise: Any = None) -> Any:
        try:
            return at()
        except (UserError, OSError) as error:
            found.append(one_line(error))
            return otherwise

    run = look(folder.run)
    status = look(lambda: _valid(Status, folder.status(), folder.path / "status.json"), {})
    rows = look(folder.metrics, [])
    provenance = look(lambda: _valid(Provenance, folder.provenance(), folder.path / "provenance.json"), {})
    look(lambda: _checkpoints(folder))
    if run is not None and "dataset" in provenance:
        look(lambda: _dataset(folder, run.task, hash_of or present_hash))
    summary = look(folder.summary)
    return Contents(run, status, rows, summary, provenance, tuple(dict.fromkeys(found)))


def faults(folder: RunFolder) -> list[str]:
    """The faults of a run folder, as `inspect` finds them."""
    return list(inspect(folder).faults)


def refuse_faults(folders: Iterable[RunFolder]) -> None:
    """Raise a UserError that names the first fault in some folders and how many more there are."""
    hash_of = cache(present_hash)
    refuse([(folder, fault) for folder in folders if folder.path.exists() for fault in inspect(folder, hash_of).faults])


def refuse(found: Sequence[tuple[RunFolder, str]]) -> None:
    """Raise a UserError about faults that were found, if any were."""
    if found:
        folder, first = found[0]
        rest = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(f"{first}{rest}; nothing was changed: floorbench doctor --root {folder.path.parent} lists "
                        "all faults")  # fmt: skip


def present_hash(task: Task) -> str | None:
    """The content hash of a task's data, or None where this machine has none or no place for any."""
    try:
        if not dataset_exists(task):
            return None
    except UserError:
        return None
    from harness.data.dataset import dataset_hash

    return dataset_hash(task)


def check_dataset(folder: RunFolder, name: str, content_hash: str) -> None:
    """Raise a UserError if the run was begun on data whose content hash is not that of dataset `name` now."""
    begun_on = folder.provenance().get("dataset")
    if begun_on not in (None, content_hash):
        raise UserError(
            f"{folder.path / 'provenance.json'}: the run was computed on data with content hash {begun_on}, but "
            f"that of dataset {name} is {content_hash} now; bring the data back or run it in another root"
        )


def _checkpoints(folder: RunFolder) -> None:
    """An unfinished run that nobody computes needs a whole checkpoint to go on from, if it has any."""
    if not folder.checkpoints.is_dir() or folder.summary() is not None or folder.is_owned():
        return
    from harness.folders.checkpoint import Checkpoints
    from harness.training.recording import load_whole

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


def _dataset(folder: RunFolder, task: Task, hash_of: HashOf) -> None:
    """The data of the run's task, where they are there, must be those that it was computed on."""
    content_hash = hash_of(task)
    if content_hash is not None:
        check_dataset(folder, dataset_id(task), content_hash)


def _valid(kind: type[BaseModel], values: dict[str, Any], file: Path) -> dict[str, Any]:
    """The values, if they are what others rely on."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        raise DamagedFileError(f"{file}: is damaged: {first_problem(error, noun='value')}") from None
    return values
