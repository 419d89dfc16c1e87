"""Evaluation: values against hand-made networks, episodes that depend on the seed alone."""

import pytest
import torch

from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.dataset import ensure_dataset
from harness.evaluation import Evaluator
from harness.floor_columns import FloorColumns
from harness.settings import Run, Schedule, with_settings
from harness.streams import generator, normal_source
from harness.transitions import Transitions

SCHEDULE = Schedule(evaluation_episodes=2, probe_states=50)
SETTINGS = AlgorithmSettings(policy_hidden=(8,), critic_hidden=(8,))


@pytest.fixture(scope="module")
def pack(tiny_task):
    """An evaluator of a CQL and a Cal-QL run whose critics say 3 and 5 everywhere."""
    runs = [
        with_settings(Run(tiny_task, "arm", 4, algorithm=SETTINGS, schedule=SCHEDULE), {"floor.base": base})
        for base in ("none", "monte_carlo")
    ]
    data = ensure_dataset(tiny_task)
    transitions = Transitions(data, 2, 0)
    FloorColumns(runs, data, transitions)
    learner = Learner([SETTINGS] * 2, 6, 2, [0.99] * 2, [normal_source(generator(4, "init")) for _ in runs])
    learner.critic_parameters["output_weight"].zero_()
    learner.critic_parameters["output_bias"][:, 0, 0] = torch.tensor([3.0, 5.0, 3.0, 5.0])
    return Evaluator(runs, transitions), learner


def test_values_are_the_mean_of_the_critics_against_floor_and_return(pack):
    evaluator, learner = pack
    cql, calibrated = evaluator.evaluate(learner, [0, 1])
    for row in (cql, calibrated):
        assert row["q_data"] == row["q_policy"] == 4.0
        assert row["calibration_data"] == pytest.approx(4.0 - row["return_to_go"], rel=1e-5)
        assert row["critic_loss"] is None
    assert cql["floor_mean"] is None
    assert calibrated["floor_mean"] == pytest.approx(calibrated["return_to_go"])
    # Returns of the task are negative, so nothing lies below a floor.
    assert calibrated["below_floor"] == 0.0
    learner.critic_parameters["output_bias"][:] = -200.0
    cql, calibrated = evaluator.evaluate(learner, [0, 1])
    learner.critic_parameters["output_bias"][:, 0, 0] = torch.tensor([3.0, 5.0, 3.0, 5.0])
    assert (cql["below_floor"], calibrated["below_floor"]) == (0.0, 1.0)


def test_a_policy_that_stands_still_fails_for_ever(pack, tiny_task):
    evaluator, learner = pack
    learner.policy_parameters.flat.zero_()
    row, _ = evaluator.evaluate(learner, [0, 1])
    assert row["score"] == 0.0
    assert row["episode_length"] == tiny_task.horizon
    assert row["episode_return"] == -tiny_task.horizon
    # Q says 4, the failure is worth -1 / (1 - 0.99).
    assert row["calibration_policy"] == pytest.approx(4.0 + 100.0, rel=1e-5)


def test_evaluations_repeat_and_are_shared_by_arms(pack):
    evaluator, learner = pack
    first = evaluator.evaluate(learner, [0, 1])
    assert evaluator.evaluate(learner, [0, 1]) == first
    assert first[0]["episode_return"] == first[1]["episode_return"]


def test_only_live_runs_are_looked_at(pack):
    evaluator, learner = pack
    assert evaluator.evaluate(learner, [1])[0] == {}
