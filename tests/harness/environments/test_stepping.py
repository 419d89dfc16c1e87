"""Environments stepped together have the same episodes as alone, in this and in other processes; their errors."""

import os
import pickle
import signal
import weakref
from dataclasses import replace

import numpy as np
import pytest

from harness.environments.environment import Environment
from harness.environments.stepping import Environments, portable
from harness.errors import UserError, is_of_place

SEEDS = [11, 12, 13]


def actions(step, dim):
    return np.random.default_rng(step).uniform(-1, 1, (len(SEEDS), dim)).astype(np.float32)


def alone(task, steps):
    """The results of environments that are stepped one after the other."""
    episodes = []
    for number, seed in enumerate(SEEDS):
        environment = Environment(task)
        first = environment.reset(seed)
        episodes.append([first, *(environment.step(actions(step, environment.action_dim)[number]) for step in steps)])
    return episodes


def last(environments, place):
    """What the last step at a place returned, as `Environment.step` does."""
    records = environments.records
    columns = records.observations, records.rewards, records.terminated, records.truncated
    return tuple(column[place] for column in columns)


def step_ahead(environments, place):
    """Step along the first part of the road; whether the episode ended. Errors are raised."""
    for error in environments.step([place], np.ones((1, 1), np.float32)).values():
        raise error
    return any(last(environments, place)[2:])


def assert_same_episodes(environments, task, steps=range(20)):
    expected = alone(task, steps)
    places = list(range(len(SEEDS)))
    assert environments.reset(places, SEEDS) == {}
    for number in places:
        np.testing.assert_array_equal(environments.records.observations[number], expected[number][0])
    for step in steps:
        assert environments.step(places, actions(step, environments.action_dim)) == {}
        for number in places:
            observation, *others = last(environments, number)
            np.testing.assert_array_equal(observation, expected[number][1 + step][0])
            assert tuple(others) == expected[number][1 + step][1:]


@pytest.fixture(scope="module")
def in_processes(road_task):
    return Environments(road_task, 3, processes=2)


def test_environments_of_a_maze_that_share_a_model_are_independent(tiny_task):
    environments = Environments(tiny_task, 3)
    environments.reset([0, 1, 2], SEEDS)
    models = {id(simulation[0]) for simulation in environments._stepper._dynamics._simulations}
    assert len(models) == 1
    assert_same_episodes(environments, tiny_task)
    assert_same_episodes(environments, tiny_task)


def test_episodes_in_processes_are_the_same(road_task, in_processes):
    assert in_processes.processes == 2
    assert_same_episodes(in_processes, road_task)


def test_processes_report_their_processor_time(road_task, in_processes):
    in_processes.reset([0, 1], SEEDS[:2])
    first = list(in_processes.used)
    assert all(seconds > 0.0 for seconds in first)
    for _ in range(200):
        in_processes.reset([0], SEEDS[:1])
    assert in_processes.used[0] > first[0]
    assert in_processes.used[1] == first[1], "process 1 had nothing to do"
    assert Environments(road_task, 3).used == []


def test_success_and_score_are_those_of_the_finished_episode(road_task, in_processes):
    environment = Environment(road_task)
    environment.reset(5)
    in_processes.reset([1], [5])
    over = False
    while not over:
        over = step_ahead(in_processes, 1)
        assert last(in_processes, 1)[1:] == environment.step(np.ones(1, np.float32))[1:]
    assert in_processes.records.success[1] == environment.success
    assert in_processes.records.scores[1] == environment.score


def test_an_error_names_its_place_and_keeps_its_traceback(road_task, in_processes):
    """A step after the end of an episode."""
    for environments in (in_processes, Environments(road_task, 3)):
        environments.reset([0], [5])
        while not step_ahead(environments, 0):
            pass
        environments.reset([1, 2], SEEDS[1:])
        errors = environments.step([0, 1, 2], actions(0, 1))
        assert list(errors) == [0]
        assert "call reset first" in str(errors[0])
        assert not is_of_place(errors[0])
        with pytest.raises(RuntimeError, match="call reset first"):
            step_ahead(environments, 0)
        environments.reset([0], [5])
    unsupported = Environments(replace(road_task, reward="binary"), 1)
    unsupported.reset([0], [5])
    errors = unsupported.step([0], actions(0, 1)[:1])
    assert "in step" in "".join(in_processes.step([], np.zeros((0, 1))) or portable(errors[0]).__notes__)


def test_a_killed_process_is_no_fault_of_the_runs(road_task):
    environments = Environments(road_task, 2, processes=2)
    environments.reset([0, 1], [1, 2])
    os.kill(environments._started[1].pid, signal.SIGKILL)
    environments._started[1].join()
    with pytest.raises(ChildProcessError, match="was killed") as caught:
        environments.step([0, 1], np.zeros((2, 1), np.float32))
    assert is_of_place(caught.value)


def test_processes_leave_signals_to_their_owner_and_end_with_it(road_task):
    environments = Environments(road_task, 2, processes=2)
    environments.reset([0, 1], [1, 2])
    started, freed = environments._started, weakref.ref(environments)
    for process in started:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
    assert environments.step([0, 1], np.zeros((2, 1), np.float32)) == {}
    del environments
    assert freed() is None
    assert [process.exitcode for process in started] == [0, 0]


class UnportableError(Exception):
    """An error that cannot be unpickled, because its constructor takes other arguments."""

    def __init__(self, where, what):
        super().__init__(f"{where}: {what}")


@pytest.mark.parametrize(("error", "kind"), [
    (UnportableError("arm", "broken"), RuntimeError), (UserError("wrong"), UserError), (OSError(28, "full"), OSError),
])  # fmt: skip
def test_errors_survive_the_way_between_processes(error, kind):
    received = pickle.loads(pickle.dumps(portable(error)))
    assert type(received) is kind
    assert str(error) in str(received)
    assert received.__notes__
