"""The change of the score in the online phase, against values worked by hand."""

from math import isnan

import pandas as pd
import pytest

from results.frame.per_run import COLUMNS, online_phase, training_scores


def evaluations(**runs: dict[int, float]) -> pd.DataFrame:
    """Evaluations of runs: score by step."""
    rows = [(run, step, score) for run, scores in runs.items() for step, score in scores.items()]
    return pd.DataFrame(rows, columns=["run", "step", "score"])


def test_the_change_is_against_the_last_two_offline_evaluations():
    table = online_phase(evaluations(a={-200: 0.1, -100: 0.7, 0: 0.9, 100: 0.6, 200: 0.8, 400: 0.9}))
    assert list(table.columns) == list(COLUMNS)
    row = table.loc["a"]
    assert row["baseline_score"] == pytest.approx(0.8)
    # (0.6 + 0.8 + 0.9) / 3 - 0.8
    assert row["online_change"] == pytest.approx(-1 / 30)
    # Depths 0, 0.2, 0, 0 at steps 0, 100, 200, 400: (10 + 10) / 400.
    assert row["area_below"] == pytest.approx(0.05)


def test_a_rise_is_positive_and_has_no_area_below():
    row = online_phase(evaluations(a={-100: 0.5, 0: 0.5, 10: 1.0})).loc["a"]
    assert (row["online_change"], row["area_below"]) == (0.5, 0.0)


def test_a_single_offline_evaluation_is_the_baseline():
    row = online_phase(evaluations(a={0: 0.2, 10: 0.1})).loc["a"]
    assert row["baseline_score"] == 0.2
    assert row["online_change"] == pytest.approx(-0.1)


def test_without_an_online_phase_there_is_no_change():
    table = online_phase(evaluations(offline={-10: 0.4, 0: 0.6}, both={0: 0.5, 10: 0.5}))
    assert table.loc["offline", "baseline_score"] == 0.5
    assert isnan(table.loc["offline", "online_change"])
    assert isnan(table.loc["offline", "area_below"])
    assert table.loc["both", "online_change"] == 0.0


def test_the_order_of_rows_does_not_matter():
    frame = evaluations(a={-10: 0.4, 0: 0.6, 10: 0.3, 20: 0.5}, b={0: 1.0, 10: 0.0})
    pd.testing.assert_frame_equal(online_phase(frame), online_phase(frame.iloc[::-1]))


def test_without_finished_runs_the_table_is_empty():
    table = online_phase(evaluations())
    assert (list(table.columns), len(table)) == (list(COLUMNS), 0)


def test_training_scores_count_the_episodes_since_the_previous_evaluation():
    rows = pd.DataFrame(
        [("b", 10, 4, 1), ("a", 20, 4, 3), ("a", 0, 0, 0), ("a", 10, 2, 2), ("a", 30, 4, 3), ("b", 0, 0, 0)],
        columns=["run", "step", "train_episodes", "train_successes"],
    )
    scores = training_scores(rows)
    # Run a: none before the switch, 2 of 2, then 1 of 2, then none has finished.
    assert scores[[0, 1, 3]].tolist() == [0.25, 0.5, 1.0]
    assert scores[[2, 4, 5]].isna().all()
