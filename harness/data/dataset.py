"""A task's offline data: made where missing, checked, in float32 with mapped rewards."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage, rmtree

import filelock

from harness.data.collection import check_controller, collect
from harness.data.files import (
    dataset_exists,
    dataset_folder,
    dataset_id,
    dataset_stamps,
    joint_hash,
    keep_hashes,
    kept_hash,
    minari_folder,
    missing_ids,
)
from harness.data.reading import read_sets
from harness.data.row_cache import keep_rows, map_rows
from harness.data.trajectories import Rows, Trajectory
from harness.errors import UserError, reason
from harness.settings import DataSettings, HostedData, Task, canonical_json

# Disk space asked for before collecting; 200 to 400 are written, more where episodes are short.
BYTES_PER_TRANSITION = 700


@dataclass(frozen=True)
class Dataset:
    """A checked and repaired dataset."""

    # Minari id, or the ids of its sets.
    id: str
    # SHA-256 of what is stored, before any repair: observations, actions, raw rewards, flags, episode by episode.
    content_hash: str
    rows: Rows
    # What was repaired and what was not needed, a line each.
    repairs: tuple[str, ...] = ()

    @property
    def transitions(self) -> int:
        return len(self.rows.table)

    @property
    def observation_dim(self) -> int:
        return self.rows.observation_dim

    @property
    def action_dim(self) -> int:
        return self.rows.action_dim

    @functools.cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        return self.rows.trajectories()


def ensure_dataset(task: Task, progress: Callable[[int, int], None] | None = None) -> Dataset:
    """The task's dataset, collected first where it is missing (`progress`: transitions done and wanted).

    Safe to call from several processes: one collects, the others wait for it. What an interrupted collection left of
    the dataset is removed. Hosted data are not downloaded here.
    """
    if isinstance(task.data, DataSettings) and not dataset_exists(task):
        check_controller(task)
        with _writing(task.data) as root, filelock.FileLock(root / ".floorbench.lock"):
            if not dataset_exists(task):
                rmtree(dataset_folder(task), ignore_errors=True)
                collect(task, dataset_id(task), progress)
    return load_dataset(task)


def load_dataset(task: Task) -> Dataset:
    """The task's dataset, memory-mapped where that can be; a missing, damaged or unfit one raises a UserError.

    The first time the sets are read, checked and repaired; what training needs of them is kept beside them and mapped
    by all processes of a machine, for as long as the sets stay as they are.
    """
    name = dataset_id(task)
    if not dataset_exists(task):
        verb = "get" if isinstance(task.data, HostedData) else "make"
        raise UserError(
            f"dataset {' + '.join(missing_ids(task))}: is not in {minari_folder()}; "
            f"{verb} it with: floorbench data {task.name}"
        )
    content_hash = kept_hash(task)
    kept = content_hash and map_rows(task, content_hash)
    if content_hash and kept:
        return Dataset(name, content_hash, *kept)
    stamps = dataset_stamps(task)
    reading = read_sets(task)
    content_hash = joint_hash(reading.hashes)
    keep_hashes(task, stamps, reading.hashes)
    keep_rows(task, content_hash, reading.rows, reading.notes)
    mapped = map_rows(task, content_hash) or (reading.rows, reading.notes)
    return Dataset(name, content_hash, *mapped)


@contextmanager
def _writing(data: DataSettings) -> Iterator[Path]:
    """The Minari folder for as long as data are written there; a disk that refuses is one line.

    Asked before anything is collected: a file lock can wait for ever in a folder that takes no files, and HDF5 crashes
    after it has met a full disk.
    """
    folder = minari_folder()
    try:
        tempfile.TemporaryFile(dir=folder).close()
        needed, free = data.transitions * BYTES_PER_TRANSITION, disk_usage(folder).free
        if needed > free:
            raise OSError(ENOSPC, f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
        yield folder
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "errno" not in str(error):
            raise
        raise UserError(
            f"Minari folder {folder}: cannot be written ({reason(error)}); "
            "free some space or let MINARI_DATASETS_PATH name another folder"
        ) from error


def dataset_hash(task: Task) -> str | None:
    """The content hash of the task's dataset, or None where there is no whole dataset.

    Read again only if a file has changed since it was last read. Raises UserError for data that are damaged or unfit.
    """
    if not dataset_exists(task):
        return None
    return kept_hash(task) or _read_hash(task, canonical_json(dataset_stamps(task)))


@functools.cache
def _read_hash(task: Task, stamps: str) -> str:
    """The hash of data with these stamps, read at most once by this process."""
    return load_dataset(task).content_hash
