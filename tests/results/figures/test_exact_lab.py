"""The figures of the exact lab: derived numbers, plotted lines and layout."""

import pytest

from results.figures.drawing import write
from results.figures.exact_lab import max_operation, regret_split, switch_data, switch_scale, unlearning
from results.reports.exact import FIGURES
from results.style import COLUMN, PAGE, drawing_style, label
from tests.support import exact_frames
from tests.support.figure_layout import drawn


def test_the_followed_values_lie_on_the_exact_floor():
    drawing = max_operation(exact_frames.max_operation())
    expectation, soft = drawing.figure.axes
    assert [panel.get_title() for panel in (expectation, soft)] == ["Expectation", "Soft maximum"]
    # In the frame the slope is 1 above the floor of -10 and 0 below it; times 1 / (1 + e^-2) in the soft maximum.
    assert drawn(expectation)["Q = \N{MINUS SIGN}7"] == ([-7.0], [1.0])
    assert drawn(expectation)["Q = \N{MINUS SIGN}35"] == ([-35.0], [0.0])
    assert drawn(soft)["Q = \N{MINUS SIGN}7"][1] == [pytest.approx(0.8808, abs=1e-4)]
    assert any(line.get_xdata()[0] == -10 and line.is_dashed() for line in soft.lines)


def test_q_of_both_actions_and_the_value_of_the_greedy_action():
    frame = exact_frames.unlearning()
    drawing = unlearning(frame)
    cql, calql, worth = drawing.figure.axes
    assert [panel.get_title() for panel in (cql, calql, worth)] == ["CQL", "Cal-QL", "Greedy action"]
    assert drawn(cql)["good action"][1][0] == -35
    assert drawn(calql)["good action"][1][0] == -2
    assert min(drawn(worth)["CQL"][1]) == -10
    assert set(drawn(worth)["Cal-QL"][1]) == {-5.0}
    assert cql.get_ylim() == calql.get_ylim()


def test_thresholds_are_drawn_for_cql_only():
    cql, cal_ql = switch_data(exact_frames.switch_data()).figure.axes
    vertical = [[line for line in panel.lines if len(set(line.get_xdata())) == 1] for panel in (cql, cal_ql)]
    assert [line.get_xdata()[0] for line in vertical[0]] == [1 / 40, 5 / 40, 20 / 40]
    assert vertical[1] == []
    assert set(drawn(cql)["alpha 20"][1]) == {0.0, 60.0}
    assert set(drawn(cql)["regulariser off, any alpha"][1]) == {0.0}


def test_every_share_of_offline_data_has_a_panel_of_all_regularisers():
    panels = switch_scale(exact_frames.switch_scale()).figure.axes
    assert [panel.get_title() for panel in panels] == ["0% offline data", "25% offline data", "50% offline data"]
    assert all(len(panel.lines) == 2 * 3 + 1 for panel in panels)


def test_regret_is_the_sum_of_its_parts_even_below_zero():
    drawing = regret_split(exact_frames.regret_split())
    numbers = drawing.numbers
    assert (numbers["regret"] == numbers["miscalibration"] + numbers["overestimation"]).all()
    assert numbers["overestimation"].min() < 0
    panels = drawing.figure.axes
    assert [panel.get_title() for panel in panels] == [label(arm) for arm in ("cql", "monte_carlo", "inflated_1")]
    assert panels[0].get_ylim()[0] < numbers["overestimation"].min()


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_fits_its_column_and_describes_its_problem(figure, tmp_path):
    frame = exact_frames.frames()[figure.__name__]
    frame.attrs["problem"] = "A chain of six states."
    drawing = figure(frame)
    assert drawing.name == figure.__name__
    assert drawing.caption.endswith(" A chain of six states.")
    assert "exact" in drawing.caption.lower()
    assert drawing.figure.get_figwidth() in (COLUMN, PAGE)
    paths = write(drawing, tmp_path)
    assert all(path.stat().st_size > 0 for path in paths)
    with drawing_style():
        everything, (width, height) = drawing.figure.get_tightbbox(), drawing.figure.get_size_inches()
    # Labels, legends and titles lie inside the page.
    assert min(everything.x0, everything.y0) > -0.01
    assert everything.x1 < width + 0.01
    assert everything.y1 < height + 0.01
    assert all(panel.get_xlabel() or drawing.figure.get_supxlabel() for panel in drawing.figure.axes)
