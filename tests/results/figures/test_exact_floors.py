"""The figures of the exact lab about floors: derived numbers and plotted lines."""

import pandas as pd
from matplotlib.colors import to_hex

from results.figures.exact_floors import floor_dose, floor_estimators, inflation_kinds, monte_carlo_bias, truncation
from tests.support import exact_frames
from tests.support.figure_layout import drawn


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


def test_estimators_are_drawn_by_state_and_by_lambda():
    states, lambdas = floor_estimators(exact_frames.floor_estimators()).figure.axes
    assert drawn(states)["median"] == (list(range(8)), [0.4] * 8)
    assert drawn(lambdas)["one value per pair of states"][1][-1] == 0.75
    assert lambdas.get_ylim()[0] < 0


def test_the_time_axis_runs_towards_the_cut():
    panel = truncation(exact_frames.truncation()).figure.axes[0]
    assert panel.get_xlim() == (300, 0)
    assert {"failure rule", "sum", "bootstrap"} <= set(drawn(panel))


def test_every_kind_has_a_panel_with_its_floor_and_a_line_per_weight():
    panels = inflation_kinds(exact_frames.inflation_kinds()).figure.axes
    titles = ["Everywhere", "Near the goal", "1/2 ($V^*$ \N{MINUS SIGN} $V_\\mu$)", "Value of a worse policy"]
    assert [panel.get_title() for panel in panels] == titles
    lines = drawn(panels[3])
    assert lines["floor"] == lines["value, alpha 40"] == ([0, 1, 2, 3], [-1.0, -2.0, -2.0, -1.0])
    assert lines["value, alpha 1"][1] == [0.0] * 4
    assert len({panel.get_ylim() for panel in panels}) == 1
