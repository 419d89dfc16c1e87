"""The table of transitions and how batches are sampled from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.training.streams import UpdateStreams
from harness.training.transitions import DeviceCopy, Transitions, trajectory_numbers
from tests.support.packs import TINY
from tests.support.trajectories import dataset, trajectory


def table(runs=2, capacity=10):
    """Dataset states 0, 1, 2 (terminal after 2) and 10, 11; columns are the state and 100 + the state."""
    transitions = Transitions(dataset(trajectory(0, 3), trajectory(10, 2, terminated=False)), runs, capacity)
    states = transitions.dataset_states[:, 0]
    transitions.return_to_go[:, :5] = states
    transitions.floor[:, :5] = 100 + states
    return transitions


def test_the_last_step_of_an_episode_has_its_final_state_as_next_state():
    batch = table(runs=1).batch(np.array([[0.0, 0.2, 0.4, 0.6, 0.8]]), from_dataset=5)
    assert batch.states[0, :, 0].tolist() == [0, 1, 2, 10, 11]
    assert batch.next_states[0, :, 0].tolist() == [1, 2, 3, 11, 12]
    assert batch.actions[0, :, 0].tolist() == [0, -1, -2, -10, -11]
    assert batch.rewards[0].tolist() == [-1, -1, 0, -1, -1]
    assert batch.terminals[0].tolist() == [0, 0, 1, 0, 0]
    assert batch.floor[0].tolist() == [100, 101, 102, 110, 111]


def test_online_rows_are_separate_per_run():
    transitions = table()
    for run, start in ((0, 50), (1, 70)):
        returns = torch.arange(2.0) + start
        transitions.append(run, trajectory(start, 2), returns, returns + 100)
    transitions.append(1, trajectory(80, 1), torch.tensor([80.0]), torch.tensor([180.0]))
    batch = transitions.batch(np.array([[0.0, 0.99, 0.0, 0.99], [0.0, 0.99, 0.0, 0.99]]), from_dataset=2)
    assert batch.states[..., 0].tolist() == [[0, 11, 50, 51], [0, 11, 70, 80]]
    assert batch.return_to_go.tolist() == [[0, 11, 50, 51], [0, 11, 70, 80]]
    assert batch.floor.tolist() == [[100, 111, 150, 151], [100, 111, 170, 180]]


def test_without_finished_episodes_batches_come_from_the_dataset():
    transitions = table()
    transitions.append(1, trajectory(70, 2), torch.zeros(2), torch.zeros(2))
    batch = transitions.batch(np.array([[0.0, 0.99], [0.0, 0.99]]), from_dataset=1)
    assert batch.states[..., 0].tolist() == [[0, 11], [0, 71]]


def test_batches_can_be_sampled_from_dataset_and_online_transitions():
    transitions = table()
    transitions.append(1, trajectory(70, 3), torch.zeros(3), torch.zeros(3))
    batch = transitions.batch(np.array([[0.0, 0.5, 0.99], [0.0, 0.5, 0.99]]), from_dataset=None)
    # Of 5 transitions, and of 5 + 3.
    assert batch.states[..., 0].tolist() == [[0, 2, 11], [0, 11, 72]]


@pytest.mark.parametrize("from_dataset", [4, 3, None])
def test_the_copy_on_a_device_draws_the_batches_of_the_cpu(from_dataset):
    """Before and after episodes have been added, in the middle of a block of updates."""
    settings = replace(TINY, batch_size=4, kernel="cuda")
    transitions = table()
    copy, streams = (
        DeviceCopy(transitions, [3, 8], settings, torch.device("cpu")),
        UpdateStreams([3, 8], settings, transitions.action_dim),
    )
    for update in range(30, 35):
        if update in (31, 33):
            transitions.append(1, trajectory(10 * update, 3), torch.zeros(3), torch.arange(3.0))
        if update == 34:
            transitions.floor[:] = -torch.inf
            copy.forget_floors()
        words, noise = streams.at(update)
        replay = copy.prepare(from_dataset)
        replay.go_to(update)
        replay.draw()
        batch, drawn = replay.take()
        replay.passed(1)
        expected = transitions.batch(words, from_dataset)
        for name in ("states", "actions", "rewards", "next_states", "terminals", "floor"):
            assert torch.equal(getattr(batch, name), getattr(expected, name)), (update, name)
        assert all(torch.equal(values, getattr(noise, name)) for name, values in vars(drawn).items())
    assert (batch.states[1] >= 300).any() == (from_dataset != 4)


def test_trajectory_numbers():
    assert trajectory_numbers(np.array([3, 2])).tolist() == [0, 0, 0, 1, 1]
