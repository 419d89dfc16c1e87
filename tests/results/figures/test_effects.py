"""Figures of effects over all tasks, for the effects computed by hand in tests/results/tables/test_effects.py."""

import pytest

from results.figures.effects import EFFECT_PANELS, dose_response, effects_figure
from results.style import ACCENT, label
from results.tables.effects import effects
from tests.results.tables.test_effects import ARMS, frame

DOSED = {**ARMS, "inflated_1": (1.0, 40.0, 10.0, 0.1)}


def test_a_row_per_arm_a_panel_per_quantity_and_a_dot_per_task():
    drawing = effects_figure(effects(frame()))
    panels = dict(zip(EFFECT_PANELS, drawing.figure.axes, strict=True))
    rows = [tick.get_text() for tick in drawing.figure.axes[0].get_yticklabels()]
    assert rows == [label("cql"), label("inflated_0.5")]
    dots = [line for line in panels["offline_score"].lines if line.get_marker() == "o"]
    assert sorted(line.get_xdata()[0] for line in dots) == pytest.approx([-0.4, 0.0, 0.0, 0.0])
    # CQL's score is significantly lower only on the first task.
    filled = [line for line in dots if line.get_markerfacecolor() != "none"]
    assert [line.get_xdata()[0] for line in filled] == pytest.approx([-0.4])
    means = [tick.get_paths()[0].vertices[0][0] for tick in panels["offline_score"].collections]
    assert sorted(means) == pytest.approx([-0.2, 0.0])
    # CQL has no bound rate.
    assert [text.get_text() for text in panels["bound_rate"].texts] == ["n/a"]
    assert set(drawing.numbers["quantity"]) == set(EFFECT_PANELS)
    assert "n = 8 paired runs per task and arm" in drawing.caption


def test_a_single_task_gives_no_figure():
    assert effects_figure(effects(frame(tasks=("first",)))) is None


def test_the_dose_response_starts_at_zero_difference_and_names_the_tasks_that_fall_off():
    runs = frame(arms=DOSED)
    # Regret rises by a half at dose 1 on the first task.
    runs["regret_eval"] = 0.5 * ((runs["arm"] == "inflated_1") & (runs["task"] == "first"))
    # At dose 1 the score is 0.5 lower on the first task and as it was on the second.
    drawing = dose_response(effects(runs), runs)
    score = drawing.figure.axes[2]
    marked = [line for line in score.lines if line.get_color() == ACCENT]
    assert list(marked[0].get_xdata()) == [0.0, 0.5, 1.0]
    assert list(marked[0].get_ydata()) == pytest.approx([0.0, 0.0, -0.5])
    assert list(score.get_xticks()) == [0.0, 0.5, 1.0]
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == ["first", "other tasks", "median over tasks"]
    (median,) = [line for line in score.lines if line.get_linewidth() == 1.6]
    assert list(median.get_ydata()) == pytest.approx([0.0, 0.0, -0.25])
    pooled = drawing.numbers[(drawing.numbers["task"] == "") & (drawing.numbers["quantity"] == "q_uniform")]
    assert list(pooled["mean"]) == pytest.approx([0.25, 0.6])


def test_a_single_dose_gives_no_figure():
    assert dose_response(effects(frame()), frame()) is None
