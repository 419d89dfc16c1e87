"""What a set must fulfil before anything is computed from it: whole, finite episodes that fit their task.

Every check raises a UserError of one line that names the set, the first faulty episode and its fault.
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

# Actions may lie this far outside the action box: the rounding of another float type.
ACTION_TOLERANCE = 1e-6


class EpisodeChecks:
    """The checks of the episodes of one set, in their order."""

    def __init__(self, set_id: str, task: Task):
        """The task's environment tells the boxes that arrays must fit."""
        environment = gymnasium_environment(task)
        self._set_id = set_id
        self._boxes, self._actions = observation_boxes(task, environment), cast(Box, environment.action_space)
        environment.close()

    def check(self, episode: EpisodeData, metadata: Mapping[str, Any]) -> None:
        """What holds for any episode as it is stored, of whatever width; `metadata` is what the set says of it."""
        self._raise_first(episode, _faults(episode, metadata, tuple(self._boxes), self._actions))

    def check_width(self, episode: EpisodeData) -> None:
        """The repaired episode's observations must be as wide as those of the task's environment."""
        self._raise_first(episode, _width_faults(episode, self._boxes))

    def _raise_first(self, episode: EpisodeData, faults: Iterator[str]) -> None:
        fault = next(faults, None)
        if fault is not None:
            raise UserError(f"dataset {self._set_id}: episode {episode.id}: {fault}")


def check_environment(set_id: str, recorded: EnvSpec | None, task: Task) -> None:
    """The set must have been recorded in the task's environment: the same family and version, the same walls."""
    if recorded is None:
        return
    same_kind = family_of(recorded.id) == family(task)
    # Versions of the ant differ in the width of its observations alone.
    repaired = isinstance(task.data, HostedData) and "without_contact_forces" in task.data.repairs
    if not same_kind or not (repaired or recorded.version == parse_env_id(task.environment)[2]):
        raise UserError(f"dataset {set_id}: was recorded in {recorded.id}, but task {task.name} runs in "
                        f"{task.environment}")  # fmt: skip
    recorded_map = recorded.kwargs.get("maze_map")
    if task.maze is not None and recorded_map is not None and walls(maze_rows(recorded_map)) != walls(task.maze):
        raise UserError(f"dataset {set_id}: was recorded between other walls ({' '.join(maze_rows(recorded_map))}) "
                        f"than those of task {task.name} ({' '.join(task.maze)})")  # fmt: skip


def check_repeats(set_id: str, digests: Sequence[bytes]) -> None:
    """No episode of a collected set may be there twice; `digests` are those of the episodes."""
    first: dict[bytes, int] = {}
    for number, digest in enumerate(digests):
        if first.setdefault(digest, number) != number:
            raise UserError(f"dataset {set_id}: episode {number}: is episode {first[digest]} once more")


def check_ends(dataset_id: str, terminates: Sequence[bool], task: Task) -> None:
    """There must be episodes, and where failure has a reward some must end by reaching the goal."""
    if not terminates:
        raise UserError(f"dataset {dataset_id}: is empty; at least one episode is needed")
    if task.failure_reward is not None and not any(terminates):
        raise UserError(
            f"dataset {dataset_id}: no episode terminates: task {task.name} ends at its goal, so an episode that "
            "reaches the goal must end with a termination, not a truncation"
        )


def _faults(episode: EpisodeData, metadata: Mapping[str, Any], parts: Sequence[str], action_box: Box) -> Iterator[str]:
    """What is wrong with an episode; each check relies on those before it, so only the first fault counts."""
    steps = len(episode.actions)
    if metadata.get("id", episode.id) != episode.id:
        yield f"is stored as episode {metadata['id']}: the set's keys are mixed up"
    if steps == 0:
        yield "has no steps; at least one is needed"
    if metadata.get("total_steps", steps) != steps:
        yield f"has {steps} actions, but says that it has {metadata['total_steps']} steps"
    yield from _array_faults("actions", episode.actions, (steps, *action_box.shape), np.floating)
    for name in parts:
        label = _label(name)
        part = _part(episode.observations, name)
        if part is None:
            yield f"{label} are missing"
            return
        if len(part) == steps:
            yield f"has {steps} {label} for {steps} actions; {steps + 1} are needed, the last one after the last action"
        yield from _array_faults(label, part, (steps + 1, *part.shape[1:]), np.floating)
    achieved, desired = (_part(episode.observations, f"{name}_goal") for name in ("achieved", "desired"))
    if isinstance(achieved, np.ndarray) and isinstance(desired, np.ndarray) and _stands(achieved) > _stands(desired):
        yield "its desired goals move while its achieved goals stand still: the set's keys are mixed up"
    yield from _array_faults("rewards", episode.rewards, (steps,), np.number)
    yield from _array_faults("terminations", episode.terminations, (steps,), np.bool_)
    yield from _array_faults("truncations", episode.truncations, (steps,), np.bool_)
    excess = np.maximum(action_box.low - episode.actions, episode.actions - action_box.high).max(axis=1)
    if excess.max() > ACTION_TOLERANCE:
        step, low, high = int(excess.argmax()), action_box.low.tolist(), action_box.high.tolist()
        yield f"action {step} is {episode.actions[step].tolist()}, outside the action box {low} to {high}"
    early = np.flatnonzero(episode.terminations[:-1])
    if early.size:
        yield f"goes on for {steps - 1 - early[0]} steps after the termination at step {early[0]}"


def _width_faults(episode: EpisodeData, boxes: Mapping[str, Box]) -> Iterator[str]:
    for name, box in boxes.items():
        part = _part(episode.observations, name)
        assert part is not None, "checked before"
        if part.shape[1:] != box.shape:
            yield f"{_label(name)} have the shape {part.shape}; {(len(part), *box.shape)} is needed"


def _stands(positions: np.ndarray) -> bool:
    return bool((positions == positions[:1]).all())


def _label(part: str) -> str:
    return f"observations[{part}]" if part else "observations"


def _part(observations: np.ndarray | Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    if isinstance(observations, Mapping):
        return observations.get(name)
    return None if name else observations


def _array_faults(label: str, array: np.ndarray, shape: tuple[int, ...], kind: type) -> Iterator[str]:
    if array.shape != shape:
        yield f"{label} have the shape {array.shape}; {shape} is needed"
    if not np.issubdtype(array.dtype, kind):
        yield f"{label} are {array.dtype}; {kind.__name__} numbers are needed"
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        row = np.argwhere(~np.isfinite(array))[0][0]
        yield f"{label} hold NaN or infinity at row {row}"
