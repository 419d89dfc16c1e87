"""The metric schema covers what runs record."""

import json
from pathlib import Path

import pytest
import torch

from harness.metrics import CALIBRATION, EVALUATION, LEARNED_FLOOR, METRICS, SUMMARY, TRUTH, names
from harness.settings import Schedule
from harness.training.calibration import calibration_shares
from harness.training.evaluation import summarise

GOLDEN = Path(__file__).parent / "training" / "golden_runs"

# Columns of metrics.jsonl with the position of the run, and numbers of done.json that are not metrics.
POSITION = {"phase", "offline_step", "online_step"}


def golden_rows(name):
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


@pytest.mark.parametrize("name", sorted(file.name for file in GOLDEN.glob("*.jsonl")))
def test_evaluation_metrics_are_the_columns_of_metrics_jsonl(name):
    assert set(golden_rows(name)[-1]) - POSITION == set(names(EVALUATION))


def test_calibration_metrics_are_the_shares_that_are_counted():
    shares = calibration_shares(*torch.zeros(3, 4))
    assert set(shares) == set(names(CALIBRATION))
    assert not set(names(CALIBRATION)) & set(names(EVALUATION))


def test_summary_metrics_are_the_numbers_of_a_summary():
    summary = summarise(golden_rows("cql.fused.jsonl"), Schedule(dense_steps=300))
    assert set(summary) - {"recovered"} == set(names(SUMMARY))


def test_names_are_unique_and_values_lie_in_their_range():
    every = (*EVALUATION, *SUMMARY)
    assert len({metric.name for metric in every}) == len(every)
    assert set(TRUTH) <= set(METRICS)
    for row in golden_rows("monte_carlo.fused.jsonl"):
        for name, value in row.items():
            if name in METRICS and value is not None:
                assert METRICS[name].low <= value <= METRICS[name].high, name


def test_axis_labels_say_which_direction_is_better():
    assert METRICS["regret_eval"].axis_label == "regret_eval\n(left is better)"
    assert METRICS["final_score"].axis_label == "Score, online end\n(right is better)"
    assert METRICS["q_policy"].axis_label == "Q of the policy"
    assert names(LEARNED_FLOOR, "share") == ("held_out_r2",)
