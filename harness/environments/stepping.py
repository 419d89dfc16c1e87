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
from harness.environments.families import WINDING_ROAD
from harness.environments.mazes import PointMazes
from harness.environments.vector import Errors, Records, VectorEnvironment, indices
from harness.environments.winding_road import Roads
from harness.errors import one_line
from harness.settings import Task


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


def stepper(task: Task, records: Records, prototype: Environment | None = None) -> Stepper | VectorEnvironment:
    """What steps the environments of a task in one process."""
    places = len(records.rewards)
    if task.environment == WINDING_ROAD and task.reward == "environment":
        return VectorEnvironment(task, records, Roads(places, task.horizon))
    prototype = prototype or Environment(task)
    if task.reward == "environment" and prototype.point_maze and not prototype.point_maze.is_dense:
        return VectorEnvironment(task, records, PointMazes(places, prototype.point_maze))
    return Stepper(task, records, prototype)


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
            self._stepper = stepper(task, self.records, prototype)
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
        """Start the episodes of these seeds at places, ascending; returns what environments have raised, by place."""
        if not self._connections:
            return self._stepper.reset(places, seeds)
        return self._exchange("reset", places, seeds)

    def step(self, places: Sequence[int], actions: np.ndarray) -> Errors:
        """Take actions [K, A] at K places, ascending; returns what the environments have raised, by place."""
        self.records.actions[indices(places)] = actions
        return self._stepper.step(places) if not self._connections else self._exchange("step", places)

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


def serve(connection: Connection, task: Task, memory: Any, shape: tuple[int, int, int]) -> None:
    """Step environments on request until the other end of the connection is closed.

    Signals are left to the process that asks: it finishes a step before it stops.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    environments = stepper(task, Records(*shape, memory))
    while True:
        try:
            name, *arguments = connection.recv()
            errors = getattr(environments, name)(*arguments)
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
