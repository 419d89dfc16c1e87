"""A task's offline data: made where missing, read through Minari, checked, in float32 with mapped rewards."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage, rmtree

import filelock
import minari
import numpy as np

from harness.collection import check_controller, collect
from harness.dataset_checks import check_episodes
from harness.dataset_files import (
    dataset_exists,
    dataset_folder,
    dataset_id,
    dataset_stamps,
    keep_hash,
    minari_folder,
)
from harness.environments.environment import flatten_observation
from harness.errors import UserError
from harness.settings import Task

# Disk space asked for before collecting; 200 to 400 are written, more where episodes are short.
BYTES_PER_TRANSITION = 700

# What Minari, HDF5 and JSON raise on damaged files.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Trajectory:
    """One episode of T steps."""

    # [T + 1, S] float32, the last one after the last action.
    observations: np.ndarray
    # [T, A] float32.
    actions: np.ndarray
    # [T] float32, mapped by the task's scale and bias.
    rewards: np.ndarray
    # [T] bool: the episode ended by itself (at the goal).
    terminated: np.ndarray
    # [T] bool: the episode was cut off.
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Dataset:
    """A checked dataset."""

    # Minari id.
    id: str
    # SHA-256 of what was read: observations, actions, raw rewards, terminations, truncations, episode by episode.
    content_hash: str
    trajectories: tuple[Trajectory, ...]

    @property
    def transitions(self) -> int:
        return sum(len(trajectory) for trajectory in self.trajectories)

    @property
    def observation_dim(self) -> int:
        return self.trajectories[0].observations.shape[1]

    @property
    def action_dim(self) -> int:
        return self.trajectories[0].actions.shape[1]


def ensure_dataset(task: Task, progress: Callable[[int, int], None] | None = None) -> Dataset:
    """The task's dataset, collected first where it is missing (`progress`: transitions done and wanted).

    Safe to call from several processes: one collects, the others wait for it. What an interrupted collection left of
    the dataset is removed.
    """
    if not dataset_exists(task):
        check_controller(task)
        with _writing(task) as root, filelock.FileLock(root / ".floorbench.lock"):
            if not dataset_exists(task):
                rmtree(dataset_folder(task), ignore_errors=True)
                collect(task, dataset_id(task), progress)
    return load_dataset(task)


def load_dataset(task: Task) -> Dataset:
    """Read and check the task's dataset; a missing, damaged or unfit one raises a UserError."""
    name = dataset_id(task)
    if not dataset_exists(task):
        raise UserError(f"dataset {name}: is not in {minari_folder()}; make it with: floorbench data {task.name}")
    stamps = dataset_stamps(task)
    episodes = list(_read_episodes(task))
    check_episodes(name, episodes, task)
    digest = hashlib.sha256()
    trajectories = []
    for episode in episodes:
        observations = flatten_observation(episode.observations)
        actions = episode.actions.astype(np.float32)
        for array in (observations, actions, episode.rewards, episode.terminations, episode.truncations):
            digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
        rewards = (episode.rewards * task.reward_scale + task.reward_bias).astype(np.float32)
        trajectories.append(Trajectory(observations, actions, rewards, episode.terminations, episode.truncations))
    keep_hash(task, stamps, digest.hexdigest())
    return Dataset(name, digest.hexdigest(), tuple(trajectories))


@contextmanager
def _writing(task: Task) -> Iterator[Path]:
    """The Minari folder for as long as the task's data are written there; a disk that refuses is one line.

    Asked before anything is collected: a file lock can wait for ever in a folder that takes no files, and HDF5 crashes
    after it has met a full disk.
    """
    folder = minari_folder()
    try:
        tempfile.TemporaryFile(dir=folder).close()
        needed, free = task.data.transitions * BYTES_PER_TRANSITION, disk_usage(folder).free
        if needed > free:
            raise OSError(ENOSPC, f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
        yield folder
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "errno" not in str(error):
            raise
        raise UserError(
            f"Minari folder {folder}: cannot be written ({_reason(error)}); "
            "free some space or let MINARI_DATASETS_PATH name another folder"
        ) from error


def _read_episodes(task: Task) -> Iterator[minari.EpisodeData]:
    """Every episode in order; what Minari or HDF5 cannot read is one line."""
    place = "data/metadata.json"
    try:
        episodes = minari.load_dataset(dataset_id(task)).iterate_episodes()
        place = "episode 0"
        for number, episode in enumerate(episodes, start=1):
            yield episode
            place = f"episode {number}"
    except _DAMAGE as error:
        raise UserError(
            f"dataset {dataset_id(task)}: {place}: cannot be read ({_reason(error)}); "
            f"delete {dataset_folder(task)} and make it again with: floorbench data {task.name}"
        ) from error


def _reason(error: Exception) -> str:
    """The telling part of an error: the system's words, or what HDF5 puts in brackets, or all of it in one line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    found = re.search(r"error message = '([^']*)'", text) or re.search(r"\((.+)\)", text)
    return found.group(1) if found else text
