"""Regret, dip and recovery, worked by hand."""

import numpy as np
import pytest

from harness.settings import Schedule
from harness.training.evaluation import dip, recovery_steps, regret_eval, regret_train, summarise

STEPS = np.array([0, 100, 200, 400])


def test_regret_weights_evaluations_by_steps():
    # Areas 100 * 0.75, 100 * 0.5, 200 * 0.75 = 275 of 400.
    assert regret_eval(STEPS, np.array([1.0, 0.5, 0.5, 1.0])) == pytest.approx(1 - 275 / 400)
    assert regret_eval(STEPS[:1], np.array([1.0])) is None


def test_regret_of_training_counts_episodes():
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


def test_the_summary_of_a_run():
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
