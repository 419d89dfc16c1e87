"""Everything around the update, at the size of the demo: replay, noise, returns, the fit of a learned floor."""

import time

import numpy as np
import pytest
import torch

from algorithms.floors import return_to_go
from harness.data.dataset import ensure_dataset, load_dataset
from harness.settings import with_settings
from harness.tasks.registry import base_run
from harness.training.floor_columns import FloorColumns
from harness.training.streams import UpdateStreams
from harness.training.transitions import Transitions

pytestmark = pytest.mark.benchmark(timer=time.process_time)
RUN = base_run("pointmaze-medium", "demo", 0)


@pytest.fixture(scope="module")
def dataset():
    ensure_dataset(RUN.task)
    return load_dataset(RUN.task)


@pytest.mark.parametrize("runs", [1, 8, 64])
@pytest.mark.parametrize("online", [0, 1_000, 100_000])
def test_replay_sampling(meter, dataset, runs, online):
    """A batch for every run, half of it online transitions."""
    transitions = Transitions(dataset, runs, online)
    transitions.filled[:] = online
    transitions.online.normal_()
    batch_size = RUN.algorithm.batch_size
    uniform = np.random.default_rng(0).random((runs, batch_size))
    batch = meter.measure(lambda: transitions.batch(uniform, batch_size // 2), case=("64x2", runs, "fused"))
    assert batch.states.shape == (runs, batch_size, dataset.observation_dim)


@pytest.mark.parametrize("runs", [1, 8, 64])
def test_noise(meter, runs):
    """The random numbers of an update, which are drawn in blocks."""
    settings = RUN.algorithm
    streams = UpdateStreams(range(runs), settings, 2)
    update = iter(range(10**9))
    meter.measure(lambda: streams.at(next(update)), case=("64x2", runs, "fused"))


def test_return_to_go(meter, dataset):
    """Return-to-go of the whole dataset."""
    rows = dataset.rows
    columns = [torch.from_numpy(column).split(rows.lengths.tolist()) for column in (rows.rewards, rows.terminated)]
    values = meter.measure(
        lambda: [return_to_go(*trajectory, 0.99, failure_reward=-1.0) for trajectory in zip(*columns, strict=True)]
    )
    assert sum(map(len, values)) == dataset.transitions


def test_learned_floor_fit(meter, dataset):
    """The fit of a value network until its held-out error stops falling."""
    run = with_settings(RUN, {"floor.base": "learned"})
    columns = meter.measure(lambda: FloorColumns([run], dataset, Transitions(dataset, 1, 0), [None]))
    assert columns.fit_reports[0].held_out_r2 > 0.5
