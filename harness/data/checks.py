"""Checks of datasets: complete episodes with finite numbers that fit their task.

Every check raises a UserError of one line that names the set, the first invalid episode and its fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium.envs.registration import EnvSpec, parse_env_id
from gymnasium.spaces import Box
from minari import EpisodeData

from harness.environments.environment import gymnasium_environment, observation_boxes
from harness.environments.families import family, family_of
from harness.environments.mazes import maze_rows, walls
from harness.errors import UserError
from harness.settings import HostedData, Task

# Tolerance for actions outside the action box, from rounding to another float type.
ACTION_TOLERANCE = 1e-6


class EpisodeChecks:
    """Checks of the episodes of one set."""

    def __init__(self, set_id: str, task: Task):
        """The task's environment determines the shapes and bounds of the arrays."""
        environment = gymnasium_environment(task)
        self._set_id = set_id
        self._boxes, self._actions = observation_boxes(task, environment), cast(Box, environment.action_space)
        environment.close()

    def check(self, episode: EpisodeData, metadata: Mapping[str, Any]) -> None:
        """Check an episode as it is stored, except the width of its observations, against its `metadata` in the set."""
        self._raise_first(episode, _faults(episode, metadata, tuple(self._boxes), self._actions))

    def check_width(self, episode: EpisodeData) -> None:
        """Check that the observations of a repaired episode are as wide as those of the environment."""
        self._raise_first(episode, _width_faults(episode, self._boxes))

    def _raise_first(self, episode: EpisodeData, faults: Iterator[str]) -> None:
        fault = next(faults, None)
        if fault is not None:
            raise UserError(f"dataset {self._set_id}: episode {episode.id}: {fault}")


def check_environment(set_id: str, recorded: EnvSpec | None, task: Task) -> None:
    """Check that a set was recorded in the task's environment: same family, version and walls."""
    if recorded is None:
        return
    same_family = family_of(recorded.id) == family(task)
    # Versions of the ant differ only in the width of the observations.
    repaired = isinstance(task.data, HostedData) and "without_contact_forces" in task.data.repairs
    if not same_family or not (repaired or recorded.version == parse_env_id(task.environment)[2]):
        raise UserError(f"dataset {set_id}: recorded in {recorded.id}, but task {task.name} uses "
                        f"{task.environment}")  # fmt: skip
    recorded_map = recorded.kwargs.get("maze_map")
    if task.maze is not None and recorded_map is not None and walls(maze_rows(recorded_map)) != walls(task.maze):
        raise UserError(f"dataset {set_id}: its walls ({' '.join(maze_rows(recorded_map))}) "
                        f"differ from those of task {task.name} ({' '.join(task.maze)})")  # fmt: skip


def check_repeats(set_id: str, digests: Sequence[bytes]) -> None:
    """Check that no episode of a collected set is repeated, by the digests of the episodes."""
    first: dict[bytes, int] = {}
    for number, digest in enumerate(digests):
        if first.setdefault(digest, number) != number:
            raise UserError(f"dataset {set_id}: episode {number}: repeats episode {first[digest]}")


def check_ends(dataset_id: str, terminates: Sequence[bool], task: Task) -> None:
    """Check that there are episodes, and that some terminate if failure has a reward."""
    if not terminates:
        raise UserError(f"dataset {dataset_id}: empty; at least one episode is needed")
    if task.failure_reward is not None and not any(terminates):
        raise UserError(
            f"dataset {dataset_id}: no episode terminates: task {task.name} ends at its goal, so an episode that "
            "reaches the goal must end with a termination, not a truncation"
        )


def _faults(episode: EpisodeData, metadata: Mapping[str, Any], parts: Sequence[str], action_box: Box) -> Iterator[str]:
    """The faults of an episode. Each check relies on those before it, so only the first fault is valid."""
    steps = len(episode.actions)
    if metadata.get("id", episode.id) != episode.id:
        yield f"stored as episode {metadata['id']}: the keys of the set are mixed up"
    if steps == 0:
        yield "has no steps; at least one is needed"
    if metadata.get("total_steps", steps) != steps:
        yield f"has {steps} actions, but its metadata say {metadata['total_steps']} steps"
    yield from _array_faults("actions", episode.actions, (steps, *action_box.shape), np.floating)
    for name in parts:
        label = _label(name)
        part = _part(episode.observations, name)
        if part is None:
            yield f"{label} are missing"
            return
        if len(part) == steps:
            yield f"has {steps} {label} for {steps} actions; {steps + 1} are needed, one after the last action"
        yield from _array_faults(label, part, (steps + 1, *part.shape[1:]), np.floating)
    achieved, desired = (_part(episode.observations, f"{name}_goal") for name in ("achieved", "desired"))
    if (
        isinstance(achieved, np.ndarray)
        and isinstance(desired, np.ndarray)
        and _is_constant(achieved) > _is_constant(desired)
    ):
        yield "its desired goals move and its achieved goals do not: the keys of the set are mixed up"
    yield from _array_faults("rewards", episode.rewards, (steps,), (np.floating, np.integer))
    yield from _array_faults("terminations", episode.terminations, (steps,), np.bool_)
    yield from _array_faults("truncations", episode.truncations, (steps,), np.bool_)
    excess = np.maximum(action_box.low - episode.actions, episode.actions - action_box.high).max(axis=1)
    if excess.max() > ACTION_TOLERANCE:
        step, low, high = int(excess.argmax()), action_box.low.tolist(), action_box.high.tolist()
        yield f"action {step} is {episode.actions[step].tolist()}, outside the action box {low} to {high}"
    for name, flags in (("termination", episode.terminations), ("truncation", episode.truncations)):
        early = np.flatnonzero(flags[:-1])
        if early.size:
            yield f"continues for {steps - 1 - early[0]} steps after the {name} at step {early[0]}"


def _width_faults(episode: EpisodeData, boxes: Mapping[str, Box]) -> Iterator[str]:
    for name, box in boxes.items():
        part = _part(episode.observations, name)
        assert part is not None, "checked before"
        if part.shape[1:] != box.shape:
            yield f"{_label(name)} have shape {part.shape}; {(len(part), *box.shape)} is needed"


def _is_constant(positions: np.ndarray) -> bool:
    return bool((positions == positions[:1]).all())


def _label(part: str) -> str:
    return f"observations[{part}]" if part else "observations"


def _part(observations: np.ndarray | Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    if isinstance(observations, Mapping):
        return observations.get(name)
    return None if name else observations


def _array_faults(
    label: str, array: np.ndarray, shape: tuple[int, ...], kinds: type | tuple[type, ...]
) -> Iterator[str]:
    if array.shape != shape:
        yield f"{label} have shape {array.shape}; {shape} is needed"
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not any(np.issubdtype(array.dtype, kind) for kind in kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        yield f"{label} are {array.dtype}; {names} numbers are needed"
    if np.issubdtype(array.dtype, np.floating):
        # As they are trained with: larger numbers would become infinite there.
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, copy=False))
        if not finite.all():
            place = tuple(np.argwhere(~finite)[0])
            fault = f"{array[place]:g}, too large for float32," if np.isfinite(array[place]) else "NaN or infinity"
            yield f"{label} contain {fault} in row {place[0]}"
