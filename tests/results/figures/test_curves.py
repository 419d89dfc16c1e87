"""Curves over training and their files."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ablations.grids import runs_of
from harness.settings import with_settings
from results.figures.curves import (
    MOST,
    MOST_ARMS,
    compared,
    curves,
    learning_curves,
    left_out,
    panels_of,
    tasks_and_arms,
    traces,
    values_and_floors,
)
from results.figures.drawing import SCREEN, write
from results.figures.scores import score_by_floor
from results.frame import evaluations, runs
from results.style import ACCENT, GREY, INK, ON_DARK, PAGE, colour, short
from tests.support.run_folder_factory import write_done


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    tiny = {"schedule.offline_steps": 400, "schedule.offline_interval": 200, "schedule.online_steps": 600,
            "schedule.online_interval": 300, "schedule.dense_interval": 150, "schedule.dense_steps": 300}  # fmt: skip
    write_done(root, [with_settings(run, tiny) for run in runs_of("floors") if run.seed < 3])
    return runs([root]), evaluations([root])


def test_curves_are_means_over_seeds_and_every_seed(frames):
    _, rows = frames
    numbers = curves(rows, ["score"])
    cql_rows = rows[(rows["arm"] == "cql") & (rows["step"] == 150)]
    mean = numbers[(numbers["arm"] == "cql") & (numbers["step"] == 150) & numbers["seed"].isna()].iloc[0]
    assert mean["mean"] == pytest.approx(cql_rows["score"].mean())
    assert mean["n"] == 3
    seeds = numbers[(numbers["arm"] == "cql") & (numbers["step"] == 150) & numbers["seed"].notna()]
    assert sorted(seeds["mean"]) == sorted(cql_rows["score"])


def test_a_panel_per_group_shows_the_means_the_switch_and_one_axis_of_steps(frames):
    (drawing,) = learning_curves(*frames)
    panels = {panel.get_title(loc="left"): panel for panel in drawing.figure.axes}
    assert list(panels) == ["Baselines", "Learned floors", "Size of the floor"]
    size = panels["Size of the floor"]
    legend = [text.get_text() for text in size.get_legend().get_texts()]
    assert legend == [short("inflated_0.25"), short("inflated_1")]
    # The accent is the largest dose; the other dose is grey, and CQL and Cal-QL are there for comparison.
    drawn = {line.get_color(): line for line in size.lines if len(line.get_xdata()) > 2}
    assert set(drawn) == {ACCENT, GREY, colour("cql"), colour("monte_carlo")}
    means = drawing.numbers[(drawing.numbers["arm"] == "inflated_1") & drawing.numbers["seed"].isna()]
    assert list(drawn[ACCENT].get_ydata()) == list(means["mean"])
    # 400 gradient steps, then 600 environment steps.
    assert [min(drawn[ACCENT].get_xdata()), max(drawn[ACCENT].get_xdata())] == [0, 1000]
    assert any(list(line.get_xdata()) == [400, 400] and line.is_dashed() for line in size.lines)
    assert "n = 3 seeds per arm" in drawing.caption
    assert "95% t interval" in drawing.caption
    assert drawing.figure.get_figwidth() == PAGE


def test_long_groups_are_cut_into_panels():
    arms = [f"other_{place}" for place in range(MOST_ARMS + 2)]
    assert panels_of(["cql", *arms]) == [("Baselines", ["cql"]), ("Other arms", arms[:4]), ("Other arms", arms[4:])]


def test_variants_stay_with_their_arm():
    cql = ["cql", *(f"cql[alpha={alpha}]" for alpha in range(1, 5))]
    cal_ql = ["monte_carlo", *(f"monte_carlo[alpha={alpha}]" for alpha in range(1, 5))]
    assert panels_of([*cql, *cal_ql]) == [("CQL", cql), ("Monte Carlo floor", cal_ql)]
    # A single panel needs no title.
    assert panels_of(cal_ql) == [("", cal_ql)]


def test_few_arms_are_compared():
    assert compared(["inflated_0.25", "learned", "cql", "inflated_1", "monte_carlo"]) == [
        "cql", "monte_carlo", "learned", "inflated_1",
    ]  # fmt: skip
    assert compared(["reference", "official", "reference_cql"]) == ["reference", "reference_cql", "official"]
    assert compared(["noisy_0.1", "noisy_0.5"]) == ["noisy_0.1", "noisy_0.5"]


def test_several_tasks_are_compared_in_a_panel_each(frames):
    runs, rows = (pd.concat([table, table.assign(task="other")]) for table in frames)
    assert tasks_and_arms(*frames) is None
    drawing = tasks_and_arms(runs, rows)
    assert [panel.get_title() for panel in drawing.figure.axes] == ["pointmaze-medium", "other"]
    assert set(drawing.numbers["arm"]) == {"cql", "monte_carlo", "learned", "inflated_1"}


def test_every_arm_but_cql_has_a_floor_line(frames):
    (drawing,) = values_and_floors(*frames)
    numbers = drawing.numbers
    assert set(numbers[numbers["arm"] == "cql"]["quantity"]) == {"q_policy", "q_data", "return_to_go"}
    inflated = numbers[(numbers["arm"] == "inflated_1") & (numbers["quantity"] == "floor_mean")]
    assert inflated["mean"].nunique() == 1


def test_scores_are_shown_for_both_phases(frames):
    table, _ = frames
    (drawing,) = score_by_floor(table)
    means = drawing.numbers[drawing.numbers["seed"].isna()].set_index(["arm", "phase"])["mean"]
    for arm, group in table.groupby("arm"):
        assert means[arm, "offline"] == pytest.approx(group["offline_score"].mean())
        assert means[arm, "online"] == pytest.approx(group["final_score"].mean())
    assert len(drawing.numbers) == 5 * 2 * (3 + 1)


def test_a_rate_has_no_interval_outside_0_and_1(frames):
    table = frames[0].assign(final_score=[1.0, 1.0, 0.9] * 5)
    (drawing,) = score_by_floor(table)
    assert drawing.numbers["high"].max() == 1.0
    ends = [value for line in drawing.figure.axes[0].lines if len(line.get_xdata()) == 2 for value in line.get_xdata()]
    assert max(ends) == 1.0


def test_a_figure_is_written_in_the_formats_of_papers_with_numbers_and_caption(frames, tmp_path):
    (drawing,) = score_by_floor(frames[0])
    paths = write(drawing, tmp_path)
    assert [path.suffix for path in paths] == [".svg", ".pdf", ".png", ".csv", ".txt"]
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in paths[1].read_bytes()
    assert imread(paths[2]).shape[1] == pytest.approx(drawing.figure.get_figwidth() * 300, abs=1)
    pixels = imread(paths[2])[:, :, :3]
    assert np.ptp(pixels) > 0.5
    pd.testing.assert_series_equal(pd.read_csv(paths[3])["mean"], drawing.numbers["mean"], atol=1e-5)
    assert paths[4].read_text().strip() == drawing.caption


def test_the_same_runs_give_the_same_svg(frames, tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        texts.append(write(values_and_floors(*frames)[0], tmp_path / name, SCREEN)[0].read_bytes())
    assert texts[0] == texts[1]


def test_an_svg_replaces_its_colours_on_a_dark_page(frames, tmp_path):
    text = write(values_and_floors(*frames)[0], tmp_path, SCREEN)[0].read_text()
    rules = text[text.index("<style>") : text.index("</style>")]
    assert "prefers-color-scheme: dark" in rules
    for light in ("#ffffff", INK, colour("cql")):
        assert ON_DARK[light] in rules
        assert f": {light}" in text.partition("</style>")[2]


def rows(seeds):
    steps = [10, 0, 5]
    return pd.DataFrame(
        [{"data_seed": 0, "seed": seed, "step": step, "score": seed + step} for seed in range(seeds) for step in steps]
    )


def test_seeds_are_sorted_by_step_and_separated_by_gaps():
    panel = Figure().subplots()
    traces(panel, rows(2).sample(frac=1, random_state=0), "step", "score", color="red")
    (line,) = panel.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 5, 10, 10, 0, 5, 10, 10])
    np.testing.assert_array_equal(line.get_ydata(), [0, 5, 10, np.nan, 1, 6, 11, np.nan])
    assert line.get_color() == "red"


def test_of_many_seeds_the_first_are_drawn_and_the_caption_names_the_number():
    panel = Figure().subplots()
    assert left_out(rows(MOST)) == ""
    traces(panel, rows(MOST + 2), "step", "score")
    assert len(panel.lines[0].get_xdata()) == MOST * 4
    assert left_out(rows(MOST + 2)) == f" Only the first {MOST} seeds are shown as thin lines."
    traces(panel, rows(1).head(0), "step", "score")
    assert len(panel.lines) == 1
