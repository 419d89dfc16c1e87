"""Read Minari sets: check, repair, flatten observations, map rewards."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from minari import EpisodeData, MinariDataset
from minari.dataset.minari_storage import MinariStorage

from harness.data.checks import EpisodeChecks, check_ends, check_environment, check_repeats
from harness.data.files import FOLDER_FORMATS, HDF5, METADATA, dataset_folders, dataset_id, dataset_ids, recovery_advice
from harness.data.repairs import RepairRecord
from harness.data.trajectories import Trajectory, TransitionTable, stack
from harness.environments.environment import binary_rewards
from harness.environments.families import view_of
from harness.environments.mazes import maze_rows, walls
from harness.errors import UserError, reason
from harness.files import DamagedFileError, check_file
from harness.plain_values import shown
from harness.settings import HostedData, Task

# First bytes of an HDF5 file.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Exceptions that Minari, HDF5 and JSON raise for damaged files.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Reading:
    """The contents of a task's sets."""

    rows: TransitionTable
    # SHA-256 of each set as stored: observations, actions, rewards, flags and successes of every episode.
    hashes: tuple[str, ...]
    # One line per repair: what it changed, or that it was not needed.
    notes: tuple[str, ...]


def read_sets(task: Task) -> Reading:
    """Read the sets of a task; a damaged or unsuitable set raises a UserError."""
    trajectories: list[Trajectory] = []
    hashes: list[str] = []
    notes: list[str] = []
    record = RepairRecord(task)
    for set_id, folder in zip(dataset_ids(task), dataset_folders(task), strict=True):
        with _advising(f"delete {folder} and {recovery_advice(task, again=True)}"):
            set_hash, set_notes = _read_set(set_id, folder, task, record, trajectories)
        hashes.append(set_hash)
        notes += set_notes
    check_ends(dataset_id(task), [bool(trajectory.terminated[-1]) for trajectory in trajectories], task)
    return Reading(stack(trajectories), tuple(hashes), (*record.notes(), *notes))


def check_set(set_id: str, folder: Path, task: Task) -> None:
    """Read one set of a task in any folder; a damaged or unsuitable set raises a UserError."""
    _read_set(set_id, folder, task, RepairRecord(task), [])


def _read_set(
    set_id: str, folder: Path, task: Task, record: RepairRecord, trajectories: list[Trajectory]
) -> tuple[str, list[str]]:
    """Append the repaired trajectories of a set; returns its content hash and notes."""
    source = _open(set_id, folder)
    check_environment(set_id, source.spec.env_spec, task)
    checks, digests = EpisodeChecks(set_id, task), []
    for episode, metadata in _stored_episodes(set_id, source):
        checks.check(episode, metadata)
        digests.append(_digest(episode, task))
        repaired = record.repair(_with_task_rewards(set_id, episode, task))
        if repaired is not None:
            checks.check_width(repaired)
            trajectories.append(_trajectory(repaired, task))
    content_hash = hashlib.sha256(b"".join(digests)).hexdigest()
    if isinstance(task.data, HostedData):
        return content_hash, _notes(set_id, source, digests, task)
    check_repeats(set_id, digests)
    return content_hash, []


class UnreadableSetError(UserError):
    """A file of a set cannot be read."""


@contextlib.contextmanager
def _advising(advice: str) -> Iterator[None]:
    """Add to the message of an `UnreadableSetError` what to do."""
    try:
        yield
    except UnreadableSetError as error:
        raise UserError(f"{error}; {advice}") from error


def _open(set_id: str, folder: Path) -> MinariDataset:
    """Open a set without running code or reading files that it names."""
    place = f"data/{METADATA}"
    try:
        metadata = MinariStorage.read_raw_metadata(folder / "data")
        if not isinstance(metadata, dict):
            raise ValueError(f"a JSON object is needed, not {shown(metadata)}")
        # For a missing space, Minari would import and start the environment that the file names.
        for name in ("observation_space", "action_space", "data_format"):
            if not isinstance(metadata.get(name), str):
                raise ValueError(f"{name} is {shown(metadata.get(name))}; text is needed")
        if metadata["data_format"] not in ("hdf5", *FOLDER_FORMATS):
            raise ValueError(f"data_format is {shown(metadata['data_format'])}; hdf5, arrow or parquet is needed")
        if metadata.get("dataset_id", set_id) != set_id:
            raise ValueError(f"dataset_id is {shown(metadata['dataset_id'])}: this is another set")
        if metadata["data_format"] in FOLDER_FORMATS:
            _refuse_special_files(set_id, folder / "data")
        source = MinariDataset(folder / "data")
        if metadata["data_format"] == "hdf5":
            place = f"data/{HDF5}"
            _refuse_links(folder / place)
        episodes, counted = _episode_count(folder / "data"), source.storage.total_episodes
        if episodes > counted:
            raise ValueError(f"it holds {episodes} episodes, but {METADATA} says {counted}")
    except _DAMAGE as error:
        raise _unreadable(set_id, place, error) from error
    return source


