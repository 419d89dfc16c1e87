"""Location, completeness and content hash of a task's dataset, without reading the data."""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import DamagedFileError, read_json, write_json
from harness.plain_values import canonical_json
from harness.settings import ADDED_SETTINGS, DataSettings, HostedData, Task

# Increased when the controllers collect other data, so that old data are never used for new.
DATA_VERSION = 0

# The files of a complete set in HDF5, in its data folder; Minari moves them into place last.
METADATA, HDF5 = FILES = ("metadata.json", "main_data.hdf5")

# Minari's formats with a folder per episode: 0, 1, ...
FOLDER_FORMATS = ("arrow", "parquet")

# Where an imported set was copied from.
ORIGIN_FILE = "imported.json"

# Cache of the content hash, with the stamps of the files it belongs to.
HASH_FILE = "content_hash.json"

# Size in bytes and modification time in nanoseconds, by file name.
Stamps = dict[str, list[int]]


def minari_folder() -> Path:
    """The local Minari folder (MINARI_DATASETS_PATH, default ~/.minari/datasets), created if missing.

    The same folder as `minari.storage.get_dataset_path`, whose import takes a quarter of a second.
    """
    named = os.environ.get("MINARI_DATASETS_PATH")
    folder = Path(named) if named is not None else Path.home() / ".minari" / "datasets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Minari folder {error.filename}: cannot be created ({error.strerror}); "
            "set MINARI_DATASETS_PATH to a writable folder"
        ) from None
    return folder


def dataset_ids(task: Task) -> tuple[str, ...]:
    """The Minari ids of a task's data: of its hosted sets, or the task's name and a hash of the collection settings."""
    if isinstance(task.data, HostedData):
        return task.data.ids
    # Datasets collected before a setting was added keep their names.
    added, defaults = ADDED_SETTINGS["task.data"], asdict(DataSettings())
    data = {name: value for name, value in asdict(task.data).items() if name not in added or value != defaults[name]}
    settings: dict[str, Any] = {"environment": task.environment, "horizon": task.horizon, "data": data}
    if task.data.wander_steps is not None:
        settings["maze"] = task.maze
    digest = hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:8]
    return (f"floorbench/{task.name}-{digest}-v{DATA_VERSION}",)


def dataset_id(task: Task) -> str:
    """The ids as one string."""
    return " + ".join(dataset_ids(task))


def dataset_folders(task: Task) -> tuple[Path, ...]:
    """The folder of each set, existing or not."""
    return tuple(minari_folder() / name for name in dataset_ids(task))


def dataset_folder(task: Task) -> Path:
    """The folder of the first set, which also holds the caches of the dataset."""
    return dataset_folders(task)[0]


def missing_ids(task: Task) -> tuple[str, ...]:
    """The sets that are missing from the local Minari folder or incomplete."""
    return tuple(
        name
        for name, folder in zip(dataset_ids(task), dataset_folders(task), strict=True)
        if missing_file(folder / "data")
    )


def missing_file(data: Path) -> str | None:
    """The first file that an incomplete data folder in HDF5, Arrow or Parquet lacks; None if it is complete."""
    if not (data / METADATA).is_file():
        return METADATA
    if (data / HDF5).is_file():
        return None
    try:
        metadata = read_json(data / METADATA) or {}
    except DamagedFileError:
        return HDF5
    if metadata.get("data_format") not in FOLDER_FORMATS:
        return HDF5
    episodes = metadata.get("total_episodes")
    numbers = range(episodes if isinstance(episodes, int) else 1)
    return next((str(number) for number in numbers if not (data / str(number)).is_dir()), None)


def set_files(data: Path) -> tuple[str, ...]:
    """The files of a complete set, relative to its data folder."""
    if (data / HDF5).is_file():
        return FILES
    return (METADATA, *sorted(str(file.relative_to(data)) for file in data.glob("[0-9]*/*") if file.is_file()))


def origins(task: Task) -> list[str]:
    """Where the data of a task are read from, one line per set, and what imported sets were copied from."""
    lines = []
    for folder in dataset_folders(task):
        try:
            imported = (read_json(folder / ORIGIN_FILE) or {}).get("from")
        except DamagedFileError:
            imported = None
        data = folder / "data"
        place = data / HDF5 if (data / HDF5).is_file() else data
        lines.append(f"{place}, imported from {imported}" if imported else str(place))
    return lines


def dataset_exists(task: Task) -> bool:
    """Whether all sets are complete in the local Minari folder."""
    return not missing_ids(task)


def recovery_advice(task: Task, again: bool = False) -> str:
    """How to get or restore (`again`) the task's data, for error messages."""
    verb = "get" if isinstance(task.data, HostedData) else "create"
    data_seed = f" --data-seed {task.data_seed}" if task.data_seed else ""
    return f"{verb} it {'again ' if again else ''}with: floorbench data {task.name}{data_seed}"


def joint_hash(hashes: Sequence[str]) -> str:
    """The content hash of a dataset from those of its sets; for a single set they are equal."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def dataset_stamps(task: Task) -> tuple[Stamps, ...]:
    """The stamps of the files of each set."""
    return tuple(_stamps(folder) for folder in dataset_folders(task))


def cached_hash(task: Task) -> str | None:
    """The cached content hash of the dataset; None if a file has changed since it was cached."""
    hashes = [_cached_hash(folder) for folder in dataset_folders(task)]
    known = [content_hash for content_hash in hashes if content_hash is not None]
    return joint_hash(known) if len(known) == len(hashes) else None


def cache_hashes(task: Task, stamps: Sequence[Stamps], hashes: Sequence[str]) -> None:
    """Cache the hash of each set whose files still have the `stamps` from before they were read."""
    for folder, before, content_hash in zip(dataset_folders(task), stamps, hashes, strict=True):
        if _stamps(folder) != before or _cached_hash(folder) == content_hash:
            continue
        # If the folder is read-only, the data are read again next time.
        with contextlib.suppress(OSError):
            write_json(folder / HASH_FILE, {"files": before, "content_hash": content_hash})


def _stamps(folder: Path) -> Stamps:
    data = folder / "data"
    states = {file: (data / file).stat() for file in set_files(data)}
    return {f"data/{file}": [state.st_size, state.st_mtime_ns] for file, state in states.items()}


def _cached_hash(folder: Path) -> str | None:
    """The hash cached for the present files of a folder."""
    try:
        cached: Mapping = read_json(folder / HASH_FILE) or {}
    except DamagedFileError:
        return None
    content_hash = cached.get("content_hash")
    return content_hash if isinstance(content_hash, str) and cached.get("files") == _stamps(folder) else None
