"""Environments of a task that are stepped together: in this process, or divided among processes."""

import errno
import multiprocessing
import pickle
import signal
import time
import traceback
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from harness.environments.environment import Environment
from harness.errors import one_line
from harness.settings import Task

# Errors of environments by place.
Errors = dict[int, Exception]


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


class Stepper:
    """Environments of one process, made at the first reset of their place, and their rows of `records`."""

    def __init__(self, task: Task, records: Records, prototype: Environment | None = None):
        self._task, self._records, self._prototype = task, records, prototype
        self._environments: dict[int, Environment] = {}

    def reset(self, places: Sequence[int], seeds: Sequence[int]) -> Errors:
        """Start the episodes of these seeds; returns what the environments have raised."""
        errors: Errors = {}
        for place, seed in zip(places, seeds, strict=True):
            try:
                self._records.observations[place] = self._at(place).reset(seed)
            except Exception as error:
                errors[place] = error
        return errors

    def step(self, places: Sequence[int]) -> Errors:
        """Take the recorded actions; returns what the environments have raised."""
        errors: Errors = {}
        records, actions, observations = self._records, self._records.actions, self._records.observations
        rewards, terminated, truncated = records.rewards, records.terminated, records.truncated
        for place in places:
            environment = self._environments[place]
            try:
                observation, reward, terminal, cut = environment.step(actions[place])
            except Exception as error:
                errors[place] = error
                continue
            observations[place], rewards[place], terminated[place], truncated[place] = (
                observation,
                reward,
                terminal,
                cut,
            )
            if terminal or cut:
                records.scores[place], records.success[place] = environment.score, environment.success
        return errors

    def _at(self, place: int) -> Environment:
        if place not in self._environments:
            if self._prototype is None:
                self._prototype = Environment(self._task)
            self._environments[place] = self._prototype.twin()
        return self._environments[place]


class Environments:
    """Environments of a task at P places. With several processes, place p belongs to process p modulo their number.

    An episode depends on its seed and actions only, so that processes change no bit. They start with the object and end
    with it. If one is killed, an `OSError` is raised that leaves runs interrupted (`is_of_place`).

    Attributes:
        records: what the environments have done last.
        processes: their number; 1: this one.
        used: processor time in seconds of every process so far; empty if it is this one.
    """

    def __init__(self, task: Task, places: int, processes: int = 1):
        prototype = Environment(task)
        self.observation_dim, self.action_dim = prototype.observation_dim, prototype.action_dim
        shape = places, self.observation_dim, self.action_dim
        self.processes = max(1, min(processes, places))
        self.used: list[float] = []
        self._connections: list[Connection] = []
        if self.processes == 1:
            self.records = Records(*shape)
            self._stepper = Stepper(task, self.records, prototype)
            return
        context = multiprocessing.get_context("spawn")
        memory = context.RawArray("b", Records.size_of(*shape))
        self.records = Records(*shape, memory)
        self._started: list[BaseProcess] = []
        for _ in range(self.processes):
            connection, other = context.Pipe()
            process = context.Process(target=serve, args=(other, task, memory, shape), daemon=True)
            process.start()
            other.close()
            self._connections.append(connection)
            self._started.append(process)
        self.used = [0.0] * self.processes
        self.close = weakref.finalize(self, _end, self._connections, self._started)

    def reset(self, places: Sequence[int], seeds: Sequence[int]) -> Errors:
        """Start the episodes of these seeds; returns what the environments have raised, by place."""
        if not self._connections:
            return self._stepper.reset(places, seeds)
        return self._exchange("reset", places, seeds)

    def step(self, places: Sequence[int], actions: np.ndarray) -> Errors:
        """Take actions [K, A] at K places; returns what the environments have raised, by place."""
        self.records.actions[places] = actions
        return self._stepper.step(places) if not self._connections else self._exchange("step", places)

    def at(self, place: int) -> "Place":
        """The environment at a place."""
        return Place(self, place)

    def _exchange(self, name: str, *columns: Sequence[int]) -> Errors:
        count = len(self._connections)
        shares: list[list[tuple[int, ...]]] = [[] for _ in range(count)]
        for row in zip(*columns, strict=True):
            shares[row[0] % count].append(row)
        busy = [(number, connection) for number, connection in enumerate(self._connections) if shares[number]]
        errors: Errors = {}
        try:
            for number, connection in busy:
                connection.send((name, *zip(*shares[number], strict=True)))
            for number, connection in busy:
                raised, self.used[number] = connection.recv()
                errors |= raised
        except (EOFError, ConnectionError):
            self.close()
            reason = "a process that steps them was killed (out of memory?)"
            raise ChildProcessError(errno.ECHILD, reason, "environments") from None
        return errors


class Place:
    """One of the environments, with the interface of `Environment`; errors are raised."""

    def __init__(self, environments: Environments, place: int):
        self._environments, self.place = environments, place

    def reset(self, seed: int) -> np.ndarray:
        """See `Environment.reset`."""
        self._raise(self._environments.reset([self.place], [seed]))
        return self._environments.records.observations[self.place].copy()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """See `Environment.step`."""
        self._raise(self._environments.step([self.place], action[None]))
        return self.last()

    def last(self) -> tuple[np.ndarray, float, bool, bool]:
        """What the last step returned."""
        place, records = self.place, self._environments.records
        ends = bool(records.terminated[place]), bool(records.truncated[place])
        return records.observations[place].copy(), float(records.rewards[place]), *ends

    @property
    def success(self) -> bool:
        """Whether the episode that has ended was a success."""
        return bool(self._environments.records.success[self.place])

    def _raise(self, errors: Errors) -> None:
        for error in errors.values():
            raise error


def serve(connection: Connection, task: Task, memory: Any, shape: tuple[int, int, int]) -> None:
    """Step environments on request until the other end of the connection is closed.

    Signals are left to the process that asks: it finishes a step before it stops.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    stepper = Stepper(task, Records(*shape, memory))
    while True:
        try:
            name, *arguments = connection.recv()
            errors = getattr(stepper, name)(*arguments)
            raised = {place: portable(error) for place, error in errors.items()}
            connection.send((raised, time.process_time()))
        except (EOFError, ConnectionError):
            return


def portable(error: Exception) -> Exception:
    """An error that can be sent to another process, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        substitute = RuntimeError(one_line(error))
        substitute.add_note(error.__notes__[-1])
        return substitute
    return error


def _end(connections: Sequence[Connection], processes: Sequence[BaseProcess]) -> None:
    """End processes: they leave when their connection is closed."""
    for connection in connections:
        connection.close()
    for process in processes:
        process.join(timeout=5.0)
        process.kill()
