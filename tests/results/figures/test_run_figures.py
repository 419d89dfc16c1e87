"""The figures that compare arms: counts, plotted lines and omitted arms."""

import math

import numpy as np
import pytest

from results.figures.aggregates import aggregates, performance_profile, probability_of_improvement
from results.figures.curves import bound_rate
from results.figures.effects import PAIRED_PANELS, paired_differences
from results.figures.learned_floor import floor_errors, learned_floor
from results.frame import done
from results.style import colour, in_order, label
from results.tables.pooled import pooled
from results.tables.scores import differences
from tests.support.figure_layout import faults
from tests.support.made_frames import frame_of


def test_only_arms_with_a_floor_have_a_bound_rate(frames):
    runs, evaluations, _ = frames
    road, short = bound_rate(runs, evaluations)
    assert (road.name, short.name) == ("bound_rate_winding-road", "bound_rate_winding-road-short")
    assert set(short.numbers["arm"]) == {"monte_carlo", "naive_truncation", "exact"}
    assert "cql" not in set(road.numbers["arm"])
    matching = evaluations[(evaluations["arm"] == "exact") & (evaluations["task"] == "winding-road-short")]
    mean = short.numbers[(short.numbers["arm"] == "exact") & short.numbers["seed"].isna()].set_index("step")["mean"]
    assert mean[0] == pytest.approx(matching.loc[matching["step"] == 0, "bound_rate_current"].mean())


def test_arms_without_a_floor_give_no_bound_rate_figure(frames):
    runs, evaluations, _ = frames
    assert bound_rate(runs[runs["arm"] == "cql"], evaluations[evaluations["arm"] == "cql"]) == []


def test_performance_profiles_decrease_and_lie_within_their_bands(frames):
    runs, *_ = frames
    drawing = performance_profile(runs)
    for (moment, arm), rows in drawing.numbers.groupby(["moment", "arm"]):
        shares = rows.sort_values("threshold")["share"].to_numpy()
        assert (np.diff(shares) <= 0).all()
        assert (rows["low"] <= rows["share"] + 1e-9).all()
        assert (rows["high"] >= rows["share"] - 1e-9).all()
        done = runs[(runs["arm"] == arm) & (runs["state"] == "done")][moment]
        assert shares[25] == pytest.approx((done > 0.5).mean())
    assert "stratified bootstrap" in drawing.caption


def test_a_performance_profile_needs_several_tasks(frames):
    runs, *_ = frames
    assert performance_profile(runs[runs["task"] == "winding-road"]) is None
    drawing = performance_profile(runs)
    assert [panel.get_title() for panel in drawing.figure.axes] == ["Offline end", "Online end"]
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == [label(arm) for arm in in_order(drawing.numbers["arm"])]
    assert set(drawing.numbers["arm"]) == {"cql", "monte_carlo", "exact"}, "the arms of both tasks"


def test_interquartile_means_are_those_of_the_table(frames):
    finished = done(frames[0])
    table = pooled(finished)
    drawing = aggregates(table, finished)
    middle = {round(float(line.vertices[0][0]), 9) for line in drawing.figure.axes[1].collections[0].get_paths()}
    means = table.numbers[table.numbers["metric"] == "final_iqm"].set_index("arm")["mean"]
    assert middle == {round(means[in_order(means.index)[0]], 9)}
    assert "which covers the choice of seeds, not of tasks" in drawing.caption
    assert aggregates(None, finished) is None


def test_the_probability_of_improvement_is_against_both_opponents(frames):
    runs, *_ = frames
    drawing = probability_of_improvement(runs, pooled(runs))
    numbers = drawing.numbers.set_index(["arm", "opponent"])["mean"]
    assert numbers["cql", "monte_carlo"] == pytest.approx(1 - numbers["monte_carlo", "cql"])
    assert ("cql", "cql") not in numbers.index
    single = runs[runs["task"] == "winding-road"]
    assert probability_of_improvement(single, pooled(single)) is None


def test_the_forest_plot_of_a_task_shows_the_numbers_of_the_table(frames):
    table = differences(frames[0])
    drawings = {drawing.name: drawing for drawing in paired_differences(table.numbers)}
    assert set(drawings) == {f"paired_differences_{task}" for task in frames[0]["task"].unique()}
    for drawing in drawings.values():
        assert [panel.get_title() for panel in drawing.figure.axes] == list(PAIRED_PANELS.values())
        rows = drawing.figure.axes[0].get_yticklabels()
        assert len(rows) == len(drawing.numbers) / len(PAIRED_PANELS)
        ticks = drawing.figure.axes[1].collections
        middle = [path.vertices[0][0] for tick in ticks for path in tick.get_paths()]
        assert sorted(middle) == sorted(drawing.numbers.loc[drawing.numbers["metric"] == "regret_eval", "mean"])
    rows = drawings["paired_differences_winding-road-short"].figure.axes[0].get_yticklabels()
    assert label("naive_truncation") in [tick.get_text() for tick in rows]
    assert any("n = 5 to 6" in drawing.caption for drawing in drawings.values())


