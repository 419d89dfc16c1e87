"""OGBench's npz files, relabelled for a single task and converted to Minari sets.

A file contains concatenated trajectories: `observations` [N, S], `actions` [N, A], `terminals` [N] (true at the last
state of a trajectory, whose action is unused), `qpos` [N, Q], and for scenes and puzzles `button_states` [N, B].
Rewards are not stored. OGBench's relabelling computes them for a task: the state before a step determines its reward,
and its mask is 0 if that state solves the task.

Trajectories continue after they have solved the task, but a mask of 0 stops bootstrapping. They are therefore cut
after every step with mask 0, and each piece becomes an episode that terminates. Only the last piece of a trajectory
may end by truncation.
"""

import hashlib
import itertools
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import gymnasium
import minari
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from harness.data.files import METADATA
from harness.environments.environment import gymnasium_environment
from harness.environments.families import NAMESPACE, SingleTask, single_task
from harness.errors import UserError, reason
from harness.files import check_file, open_file, read_json
from harness.settings import Task

# Server of the files (`ogbench.utils.DATASET_URL` in OGBench 1.2).
URL = "https://rail.eecs.berkeley.edu/datasets/ogbench"

# What NumPy and its zip reader raise on files that are damaged or hold pickled objects.
_DAMAGE = (OSError, ValueError, EOFError, KeyError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def ogbench_names(set_id: str) -> SingleTask | None:
    """OGBench's names for the id of a converted dataset; None for other datasets."""
    return single_task(set_id.removeprefix(NAMESPACE)) if set_id.startswith(NAMESPACE) else None


def npz_name(set_id: str) -> str | None:
    """The name of the npz file that a dataset is converted from; None for datasets of other sources."""
    names = ogbench_names(set_id)
    return None if names is None else f"{names.dataset}.npz"


def find_npz(set_id: str, source: Path) -> Path | None:
    """The npz file of a dataset: `source` itself or a file below it; None if it is missing.

    Raises UserError if there are several.
    """
    name = npz_name(set_id)
    if name is None:
        return None
    if source.is_file():
        return source if source.name == name else None
    files = sorted(source.rglob(name))
    if len(files) > 1:
        raise UserError(f"--from {source}: contains {name} twice, as {files[0]} and {files[1]}; name one of them")
    return files[0] if files else None


def is_converted(file: Path, data_folder: Path) -> bool:
    """Whether a data folder was converted from an npz file with these bytes."""
    return _file_hash(file) in (read_json(data_folder / METADATA) or {}).get("description", "")


def convert_npz(task: Task, set_id: str, file: Path, data_folder: Path) -> None:
    """Write the Minari set of a task, with OGBench's rewards for it, into a new folder.

    Pickled objects are refused, so the file cannot execute code. Raises a UserError if it is damaged or does not match
    the task's environment.
    """
    environment = gymnasium_environment(task)
    try:
        arrays = _read(file, cast(Any, environment.unwrapped))
        rewards, solved = _relabelled(task.environment, environment, arrays)
        storage = MinariStorage.new(
            data_folder, environment.observation_space, environment.action_space, gymnasium.spec(task.environment)
        )
    finally:
        environment.close()
    storage.update_metadata(_description(task, set_id, file, arrays["terminals"], solved))
    storage.update_episodes(_episodes(arrays, rewards, solved))


def _read(file: Path, raw: Any) -> dict[str, np.ndarray]:
    """Read and check the arrays of a file; `raw` is the environment they must match."""
    widths = {
        "observations": raw.observation_space.shape[0],
        "actions": raw.action_space.shape[0],
        "qpos": raw.model.nq,
    }
    if hasattr(raw, "_num_buttons"):
        widths["button_states"] = raw._num_buttons
    try:
        check_file(file)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("terminals", *widths)}
    except _DAMAGE as error:
        raise UserError(f"{file}: not a readable OGBench file ({reason(error)}); download it again") from error
    terminals = arrays["terminals"]
    if terminals.ndim != 1 or terminals.dtype.kind not in "bfiu" or not len(terminals):
        raise UserError(f"{file}: terminals have the shape {terminals.shape} and type {terminals.dtype}; "
                        "one flag per state is needed")  # fmt: skip
    if len(others := terminals[~np.isin(terminals, (0, 1))]):
        raise UserError(f"{file}: terminals contain {others[0]:g}; one flag, 0 or 1, per state is needed")
    for name, width in widths.items():
        array = arrays[name]
        if array.shape != (len(terminals), width):
            raise UserError(f"{file}: {name} have the shape {array.shape}, but {(len(terminals), width)} is needed")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise UserError(f"{file}: {name} are not finite numbers")
    arrays["terminals"] = terminals != 0
    ends = np.flatnonzero(arrays["terminals"])
    if not len(ends) or ends[-1] != len(terminals) - 1:
        raise UserError(f"{file}: the last trajectory has no end; the file is truncated, download it again")
    if ends[0] == 0 or (np.diff(ends) < 2).any():
        raise UserError(f"{file}: a trajectory has no step")
    return {**arrays, **{name: arrays[name].astype(np.float32, copy=False) for name in ("observations", "actions")}}


def _relabelled(
    environment_id: str, environment: gymnasium.Env, arrays: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return rewards [N] (float32) and whether the state solves the task [N] (bool), from OGBench's relabelling."""
    from ogbench.relabel_utils import relabel_dataset

    labelled: dict[str, np.ndarray] = dict(arrays)
    relabel_dataset(environment_id, environment, labelled)
    return labelled["rewards"], labelled["masks"] == 0.0


def _episodes(arrays: Mapping[str, np.ndarray], rewards: np.ndarray, solved: np.ndarray) -> Iterator[EpisodeBuffer]:
    """Cut the trajectories after every step from a state that solves the task."""
    first_state = 0
    for last_state in np.flatnonzero(arrays["terminals"]).tolist():
        cuts = first_state + 1 + np.flatnonzero(solved[first_state:last_state])
        for start, stop in itertools.pairwise(np.unique([first_state, *cuts, last_state]).tolist()):
            terminations = solved[start:stop]
            truncations = np.zeros_like(terminations)
            truncations[-1] = not terminations[-1]
            yield EpisodeBuffer(
                observations=cast(Any, arrays["observations"][start : stop + 1]),
                actions=cast(Any, arrays["actions"][start:stop]),
                rewards=cast(Any, rewards[start:stop]),
                terminations=cast(Any, terminations),
                truncations=cast(Any, truncations),
            )
        first_state = last_state + 1


def _description(task: Task, set_id: str, file: Path, terminals: np.ndarray, solved: np.ndarray) -> dict[str, Any]:
    digest = _file_hash(file)
    trajectories, cuts = int(terminals.sum()), int((solved & ~terminals).sum())
    return {
        "dataset_id": set_id,
        "minari_version": minari.__version__,
        "description": f"{file.name} (SHA-256 {digest}) with the rewards of {task.environment}.",
        "author": {"OGBench"},
        "code_permalink": "https://github.com/seohongpark/ogbench",
        "requirements": [f"ogbench=={version('ogbench')}"],
        "notes": [f"{trajectories:,} trajectories cut after each of {cuts:,} steps from a state that solves the task"],
    }


def _file_hash(file: Path) -> str:
    with open_file(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
