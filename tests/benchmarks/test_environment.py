"""Environment steps, and the evaluation of a pack."""

import time

import numpy as np
import pytest

from harness.data.dataset import ensure_dataset, load_dataset
from harness.environments.environment import Environment
from harness.tasks.registry import base_run
from harness.training.evaluation import Evaluator
from harness.training.transitions import Transitions
from tests.benchmarks.shapes import SHAPES, prepare

pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.mark.parametrize("task", ["pointmaze-medium", "winding-road"])
def test_environment_step(meter, task):
    environment = Environment(base_run(task, "demo", 0).task)
    environment.reset(0)
    actions = iter(np.random.default_rng(0).uniform(-1, 1, (40_000, environment.action_dim)).astype(np.float32))

    def step():
        _, _, terminated, truncated = environment.step(next(actions))
        if terminated or truncated:
            environment.reset(0)

    meter.measure(step)


@pytest.mark.parametrize("runs", [1, 4])
def test_evaluation(meter, runs):
    """All evaluation episodes of a pack, and the values on the probe states."""
    seeds = [base_run("pointmaze-medium", "demo", seed) for seed in range(runs)]
    ensure_dataset(seeds[0].task)
    transitions = Transitions(load_dataset(seeds[0].task), runs, 0)
    transitions.floor.zero_()
    transitions.return_to_go.zero_()
    evaluator, learner = Evaluator(seeds, transitions), prepare(SHAPES["64x2"], runs, "fused").learner
    rows = meter.measure(lambda: evaluator.evaluate(learner, range(runs)))
    assert len(rows) == runs
