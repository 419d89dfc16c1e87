"""What a dataset must fulfil before anything is computed from it: whole, finite episodes that fit their task."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from gymnasium.spaces import Box
from minari import EpisodeData

from harness.environments.environment import gymnasium_environment, observation_parts
from harness.errors import UserError
from harness.settings import Task

# Actions may lie this far outside the action box: the rounding of another float type.
ACTION_TOLERANCE = 1e-6


def check_episodes(dataset_id: str, episodes: Iterable[EpisodeData], task: Task) -> None:
    """Refuse a dataset that would train on wrong numbers.

    Args:
        dataset_id: the name that errors start with.
        episodes: as Minari gives them, T + 1 observations to T actions, rewards, terminations and truncations.
        task: tells the environment whose boxes the arrays must fit, and whether episodes end at a goal.

    Raises:
        UserError: one line that names the dataset, the first faulty episode and its fault.
    """
    environment = gymnasium_environment(task)
    boxes, action_box = observation_parts(environment.observation_space), cast(Box, environment.action_space)
    environment.close()
    terminates = []
    for episode in episodes:
        fault = next(_faults(episode, boxes, action_box), None)
        if fault is not None:
            raise UserError(f"dataset {dataset_id}: episode {episode.id}: {fault}")
        terminates.append(bool(episode.terminations[-1]))
    if not terminates:
        raise UserError(f"dataset {dataset_id}: is empty; at least one episode is needed")
    if task.failure_reward is not None and not any(terminates):
        raise UserError(
            f"dataset {dataset_id}: no episode terminates: task {task.name} ends at its goal, so an episode that "
            "reaches the goal must end with a termination, not a truncation"
        )


def _faults(episode: EpisodeData, boxes: Mapping[str, Box], action_box: Box) -> Iterator[str]:
    """What is wrong with an episode; each check relies on those before it, so only the first fault counts."""
    steps = len(episode.actions)
    if steps == 0:
        yield "has no steps; at least one is needed"
    yield from _array_faults("actions", episode.actions, (steps, *action_box.shape), np.floating)
    for name, box in boxes.items():
        label = f"observations[{name}]" if name else "observations"
        part = _part(episode.observations, name)
        if part is None:
            yield f"{label} are missing"
            return
        if len(part) == steps:
            yield f"has {steps} {label} for {steps} actions; {steps + 1} are needed, the last one after the last action"
        yield from _array_faults(label, part, (steps + 1, *box.shape), np.floating)
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
