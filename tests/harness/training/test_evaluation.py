"""Evaluation with hand-made networks, reproducible episodes, and run summaries computed by hand."""

import numpy as np
import pytest
import torch

from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.data.dataset import ensure_dataset
from harness.environments.families import exact_values
from harness.metrics import TRUTH
from harness.settings import Run, Schedule, with_settings
from harness.training.evaluation import (
    UNIFORM_ACTIONS,
    Evaluator,
    dip,
    recovery_steps,
    regret_eval,
    regret_train,
    summarise,
)
from harness.training.floor_columns import FloorColumns
from harness.training.streams import generator, normal_source
from harness.training.transitions import Transitions

SCHEDULE = Schedule(evaluation_episodes=2, probe_states=50)
SETTINGS = AlgorithmSettings(policy_hidden=(8,), critic_hidden=(8,))


@pytest.fixture(scope="module")
def pack(tiny_task):
    """An evaluator of a CQL and a Cal-QL run whose critics have the values 3 and 5 everywhere."""
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


def test_calibrated_first_states_are_counted_on_request(pack):
    """Q is 4 everywhere, and all returns are negative."""
    evaluator, learner = pack
    assert "calibrated_share" not in evaluator.evaluate(learner, [0])[0]
    counting = Evaluator(evaluator.runs, evaluator._transitions, lambda states: torch.full((len(states),), 5.0))
    row = counting.evaluate(learner, [0])[0]
    assert (row["calibrated_share"], row["below_behaviour_share"], row["above_policy_share"]) == (0.0, 1.0, 1.0)
    without = evaluator.evaluate(learner, [0])[0]
    assert {name: value for name, value in row.items() if name in without} == without


def test_values_are_means_of_the_critics_compared_with_floor_and_return(pack):
    evaluator, learner = pack
    cql, calibrated = evaluator.evaluate(learner, [0, 1])
    for row in (cql, calibrated):
        assert row["q_data"] == row["q_policy"] == row["q_uniform"] == 4.0
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


def test_a_policy_that_does_not_move_never_succeeds(pack, tiny_task):
    evaluator, learner = pack
    learner.policy_parameters.flat.zero_()
    row, _ = evaluator.evaluate(learner, [0, 1])
    assert row["score"] == 0.0
    assert row["episode_length"] == tiny_task.horizon
    assert row["episode_return"] == -tiny_task.horizon
    # Q is 4, the failure has the value -1 / (1 - 0.99).
    assert row["calibration_policy"] == pytest.approx(4.0 + 100.0, rel=1e-5)


def test_evaluations_are_reproducible_and_shared_by_arms(pack):
    evaluator, learner = pack
    first = evaluator.evaluate(learner, [0, 1])
    assert evaluator.evaluate(learner, [0, 1]) == first
    assert first[0]["episode_return"] == first[1]["episode_return"]


def test_only_active_runs_are_evaluated(pack):
    evaluator, learner = pack
    assert evaluator.evaluate(learner, [1])[0] == {}


def test_without_exact_values_their_columns_are_missing(pack):
    evaluator, learner = pack
    row, _ = evaluator.evaluate(learner, [0, 1])
    assert [row[name] for name in TRUTH] == [None] * len(TRUTH)


@pytest.fixture
def road_pack(road_task):
    """A CQL and a Cal-QL run on the road: critics are -3 and -5 everywhere, policies head straight on."""
    runs = [
        with_settings(Run(road_task, "arm", 4, algorithm=SETTINGS, schedule=SCHEDULE), {"floor.base": base})
        for base in ("none", "monte_carlo")
    ]
    data = ensure_dataset(road_task)
    transitions = Transitions(data, 2, 0)
    FloorColumns(runs, data, transitions)
    learner = Learner([SETTINGS] * 2, 1, 1, [0.99] * 2, [normal_source(generator(4, "init")) for _ in runs])
    learner.critic_parameters["output_weight"].zero_()
    learner.critic_parameters["output_bias"][:, 0, 0] = torch.tensor([-3.0, -5.0, -3.0, -5.0])
    learner.policy_parameters.flat.zero_()
    return Evaluator(runs, transitions), learner, transitions


