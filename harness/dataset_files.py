"""Where a task's dataset lies, whether it is whole, and the hash of its content, known without reading all of it."""

import contextlib
import functools
import hashlib
from dataclasses import asdict
from pathlib import Path

from minari.storage import get_dataset_path

from harness.errors import UserError
from harness.files import DamagedFileError, read_json, write_json
from harness.settings import Task, canonical_json

# Raised when the controller changes what it collects, so that old data are never taken for new.
DATA_VERSION = 0

# The files of a whole dataset; Minari moves them into place last.
FILES = ("data/metadata.json", "data/main_data.hdf5")

# Beside them: the hash of the content, and of which files.
HASH_FILE = "content_hash.json"

# Size in bytes and time of the last change in nanoseconds, by name.
Stamps = dict[str, list[int]]


def minari_folder() -> Path:
    """The local Minari folder (MINARI_DATASETS_PATH, or .minari/datasets at home), made where missing."""
    try:
        return get_dataset_path()
    except OSError as error:
        raise UserError(
            f"Minari folder {error.filename}: cannot be made ({error.strerror}); "
            "let MINARI_DATASETS_PATH name a folder that can be written"
        ) from None


def dataset_id(task: Task) -> str:
    """The Minari id of a task's data: its name and the hash of what decides their content."""
    decisive = {"environment": task.environment, "horizon": task.horizon, "data": asdict(task.data)}
    digest = hashlib.sha256(canonical_json(decisive).encode()).hexdigest()[:8]
    return f"floorbench/{task.name}-{digest}-v{DATA_VERSION}"


def dataset_folder(task: Task) -> Path:
    """The folder of the task's dataset, whether it is there or not."""
    return minari_folder() / dataset_id(task)


def dataset_exists(task: Task) -> bool:
    """Whether the whole dataset lies in the local Minari folder."""
    return all((dataset_folder(task) / file).is_file() for file in FILES)


def dataset_hash(task: Task) -> str | None:
    """The content hash of the task's dataset, or None where there is no whole dataset.

    Read again only if a file has changed since it was last read. Raises UserError for data that are damaged or unfit.
    """
    if not dataset_exists(task):
        return None
    stamps = dataset_stamps(task)
    kept = _kept_hash(task)
    if kept is not None and kept[0] == stamps:
        return kept[1]
    return _read_hash(task, canonical_json(stamps))


def dataset_stamps(task: Task) -> Stamps:
    """What changes whenever a file of the dataset is written."""
    states = {file: (dataset_folder(task) / file).stat() for file in FILES}
    return {file: [state.st_size, state.st_mtime_ns] for file, state in states.items()}


def keep_hash(task: Task, stamps: Stamps, content_hash: str) -> None:
    """Write down the hash of files that had `stamps` before they were read, unless they changed meanwhile."""
    if dataset_stamps(task) != stamps or _kept_hash(task) == (stamps, content_hash):
        return
    # Data in a folder that cannot be written are read again the next time.
    with contextlib.suppress(OSError):
        write_json(dataset_folder(task) / HASH_FILE, {"files": stamps, "content_hash": content_hash})


def _kept_hash(task: Task) -> tuple[Stamps, str] | None:
    try:
        kept = read_json(dataset_folder(task) / HASH_FILE) or {}
    except DamagedFileError:
        return None
    content_hash = kept.get("content_hash")
    return (kept.get("files", {}), content_hash) if isinstance(content_hash, str) else None


@functools.cache
def _read_hash(task: Task, stamps: str) -> str:
    """The hash of data with these stamps, read at most once by this process."""
    from harness.dataset import load_dataset

    return load_dataset(task).content_hash
