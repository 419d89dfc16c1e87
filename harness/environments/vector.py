"""What environments stepped together have done last; environments whose dynamics take arrays, stepped with one call."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from harness.settings import Task

# Errors of environments by place.
Errors = dict[int, Exception]

# Some places: numbers, or a slice, which NumPy indexes several times faster.
Places = np.ndarray | slice


class Records:
    """What the environments at P places have done last, a row per place, in one block of memory.

    Attributes:
        actions: [P, A] float32, what is done next.
        observations: [P, S] float32.
        rewards: [P] float64, mapped.
        terminated, truncated: [P] bool.
        scores, success: [P] float64 and bool; of the last finished episode.
    """

    def __init__(self, places: int, observation_dim: int, action_dim: int, memory: Any = None):
        """`memory`: a buffer of `size_of` bytes that processes share; None: memory of this process."""
        buffer = bytearray(self.size_of(places, observation_dim, action_dim)) if memory is None else memory
        self._offset = 0

        def column(kind: Any, *shape: int) -> np.ndarray:
            count = int(np.prod(shape))
            values = np.frombuffer(buffer, kind, count, self._offset).reshape(shape)
            self._offset += values.nbytes
            return values

        # In descending order of alignment.
        self.rewards, self.scores = column(np.float64, places), column(np.float64, places)
        self.observations = column(np.float32, places, observation_dim)
        self.actions = column(np.float32, places, action_dim)
        self.terminated, self.truncated = column(np.bool_, places), column(np.bool_, places)
        self.success = column(np.bool_, places)

    @staticmethod
    def size_of(places: int, observation_dim: int, action_dim: int) -> int:
        """Bytes of the records of P places."""
        return places * (2 * 8 + 4 * (observation_dim + action_dim) + 3)


class Dynamics(Protocol):
    """The dynamics at P places. An episode depends on its seed and actions only.

    Attributes:
        low, high: limits of actions.
    """

    low: float
    high: float

    def reset(self, place: int, seed: int) -> None:
        """Start the episode of a seed."""

    def observe(self, places: Places) -> np.ndarray:
        """The present observations [K, S]."""

    def step(self, places: Places, actions: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take actions [K, A] as step number `steps` [K] of the episodes.

        Returns the task's rewards, float64 [K], and whether the episodes have ended, successfully, bool [K].
        """


class VectorEnvironment:
    """Environments at P places, whose episodes are those of `Environment`, with the interface of `Stepper`."""

    def __init__(self, task: Task, records: Records, dynamics: Dynamics):
        places = len(records.rewards)
        self._task, self._records, self._dynamics = task, records, dynamics
        self._steps = np.zeros(places, np.int64)
        self._returns = np.zeros(places)
        self._over = np.ones(places, np.bool_)

    def reset(self, places: Sequence[int], seeds: Sequence[int]) -> Errors:
        """Start the episodes of these seeds; returns no errors."""
        if not len(places):
            return {}
        for place, seed in zip(places, seeds, strict=True):
            self._dynamics.reset(place, seed)
        index = indices(places)
        self._steps[index], self._returns[index], self._over[index] = 0, 0.0, False
        self._records.observations[index] = self._dynamics.observe(index)
        return {}

    def step(self, places: Sequence[int]) -> Errors:
        """Take the recorded actions; returns an error for every place without an episode in progress."""
        errors: Errors = {}
        index = indices(places)
        if self._over[index].any():
            message = "no episode in progress: call reset first"
            errors = {place: RuntimeError(message) for place in places if self._over[place]}
            index = np.array([place for place in places if place not in errors], np.int64)
        task, records, dynamics = self._task, self._records, self._dynamics
        actions = np.minimum(np.maximum(records.actions[index], dynamics.low), dynamics.high)
        rewards, success = dynamics.step(index, actions, self._steps[index])
        records.observations[index] = dynamics.observe(index)
        terminated = success
        if task.success_reward is not None:
            success = rewards >= task.success_reward
            terminated = terminated | success
        self._steps[index] += 1
        truncated = self._steps[index] >= task.horizon
        records.rewards[index] = rewards * task.reward_scale + task.reward_bias
        records.terminated[index], records.truncated[index] = terminated, truncated
        self._over[index] = over = terminated | truncated
        if task.reference_returns is not None:
            self._returns[index] += rewards
        if over.any():
            # Successes end an episode, so that its score is the last one.
            zero, one = task.reference_returns or (0.0, 1.0)
            records.success[index] = success
            scores = success if task.reference_returns is None else (self._returns[index] - zero) / (one - zero)
            records.scores[index] = scores
        return errors


def indices(places: Sequence[int]) -> Places:
    """The index of some places, ascending; a slice if all from the first to the last are among them."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return np.asarray(places, np.int64)
