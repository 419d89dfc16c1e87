"""Read Minari sets: check, repair, flatten observations, map rewards."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import minari
import numpy as np
from minari import EpisodeData, MinariDataset

from harness.data.checks import EpisodeChecks, check_ends, check_environment, check_repeats
from harness.data.files import dataset_id, dataset_ids, minari_folder, recovery_advice
from harness.data.repairs import RepairRecord
from harness.data.trajectories import Trajectory, TransitionTable, stack
from harness.environments.environment import binary_rewards, view_of
from harness.environments.mazes import maze_rows, walls
from harness.errors import UserError, reason
from harness.settings import HostedData, Task

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
    for set_id in dataset_ids(task):
        source = _open(set_id, task)
        check_environment(set_id, source.spec.env_spec, task)
        checks, digests = EpisodeChecks(set_id, task), []
        for episode, metadata in _stored_episodes(set_id, source, task):
            checks.check(episode, metadata)
            digests.append(_digest(episode, task))
            repaired = record.repair(_with_task_rewards(set_id, episode, task))
            if repaired is not None:
                checks.check_width(repaired)
                trajectories.append(_trajectory(repaired, task))
        hashes.append(hashlib.sha256(b"".join(digests)).hexdigest())
        if isinstance(task.data, HostedData):
            notes += _notes(set_id, source, digests, task)
        else:
            check_repeats(set_id, digests)
    check_ends(dataset_id(task), [bool(trajectory.terminated[-1]) for trajectory in trajectories], task)
    return Reading(stack(trajectories), tuple(hashes), (*record.notes(), *notes))


def _open(set_id: str, task: Task) -> MinariDataset:
    try:
        return minari.load_dataset(set_id)
    except _DAMAGE as error:
        raise _unreadable(set_id, "data/metadata.json", error, task) from error


def _stored_episodes(set_id: str, source: MinariDataset, task: Task) -> Iterator[tuple[EpisodeData, Mapping[str, Any]]]:
    """Every episode in order, with its metadata; unreadable data raise a UserError."""
    place = 0
    try:
        metadata = source.storage.get_episode_metadata(source.episode_indices)
        for pair in zip(source.iterate_episodes(), metadata, strict=True):
            yield pair
            place += 1
    except _DAMAGE as error:
        raise _unreadable(set_id, f"episode {place}", error, task) from error


def _unreadable(set_id: str, place: str, error: Exception, task: Task) -> UserError:
    return UserError(
        f"dataset {set_id}: {place}: cannot be read ({reason(error)}); "
        f"delete {minari_folder() / set_id} and {recovery_advice(task)}"
    )


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
        if not recorded or recorded[0].shape != (len(rewards) + 1,):
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
