"""Curves over training and their files."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ablations.grids import runs_of
from harness.settings import with_settings
from results.figures.curves import MOST, curves, learning_curves, left_out, traces, values_and_floors
from results.figures.drawing import write
from results.figures.scores import score_by_floor
from results.frame import evaluations, runs
from results.style import PAGE, colours, in_order, label
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


def test_every_arm_has_a_panel_with_its_seeds_and_the_switch(frames):
    (drawing,) = learning_curves(*frames)
    arms = in_order(frames[0]["arm"])
    panels = drawing.figure.axes
    assert [panel.get_title() for panel in panels] == ["All arms, means", *map(label, arms)]
    cql = panels[1]
    cql_lines = [line for line in cql.lines if line.get_color() == colours(arms)["cql"]]
    # Three thin seed lines of six evaluations, separated by gaps, and a thick mean line.
    thin, thick = sorted(cql_lines, key=lambda line: line.get_linewidth())
    assert [(line.get_linewidth(), len(line.get_xdata())) for line in (thin, thick)] == [(0.5, 3 * 7), (1.5, 6)]
    assert np.isnan(thin.get_ydata()).nonzero()[0].tolist() == [6, 13, 20]
    seed = frames[1][(frames[1]["arm"] == "cql") & (frames[1]["seed"] == 1)]
    assert thin.get_ydata()[7:13].tolist() == seed["score"].tolist()
    assert any(list(line.get_xdata()) == [0, 0] and line.is_dashed() for line in cql.lines)
    assert "n = 3 seeds per arm" in drawing.caption
    assert "95% t interval" in drawing.caption
    assert drawing.figure.get_figwidth() == PAGE


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


def test_many_tasks_are_split_over_several_figures(frames):
    table = pd.concat([frames[0].assign(task=f"task-{place}") for place in range(4)])
    first, second = score_by_floor(table)
    assert (first.name, second.name) == ("score_by_floor", "score_by_floor_2")
    assert [panel.get_title() for panel in first.figure.axes] == ["task-0", "task-1", "task-2"]
    assert set(second.numbers["task"]) == {"task-3"}


def test_a_figure_is_written_as_five_files(frames, tmp_path):
    (drawing,) = score_by_floor(frames[0])
    paths = write(drawing, tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".svg", ".png", ".csv", ".txt"]
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in paths[0].read_bytes()
    assert imread(paths[2]).shape[1] == pytest.approx(drawing.figure.get_figwidth() * 300, abs=1)
    pixels = imread(paths[2])[:, :, :3]
    assert np.ptp(pixels) > 0.5
    pd.testing.assert_series_equal(pd.read_csv(paths[3])["mean"], drawing.numbers["mean"], atol=1e-5)
    assert paths[4].read_text().strip() == drawing.caption


def test_the_same_runs_give_the_same_svg(frames, tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        texts.append(write(values_and_floors(*frames)[0], tmp_path / name)[1].read_bytes())
    assert texts[0] == texts[1]


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
