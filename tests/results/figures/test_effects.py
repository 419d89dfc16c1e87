"""Figures of effects over all tasks, for the effects computed by hand in tests/results/tables/test_effects.py."""

import pytest

from results.figures.effects import EFFECT_PANELS, dose_response, effects_figure
from results.style import label
from results.tables.effects import effects
from tests.results.tables.test_effects import ARMS, frame

DOSED = {**ARMS, "inflated_1": (1.0, 40.0, 10.0, 0.1)}


def test_a_row_per_arm_a_panel_per_quantity_and_a_dot_per_task():
    drawing = effects_figure(effects(frame()))
    panels = dict(zip(EFFECT_PANELS, drawing.figure.axes, strict=True))
    rows = [tick.get_text() for tick in drawing.figure.axes[0].get_yticklabels()]
    assert rows == [label("cql"), label("inflated_0.5")]
    dots = [line for line in panels["offline_score"].lines if line.get_marker() == "o"]
    small = sorted(line.get_xdata()[0] for line in dots if line.get_markersize() < 3)
    assert small == pytest.approx([-0.4, 0.0, 0.0, 0.0])
    # CQL's score is significantly lower only on the first task.
    filled = [line for line in dots if line.get_markersize() < 3 and line.get_markerfacecolor() != "none"]
    assert [line.get_xdata()[0] for line in filled] == pytest.approx([-0.4])
    assert sorted(line.get_xdata()[0] for line in dots if line.get_markersize() > 3) == pytest.approx([-0.2, 0.0])
    assert set(drawing.numbers["quantity"]) == set(EFFECT_PANELS)
    assert "n = 8 paired runs per task and arm" in drawing.caption


def test_a_single_task_gives_no_figure():
    assert effects_figure(effects(frame(tasks=("first",)))) is None


def test_the_dose_response_starts_at_zero_difference():
    runs = frame(arms=DOSED)
    drawing = dose_response(effects(runs), runs)
    score = drawing.figure.axes[2]
    thick = [line for line in score.lines if line.get_marker() == "o"]
    assert list(thick[0].get_xdata()) == [0.0, 0.5, 1.0]
    # At dose 1 the score is 0.5 lower on the first task and as it was on the second.
    assert list(thick[0].get_ydata()) == pytest.approx([0.0, 0.0, -0.25])
    pooled = drawing.numbers[(drawing.numbers["task"] == "") & (drawing.numbers["quantity"] == "q_uniform")]
    assert list(pooled["mean"]) == pytest.approx([0.25, 0.6])


def test_a_single_dose_gives_no_figure():
    assert dose_response(effects(frame()), frame()) is None
