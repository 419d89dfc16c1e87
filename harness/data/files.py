"""Where a task's dataset lies, whether it is whole, and the hash of its content, known without reading all of it."""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.errors import UserError
from harness.files import DamagedFileError, read_json, write_json
from harness.settings import HostedData, Task, canonical_json

# Raised when the controller changes what it collects, so that old data are never taken for new.
DATA_VERSION = 0

# The files of a whole set; Minari moves them into place last.
FILES = ("data/metadata.json", "data/main_data.hdf5")

# Beside them: the hash of the content, and of which files.
HASH_FILE = "content_hash.json"

# Size in bytes and time of the last change in nanoseconds, by name.
Stamps = dict[str, list[int]]


def minari_folder() -> Path:
    """The local Minari folder (MINARI_DATASETS_PATH, or .minari/datasets at home), made where missing.

    As `minari.storage.get_dataset_path` finds it, whose import takes a quarter of a second.
    """
    named = os.environ.get("MINARI_DATASETS_PATH")
    folder = Path(named) if named is not None else Path.home() / ".minari" / "datasets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Minari folder {error.filename}: cannot be made ({error.strerror}); "
            "let MINARI_DATASETS_PATH name a folder that can be written"
        ) from None
    return folder


def dataset_ids(task: Task) -> tuple[str, ...]:
    """The Minari ids of a task's data: those of hosted sets, or for collected data the task's name and the hash of what
    decides their content.
    """
    if isinstance(task.data, HostedData):
        return task.data.ids
    decisive = {"environment": task.environment, "horizon": task.horizon, "data": asdict(task.data)}
    digest = hashlib.sha256(canonical_json(decisive).encode()).hexdigest()[:8]
    return (f"floorbench/{task.name}-{digest}-v{DATA_VERSION}",)


def dataset_id(task: Task) -> str:
    """The ids in one text."""
    return " + ".join(dataset_ids(task))


def dataset_folders(task: Task) -> tuple[Path, ...]:
    """The folder of each set, whether it is there or not."""
    return tuple(minari_folder() / name for name in dataset_ids(task))


def dataset_folder(task: Task) -> Path:
    """The folder of the first set, in which lies also what is kept of the whole dataset."""
    return dataset_folders(task)[0]


def missing_ids(task: Task) -> tuple[str, ...]:
    """The sets that do not lie whole in the local Minari folder."""
    folders = zip(dataset_ids(task), dataset_folders(task), strict=True)
    return tuple(name for name, folder in folders if not all((folder / file).is_file() for file in FILES))


def dataset_exists(task: Task) -> bool:
    """Whether the whole dataset lies in the local Minari folder."""
    return not missing_ids(task)


def get_it_again(task: Task) -> str:
    """What gets the task's missing data."""
    verb = "get" if isinstance(task.data, HostedData) else "make"
    return f"{verb} it again with: floorbench data {task.name}"


def joint_hash(hashes: Sequence[str]) -> str:
    """The content hash of a dataset of sets with these hashes; that of a single set is its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def dataset_stamps(task: Task) -> tuple[Stamps, ...]:
    """For each set what changes whenever a file of it is written."""
    return tuple(_stamps(folder) for folder in dataset_folders(task))


def kept_hash(task: Task) -> str | None:
    """The content hash of the dataset, if it was written down and no file has changed since."""
    hashes = [_kept_hash(folder) for folder in dataset_folders(task)]
    known = [content_hash for content_hash in hashes if content_hash is not None]
    return joint_hash(known) if len(known) == len(hashes) else None


def keep_hashes(task: Task, stamps: Sequence[Stamps], hashes: Sequence[str]) -> None:
    """Write down the hash of each set whose files had `stamps` before they were read, unless they changed meanwhile."""
    for folder, before, content_hash in zip(dataset_folders(task), stamps, hashes, strict=True):
        if _stamps(folder) != before or _kept_hash(folder) == content_hash:
            continue
        # Data in a folder that cannot be written are read again the next time.
        with contextlib.suppress(OSError):
            write_json(folder / HASH_FILE, {"files": before, "content_hash": content_hash})


def _stamps(folder: Path) -> Stamps:
    states = {file: (folder / file).stat() for file in FILES}
    return {file: [state.st_size, state.st_mtime_ns] for file, state in states.items()}


def _kept_hash(folder: Path) -> str | None:
    """The hash that was written down for the files of a folder as they are now."""
    try:
        kept: Mapping = read_json(folder / HASH_FILE) or {}
    except DamagedFileError:
        return None
    content_hash = kept.get("content_hash")
    return content_hash if isinstance(content_hash, str) and kept.get("files") == _stamps(folder) else None