def test_values_are_compared_with_exact_values(road_pack, road_task):
    evaluator, learner, transitions = road_pack
    cql, calibrated = evaluator.evaluate(learner, [0, 1])
    truth = exact_values(road_task)
    probes = generator(4, "probe").integers(transitions.offline, size=SCHEDULE.probe_states)
    states = transitions.dataset_states[probes].double().numpy()
    behaviour, optimal = truth.behaviour(states), truth.optimal(states)
    straight = truth.of_policy(np.zeros_like, states)
    errors = transitions.return_to_go[1, probes].numpy() - behaviour
    for row in (cql, calibrated):
        assert row["calibration_exact"] == pytest.approx(-4.0 - behaviour.mean(), rel=1e-5)
        assert row["overestimation_exact"] == pytest.approx(-4.0 - straight.mean(), rel=1e-5)
        assert row["policy_gap_exact"] == pytest.approx(optimal.mean() - straight.mean(), rel=1e-5)
    assert (cql["floor_error"], cql["floor_rmse"]) == (None, None)
    assert calibrated["floor_error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert calibrated["floor_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)


def test_uniform_actions_have_the_mean_value_of_all_actions_and_are_shared_by_arms(road_pack):
    """Critics that are linear in the action, q = 3 a - 4, have a mean of -4 and a spread of sqrt(3)."""
    evaluator, learner, _ = road_pack
    critic = learner.critic_parameters
    critic.flat.zero_()
    # 3 relu(a) - 3 relu(-a) - 4
    critic["action_weight"][:, 0, :2] = torch.tensor([1.0, -1.0])
    critic["output_weight"][:, 0, :2] = torch.tensor([3.0, -3.0])
    critic["output_bias"][:] = -4.0
    cql, calibrated = evaluator.evaluate(learner, [0, 1])
    assert cql["q_uniform"] == calibrated["q_uniform"]
    standard_error = np.sqrt(3.0 / (SCHEDULE.probe_states * UNIFORM_ACTIONS))
    assert cql["q_uniform"] == pytest.approx(-4.0, abs=4 * standard_error)
    assert cql["q_uniform"] != -4.0


def test_the_gap_vanishes_for_a_policy_along_the_road(road_pack, road_task):
    """A policy network cannot be set to a sine by hand, so the road's own direction acts in its place."""
    evaluator, learner, _ = road_pack
    learner.act = lambda states, run=None: 0.5 * torch.sin(2 * torch.pi * states)
    row, _ = evaluator.evaluate(learner, [0])
    assert row["policy_gap_exact"] == pytest.approx(0.0, abs=1e-4)
    assert row["score"] == 1.0


# Summaries -----------------------------------------------------------------------------------------------------------

STEPS = np.array([0, 100, 200, 400])


def test_regret_eval_weights_evaluations_by_steps():
    # Areas 100 * 0.75, 100 * 0.5, 200 * 0.75 = 275 of 400.
    assert regret_eval(STEPS, np.array([1.0, 0.5, 0.5, 1.0])) == pytest.approx(1 - 275 / 400)
    assert regret_eval(STEPS[:1], np.array([1.0])) is None


def test_regret_train_counts_episodes():
    assert regret_train(8, 6) == 0.25
    assert regret_train(0, 0) is None


def test_the_dip_is_measured_within_its_window():
    scores = np.array([0.75, 0.5, 0.25, 0.0])
    assert dip(STEPS, scores, window=200) == 0.5
    assert dip(STEPS, scores, window=400) == 0.75
    assert dip(STEPS, np.array([0.5, 0.75, 1.0, 1.0]), window=400) == 0.0


def test_recovery_is_the_first_return_after_the_lowest_point():
    assert recovery_steps(STEPS, np.array([0.5, 0.5, 0.0, 0.75]), window=200) == 400
    assert recovery_steps(STEPS, np.array([0.5, 0.0, 0.5, 0.0]), window=200) == 200
    assert recovery_steps(STEPS, np.array([0.5, 0.0, 0.25, 0.25]), window=200) is None
    assert recovery_steps(STEPS, np.array([0.5, 0.75, 1.0, 0.0]), window=200) == 0


def test_summary_of_a_run():
    def row(phase, step, score):
        values = {"q_data": -3.0, "q_policy": -2.0, "return_to_go": -1.0, "train_episodes": 4, "train_successes": 1}
        return {"phase": phase, "online_step": step, "score": score, **values}

    rows = [row("offline", 0, 0.0), row("offline", 0, 0.5), row("online", 100, 0.0), row("online", 200, 1.0)]
    summary = summarise(rows, Schedule(dense_steps=100))
    assert summary["offline_score"] == 0.5
    assert summary["final_score"] == 1.0
    assert summary["dip"] == 0.5
    assert summary["recovery_steps"] == 200
    assert summary["regret_train"] == 0.75
    assert summary["regret_eval"] == pytest.approx(1 - (25 + 50) / 200)
    assert summary["offline_q_data"] == -3.0