def _episode_count(data: Path) -> int:
    """The number of episodes in a data folder."""
    if (data / HDF5).is_file():
        with h5py.File(data / HDF5, "r") as content:
            return sum(name.startswith("episode_") for name in content)
    return sum(folder.name.isdigit() for folder in data.iterdir())


def _refuse_special_files(set_id: str, data: Path) -> None:
    """Raise an `UnreadableSetError` for a pipe, socket or device, for which a reader would wait."""
    for file in sorted(data.rglob("*")):
        if not file.is_dir():
            try:
                check_file(file)
            except DamagedFileError as error:
                raise UnreadableSetError(f"dataset {set_id}: {error}") from None


def _refuse_links(file: Path) -> None:
    """Raise ValueError if an HDF5 file takes data from other files."""

    def fault(name: str) -> str | None:
        link = content.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return f"{name} is a link to the file {shown(link.filename)}"
        item = content.get(name) if isinstance(link, h5py.HardLink) else None
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            return f"{name} takes its data from other files"
        return None

    with open(file, "rb") as stream:
        beginning = stream.read(20)
    if not beginning.startswith(HDF5_SIGNATURE):
        raise ValueError(f"an HDF5 file is needed, but it {f'begins with {beginning!r}' if beginning else 'is empty'}")
    with h5py.File(file, "r") as content:
        # Returns the first result that is not None.
        fault_message = content.visit_links(fault)
    if fault_message is not None:
        raise ValueError(fault_message)


def _stored_episodes(set_id: str, source: MinariDataset) -> Iterator[tuple[EpisodeData, Mapping[str, Any]]]:
    """Every episode in order, with its metadata; unreadable data raise a UserError."""
    place = 0
    try:
        metadata = source.storage.get_episode_metadata(source.episode_indices)
        for pair in zip(_episodes(source), metadata, strict=True):
            yield pair
            place += 1
    except _DAMAGE as error:
        raise _unreadable(set_id, f"episode {place}", error) from error


def _episodes(source: MinariDataset) -> Iterator[EpisodeData]:
    if source.storage.FORMAT not in FOLDER_FORMATS:
        yield from source.iterate_episodes()
        return
    for index in source.episode_indices:
        # One by one: Minari numbers the stored pieces, of which a long or an empty episode has more or less than one.
        pieces = list(source.iterate_episodes([index]))
        if len(pieces) != 1:
            raise ValueError("has no rows")
        yield from pieces


def _unreadable(set_id: str, place: str, error: Exception) -> UserError:
    return UnreadableSetError(f"dataset {set_id}: {place}: cannot be read ({reason(error)})")


def _digest(episode: EpisodeData, task: Task) -> bytes:
    """SHA-256 of an episode as stored."""
    digest = hashlib.sha256()
    observations = view_of(task).concatenate(episode.observations)
    arrays = [observations, episode.actions.astype(np.float32), episode.rewards]
    for array in (*arrays, episode.terminations, episode.truncations, *_recorded_successes(episode)):
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.digest()


def _recorded_successes(episode: EpisodeData) -> list[np.ndarray]:
    """The successes [T + 1] in the infos of the environment, the first at the reset; empty if there are none."""
    infos = episode.infos or {}
    return [np.asarray(infos["success"], dtype=bool)] if "success" in infos else []


def _with_task_rewards(set_id: str, episode: EpisodeData, task: Task) -> EpisodeData:
    """The episode without infos, with the rewards of the task, not yet mapped."""
    rewards = episode.rewards
    if task.reward == "binary":
        recorded = _recorded_successes(episode)
        flags = recorded and np.isin(episode.infos["success"], (0, 1)).all()
        if not flags or recorded[0].shape != (len(rewards) + 1,):
            raise UserError(
                f"dataset {set_id}: episode {episode.id}: infos[success] must hold {len(rewards) + 1} booleans, "
                f"from which task {task.name} computes its rewards"
            )
        rewards = binary_rewards(recorded[0][1:])
    return replace(episode, rewards=rewards, infos={})


def _trajectory(episode: EpisodeData, task: Task) -> Trajectory:
    return Trajectory(
        observations=view_of(task).flat(episode.observations),
        actions=episode.actions.astype(np.float32),
        rewards=(episode.rewards * task.reward_scale + task.reward_bias).astype(np.float32),
        terminated=episode.terminations,
        truncated=episode.truncations,
    )


def _notes(set_id: str, source: MinariDataset, digests: Sequence[bytes], task: Task) -> list[str]:
    """Notes on harmless defects of a hosted set: repeated episodes, an evaluation map with other walls."""
    notes = [f"{set_id}: {note}" for note in source.storage.metadata.get("notes", ())]
    repeats = len(digests) - len(set(digests))
    if repeats:
        notes.append(f"{set_id}: {repeats:,} of {len(digests):,} episodes repeat others; left as they are")
    if task.maze is not None:
        evaluation = json.loads(source.storage.metadata.get("eval_env_spec", "{}"))
        named = evaluation.get("kwargs", {}).get("maze_map")
        other = named is not None and walls(maze_rows(named)) != walls(task.maze)
        notes.append(f"walls_of_the_data: {'in place of those of its evaluation map' if other else 'not needed'}")
    return notes
