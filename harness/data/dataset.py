"""The offline dataset of a task: collected if missing, checked, in float32 with mapped rewards."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage, rmtree

from harness.data.files import (
    cache_hashes,
    cached_hash,
    dataset_exists,
    dataset_folder,
    dataset_id,
    dataset_stamps,
    joint_hash,
    minari_folder,
    missing_ids,
    recovery_advice,
)
from harness.data.row_cache import cache_table, map_table
from harness.data.trajectories import Trajectory, TransitionTable
from harness.errors import UserError, reason
from harness.files import locked
from harness.plain_values import canonical_json
from harness.settings import DataSettings, Task

# Free disk space required for collection; 200 to 400 bytes are written, more for short episodes.
BYTES_PER_TRANSITION = 700

# Seconds to wait for other processes that collect data.
LOCK_TIMEOUT = 7200.0


@dataclass(frozen=True)
class Dataset:
    """A checked and repaired dataset."""

    # Minari id, or the ids of its sets.
    id: str
    # SHA-256 of the stored data before any repair: observations, actions, raw rewards and flags of every episode.
    content_hash: str
    rows: TransitionTable
    # One line per repair: what it changed, or that it was not needed.
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
    """The dataset of a task, collected if it is missing; `progress` is called with transitions collected and required.

    Safe to call from several processes: one collects, the others wait. The remains of an interrupted collection are
    deleted. Hosted data are not downloaded.
    """
    if isinstance(task.data, DataSettings) and not dataset_exists(task):
        # Imported with Minari only where data are collected or read; most workers map a cached table.
        from harness.data.collection import check_controller, collect

        check_controller(task)
        with _writing(task.data) as root, locked(root / ".floorbench.lock", LOCK_TIMEOUT, "collect data"):
            if not dataset_exists(task):
                rmtree(dataset_folder(task), ignore_errors=True)
                collect(task, dataset_id(task), progress)
    return load_dataset(task)


def load_dataset(task: Task) -> Dataset:
    """The dataset of a task, memory-mapped if possible; a missing, damaged or unsuitable one raises a UserError.

    On the first call the sets are read, checked and repaired, and the resulting table is cached beside them. All
    processes of a machine map the cached table until the sets change.
    """
    name = dataset_id(task)
    if not dataset_exists(task):
        raise UserError(
            f"dataset {' + '.join(missing_ids(task))}: not found in {minari_folder()}; {recovery_advice(task)}"
        )
    content_hash = cached_hash(task)
    cached = content_hash and map_table(task, content_hash)
    if content_hash and cached:
        return Dataset(name, content_hash, *cached)
    from harness.data.reading import read_sets

    stamps = dataset_stamps(task)
    reading = read_sets(task)
    content_hash = joint_hash(reading.hashes)
    cache_hashes(task, stamps, reading.hashes)
    cache_table(task, content_hash, reading.rows, reading.notes)
    mapped = map_table(task, content_hash) or (reading.rows, reading.notes)
    return Dataset(name, content_hash, *mapped)


@contextmanager
def _writing(data: DataSettings) -> Iterator[Path]:
    """The Minari folder while data are written to it; errors of the disk become UserErrors.

    Checks the folder first: a file lock can wait for ever in a read-only folder, and HDF5 crashes on a full disk.
    """
    folder = minari_folder()
    try:
        tempfile.TemporaryFile(dir=folder).close()
        needed, free = data.transitions * BYTES_PER_TRANSITION, disk_usage(folder).free
        if needed > free:
            raise OSError(ENOSPC, f"{needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")
        yield folder
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "errno" not in str(error):
            raise
        raise UserError(
            f"Minari folder {folder}: cannot be written ({reason(error)}); "
            "free some space or set MINARI_DATASETS_PATH to another folder"
        ) from error


def dataset_hash(task: Task) -> str | None:
    """The content hash of the dataset of a task; None if the dataset is missing or incomplete.

    Read again only if a file has changed. Raises UserError for damaged or unsuitable data.
    """
    if not dataset_exists(task):
        return None
    return cached_hash(task) or _read_hash(task, canonical_json(dataset_stamps(task)))


@functools.cache
def _read_hash(task: Task, stamps: str) -> str:
    """The hash of data with these stamps, read at most once per process."""
    return load_dataset(task).content_hash
