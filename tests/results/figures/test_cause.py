"""The figure of the cells that tell the scale from the push-down."""

from itertools import product

import pytest
from matplotlib.colors import to_hex

from ablations.axes import split_variant
from ablations.fine_tuning import CONTROL, PHENOMENON
from ablations.grids import runs_of
from results.figures.cause import CELLS, FLOORS, causes, factorial
from results.frame import evaluations, runs
from results.frame.per_run import per_run
from results.style import colour
from tests.support.figure_layout import faults
from tests.support.run_folder_factory import write_done


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """All cells of one task, and all but one of the other, on three datasets."""
    root = tmp_path_factory.mktemp("runs")
    cells = [run for run in runs_of("cause") if run.arm in CELLS and run.task.data.seed < 4 and run.seed == 300]
    write_done(root, [run for run in cells if (run.task.name, run.arm) != (CONTROL, CELLS[-1])])
    return runs([root]), evaluations([root])


def test_the_cells_are_arms_of_the_grid():
    arms = {run.arm for run in runs_of("cause")}
    assert set(CELLS) <= arms
    assert len(set(CELLS)) == 8
    assert {split_variant(arm)[0] for arm in CELLS} == {"cql", "monte_carlo"}


def test_a_column_per_push_down_and_a_dash_per_shift(frames):
    (drawing,) = causes(*frames)
    assert drawing.task == PHENOMENON, "a cell of the other task was not run"
    assert faults(drawing.figure) == []
    top_left, top_right, *_ = drawing.figure.axes
    means = drawing.numbers[drawing.numbers["seed"].isna() & (drawing.numbers["quantity"] == "score")]
    for panel, off in ((top_left, False), (top_right, True)):
        assert len(panel.lines) == 4
        for line in panel.lines:
            (arm,) = [
                arm
                for arm in CELLS
                if ("alpha=0," in arm, "recalibrate=true" in arm) == (off, line.get_linestyle() == "--")
                and to_hex(line.get_color()) == colour(split_variant(arm)[0])
            ]
            assert list(line.get_ydata()) == list(means[means["arm"] == arm].sort_values("step")["mean"])
    assert "n = 3 data seeds" in drawing.caption


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every cell of one task with two of the three mixing ratios, and one cell of the third, on two datasets."""
    root = tmp_path_factory.mktemp("factorial")
    grid = [run for run in runs_of("cause") if run.task.data.seed < 3 and run.seed == 300]
    of_task = [run for run in grid if run.task.name == PHENOMENON]
    write_done(root, [run for run in of_task if run.schedule.mixing_ratio > 0 or run.arm == "cql[mixing_ratio=0]"])
    return per_run(runs([root]), evaluations([root]))


def test_the_factorial_has_a_row_per_complete_mixing_ratio_and_a_column_per_shift(whole):
    (drawing,) = factorial(whole)
    assert faults(drawing.figure) == []
    numbers = drawing.numbers
    assert len(drawing.figure.axes) == 3 * 2
    assert len(numbers) == 2 * 3 * (3 + 3 + 2)
    assert set(numbers["n"]) == {2}
    for panel, (mixing, shift) in zip(
        drawing.figure.axes, product(numbers["mixing"].unique(), numbers["critics"].unique()), strict=True
    ):
        shown = numbers[(numbers["critics"] == shift) & (numbers["mixing"] == mixing)]
        assert ("critic_shift=-0.25" in shown["arm"].iloc[0]) == (shift == "critics lowered")
        points = {
            to_hex(line.get_color()): list(line.get_ydata()) for line in panel.lines if line.get_marker() in "os^"
        }
        for floor in FLOORS:
            of_floor = shown[shown["floor"] == floor]
            assert points[colour(floor)] == list(of_floor["mean"])
            assert list(of_floor["mean"]) == [
                pytest.approx(whole.loc[whole["arm"] == arm, "online_change"].mean()) for arm in of_floor["arm"]
            ]


def test_a_task_without_all_cells_of_a_mixing_ratio_has_no_factorial(whole):
    half = whole[~whole["arm"].str.contains("mixing_ratio")]
    assert len(factorial(half)) == 1
    assert factorial(half[half["arm"] != "calibrated_offline"]) == []
