"""The figures that compare arms: counts, plotted lines and omitted arms."""

import numpy as np
import pytest

from results.figures.curves import FAILED, bound_rate, seed_traces
from results.figures.effects import PAIRED_PANELS, paired_differences
from results.figures.learned_floor import learned_floor
from results.figures.scores import ARMS_TOGETHER, performance_profile
from results.style import colours, in_order, label
from results.tables.scores import differences


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


def test_failed_seeds_are_counted_and_drawn_in_colour(frames):
    runs, evaluations, _ = frames
    last = evaluations["step"] == evaluations.groupby("run")["step"].transform("max")
    low = (evaluations["arm"] == "exact") & (evaluations["seed"] < 2) & last
    worse = evaluations.assign(score=evaluations["score"].mask(low, FAILED / 2))
    drawing = seed_traces(runs, worse)[0]
    titles = {panel.get_title(): panel for panel in drawing.figure.axes}
    exact = titles[f"{label('exact')}\n2 of 6 failed"]
    colour = colours(in_order(runs.loc[runs["task"] == "winding-road", "arm"]))["exact"]
    (failed,) = [line for line in exact.lines if line.get_color() == colour]
    assert np.isnan(failed.get_ydata()).sum() == 2
    assert f"{label('noisy_0.25')}\n0 of 6 failed, 1 not done" in titles
    assert drawing.numbers.groupby("run")["failed"].first().sum() == 2


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


def test_performance_profiles_of_many_arms_have_a_panel_per_arm_over_shared_tasks(frames):
    runs, *_ = frames
    drawing = performance_profile(runs)
    arms = in_order(drawing.numbers["arm"])
    assert len(arms) > ARMS_TOGETHER
    assert [panel.get_title() for panel in drawing.figure.axes] == [label(arm) for arm in arms]
    finished = runs[runs["state"] == "done"]
    tasks = finished.groupby("arm")["task"].agg(set)
    shared = set.intersection(*tasks[arms])
    assert f"share of the runs of {len(shared)} task" in drawing.caption
    few = performance_profile(runs[runs["arm"].isin(arms[:3])])
    assert [panel.get_title() for panel in few.figure.axes] == ["Offline end", "Online end"]
    absent = set(finished["arm"]) - set(arms)
    assert all(label(arm) in drawing.caption for arm in absent)


def test_the_forest_plot_of_a_task_shows_the_numbers_of_the_table(frames):
    table = differences(frames[0])
    drawings = {drawing.name: drawing for drawing in paired_differences(table.numbers)}
    assert set(drawings) == {f"paired_differences_{task}" for task in frames[0]["task"].unique()}
    for drawing in drawings.values():
        assert [panel.get_title() for panel in drawing.figure.axes] == list(PAIRED_PANELS.values())
        rows = drawing.figure.axes[0].get_yticklabels()
        assert len(rows) == len(drawing.numbers) / len(PAIRED_PANELS)
        middle = [line.get_xdata()[0] for line in drawing.figure.axes[1].lines if line.get_marker() == "o"]
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
