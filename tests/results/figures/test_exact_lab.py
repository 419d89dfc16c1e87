"""The figures of the exact lab: derived numbers, plotted lines and layout."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from results.figures.drawing import write
from results.figures.exact_lab import (
    floor_dose,
    floor_estimators,
    max_operation,
    monte_carlo_bias,
    regret_split,
    switch_data,
    switch_scale,
    truncation,
    unlearning,
)
from results.style import COLUMN, PAGE, drawing_style, label
from tests.support import exact_frames


def drawn(panel) -> dict:
    """The named lines of a panel: name -> (x, y)."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines}


def test_the_followed_values_lie_on_the_exact_floor():
    drawing = max_operation(exact_frames.max_operation())
    expectation, soft = drawing.figure.axes
    assert [panel.get_title() for panel in (expectation, soft)] == ["Expectation", "Soft maximum"]
    # In the frame the slope is 1 above the floor of -10 and 0 below it; times 1 / (1 + e^-2) in the soft maximum.
    assert drawn(expectation)["Q = \N{MINUS SIGN}7"] == ([-7.0], [1.0])
    assert drawn(expectation)["Q = \N{MINUS SIGN}35"] == ([-35.0], [0.0])
    assert drawn(soft)["Q = \N{MINUS SIGN}7"][1] == [pytest.approx(0.8808, abs=1e-4)]
    assert any(line.get_xdata()[0] == -10 and line.is_dashed() for line in soft.lines)


def dose_frame(*rows) -> pd.DataFrame:
    columns = ["dose", "state", "value", "floor", "policy_value", "behaviour_value", "stopping_value"]
    return pd.DataFrame(rows, columns=columns)


def test_shares_over_states_match_hand_computed_values():
    # Dose 0: floors at V_mu. Dose 1: the floor is above V_pi in states a and b; the value only in a: in b it is
    # above by less than the solvers' tolerance.
    frame = dose_frame(
        (0.0, "b", -9.0, -10.0, -5.0, -10.0, -5.0), (0.0, "a", -9.0, -10.0, -5.0, -10.0, -5.0),
        (0.0, "c", -9.0, -10.0, -5.0, -10.0, -5.0), (0.0, "d", -5.0, -10.0, -5.0, -10.0, -5.0),
        (1.0, "b", -5.0 + 1e-8, -4.0, -5.0, -10.0, -4.0), (1.0, "a", -2.0, -2.0, -5.0, -10.0, -2.0),
        (1.0, "c", -5.5, -6.0, -5.0, -10.0, -5.0), (1.0, "d", -5.5, -6.0, -5.0, -10.0, -5.0),
    )  # fmt: skip
    drawing = floor_dose(frame)
    shares = drawing.numbers.groupby("dose")[["infeasible", "over_estimated"]].agg(["min", "max"])
    assert shares.loc[0.0].to_list() == [0.0] * 4
    assert shares.loc[1.0].to_list() == [0.5, 0.5, 0.25, 0.25]
    left, right = drawing.figure.axes
    # The first state of the frame, against the dose.
    assert left.get_ylabel() == "Value in state b (return)"
    assert drawn(left)["floor"] == ([0.0, 1.0], [-10.0, -4.0])
    assert sorted(drawn(right).values()) == [([0.0, 1.0], [0.0, 0.25]), ([0.0, 1.0], [0.0, 0.5])]
    assert "share of the 4 states" in drawing.caption


def test_states_of_several_problems_are_distinguished():
    frame = exact_frames.floor_dose()
    second = frame.assign(value=frame["value"] + 100.0, problem=1)
    drawing = floor_dose(pd.concat([frame.assign(problem=0), second], ignore_index=True))
    left, right = drawing.figure.axes
    assert drawn(left)["floor"][0] == list(frame["dose"].unique())
    # No floor above V_pi at dose 0; of all states those of the second problem are over-estimated.
    assert sorted(line[1][0] for line in drawn(right).values()) == [0.0, 0.5]
    assert "share of the 12 states" in drawing.caption


def test_a_line_per_ratio_and_the_bound_is_half_the_deviation():
    frame = exact_frames.monte_carlo_bias()
    left, right = monte_carlo_bias(frame).figure.axes
    x, bound = drawn(left)["bound: deviation / 2"]
    assert bound == [deviation / 2 for deviation in x]
    assert len(x) == frame["deviation"].nunique()
    assert {"0.5", "1", "2", "4"} <= set(drawn(right))
    assert drawn(right)["2"][1] == frame[frame["ratio"] == 2]["value_shift"].to_list()
    colours = [to_hex(line.get_color()) for line in right.lines if line.get_label() in ("0.5", "1", "2", "4")]
    assert len(set(colours)) == 4


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


def test_estimators_are_drawn_by_state_and_by_lambda():
    states, lambdas = floor_estimators(exact_frames.floor_estimators()).figure.axes
    assert drawn(states)["median"] == (list(range(8)), [0.4] * 8)
    assert drawn(lambdas)["one value per pair of states"][1][-1] == 0.75
    assert lambdas.get_ylim()[0] < 0


def test_the_time_axis_runs_towards_the_cut():
    panel = truncation(exact_frames.truncation()).figure.axes[0]
    assert panel.get_xlim() == (300, 0)
    assert {"failure rule", "sum", "bootstrap"} <= set(drawn(panel))


def test_regret_is_the_sum_of_its_parts_even_below_zero():
    drawing = regret_split(exact_frames.regret_split())
    numbers = drawing.numbers
    assert (numbers["regret"] == numbers["miscalibration"] + numbers["overestimation"]).all()
    assert numbers["overestimation"].min() < 0
    panels = drawing.figure.axes
    assert [panel.get_title() for panel in panels] == [label(arm) for arm in ("cql", "monte_carlo", "inflated_1")]
    assert panels[0].get_ylim()[0] < numbers["overestimation"].min()


@pytest.mark.parametrize(
    "figure",
    [
        max_operation,
        floor_dose,
        monte_carlo_bias,
        unlearning,
        switch_data,
        switch_scale,
        floor_estimators,
        truncation,
        regret_split,
    ],
)
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