def test_learned_and_monte_carlo_floors_are_paired_by_seed(frames):
    per_run = frames[2]
    drawing = learned_floor(per_run)
    scores = drawing.numbers[(drawing.numbers["quantity"] == "final_score") & drawing.numbers["seed"].notna()]
    for row in scores.itertuples():
        matching = per_run[(per_run["task"] == row.task) & (per_run["seed"] == row.seed)].set_index("arm")
        assert (row.monte_carlo, row.learned) == tuple(matching.loc[["monte_carlo", "learned"], "final_score"])
        assert row.held_out_rmse == matching.loc["learned", "learned_floor.held_out_rmse"]
    mean = drawing.numbers[(drawing.numbers["quantity"] == "final_score") & drawing.numbers["seed"].isna()]
    assert mean["mean"].item() == pytest.approx((scores["learned"] - scores["monte_carlo"]).mean())
    assert set(drawing.numbers["task"]) == {"winding-road"}, "there is no learned floor on the short road"
    assert learned_floor(per_run[per_run["arm"] != "learned"]) is None


def fitted_frame(**errors):
    """Two seeds of CQL and of three learned floors, whose score falls by 0.2 and whose RMSE rises by 1 from one to the
    next."""
    rows = [("cql", 0, 0.5), ("cql", 1, 0.7)]
    doses = {"learned": 0, "learned[trajectories=0.1]": 1, "learned_td": 2}
    rows += [(arm, seed, 0.9 - 0.2 * dose + 0.1 * seed) for arm, dose in doses.items() for seed in (0, 1)]
    frame = frame_of(*((arm, seed, "done", 0.0, 0.0) for arm, seed, _ in rows), final_score=[row[2] for row in rows])
    error = frame["arm"].map(doses)
    columns = {"held_out_r2": 0.9 - 0.1 * error, "held_out_bias": 1.0 - error, "held_out_rmse": 1.0 + error, **errors}
    errors = {f"learned_floor.{name}": column for name, column in columns.items()}
    return frame.assign(online_change=math.nan, **errors)


def test_a_point_per_learned_floor_and_error():
    (drawing,) = floor_errors(fitted_frame())
    assert drawing.name == "floor_errors_maze"
    r2, bias, rmse = drawing.figure.axes[:3]
    assert rmse.get_xlabel() == "" == drawing.figure.axes[0].get_xlabel()
    assert drawing.figure.axes[5].get_xlabel() == "Held-out RMSE (return)"
    points = {
        (round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6))
        for line in rmse.lines
        if len(line.get_xdata()) == 1
    }
    assert points == {(1.0, 0.95), (2.0, 0.75), (3.0, 0.55)}
    # From the dose to the arm itself, which sees all data.
    joined = [list(line.get_xdata()) for line in r2.lines if list(line.get_xdata()) == pytest.approx([0.8, 0.9])]
    assert len(joined) == 1
    (cql,) = (line for line in bias.lines if set(line.get_ydata()) == {0.6})
    assert cql.get_color() == colour("cql")
    texts = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert texts == ["Learned floor", "Floor learned by TD(0)", "CQL", "trajectories = 0.1", "default settings"]
    # The biases are 1, 0, -1.
    correlations = "Held-out R2 +1.00, Held-out bias +1.00 (its size +0.00), Held-out RMSE -1.00"
    assert f"Score, online end with {correlations}" in drawing.caption
    assert "regret_eval with Held-out R2 n/a" in drawing.caption
    assert faults(drawing.figure) == []


def test_where_all_arms_have_a_change_online_it_is_drawn():
    frame = fitted_frame()
    changed = frame.assign(online_change=frame["final_score"] - 0.9)
    (drawing,) = floor_errors(changed)
    assert set(drawing.numbers["quantity"]) == {"online_change", "regret_eval"}
    learned = drawing.numbers.query("quantity == 'online_change' and arm == 'learned'")["mean"]
    assert learned.to_numpy() == pytest.approx(0.05)
    without = changed["online_change"].mask(changed["arm"] == "learned_td")
    (drawing,) = floor_errors(changed.assign(online_change=without))
    assert set(drawing.numbers["quantity"]) == {"final_score", "regret_eval"}


def test_where_the_value_is_known_errors_are_against_it():
    (drawing,) = floor_errors(fitted_frame(exact_bias=0.5, exact_rmse=2.0).assign(task="winding-road"))
    assert set(drawing.numbers["error"]) == {"held_out_r2", "exact_bias", "exact_rmse"}
    assert drawing.figure.axes[4].get_xlabel() == "Bias against $V_\\mu$ (return)"


def test_two_learned_floors_are_not_compared():
    frame = fitted_frame()
    assert floor_errors(frame[frame["arm"] != "learned_td"]) == []
