"""A line per seed, drawn as one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.figures.traces import MOST, left_out, traces


def rows(seeds):
    steps = [10, 0, 5]
    return pd.DataFrame([{"seed": seed, "step": step, "score": seed + step} for seed in range(seeds) for step in steps])


def test_seeds_in_order_of_steps_with_a_gap_behind_each():
    panel = Figure().subplots()
    traces(panel, rows(2).sample(frac=1, random_state=0), "step", "score", color="red")
    (line,) = panel.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 5, 10, 10, 0, 5, 10, 10])
    np.testing.assert_array_equal(line.get_ydata(), [0, 5, 10, np.nan, 1, 6, 11, np.nan])
    assert line.get_color() == "red"


def test_of_many_seeds_the_first_are_drawn_and_the_caption_says_so():
    panel = Figure().subplots()
    assert left_out(rows(MOST)) == ""
    traces(panel, rows(MOST + 2), "step", "score")
    assert len(panel.lines[0].get_xdata()) == MOST * 4
    assert left_out(rows(MOST + 2)) == f" Thin lines are those of the first {MOST} seeds."
    traces(panel, rows(1).head(0), "step", "score")
    assert len(panel.lines) == 1
