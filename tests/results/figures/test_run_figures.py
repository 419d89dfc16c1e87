"""The figures that compare arms: counts, plotted lines and omitted arms."""

import numpy as np
import pytest

from results.figures.aggregates import aggregates, performance_profile, probability_of_improvement
from results.figures.curves import bound_rate
from results.figures.effects import PAIRED_PANELS, paired_differences
from results.figures.learned_floor import learned_floor
from results.frame import done
from results.style import in_order, label
from results.tables.pooled import pooled
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
