"""A line per seed, drawn as one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.figures.traces import VECTOR_LIMIT, traces


def rows(seeds):
    steps = [10, 0, 5]
    return pd.DataFrame([{"seed": seed, "step": step, "score": seed + step} for seed in range(seeds) for step in steps])


def test_seeds_in_order_of_steps_with_a_gap_behind_each():
    panel = Figure().subplots()
    traces(panel, rows(2).sample(frac=1, random_state=0), "step", "score", color="red")
    (line,) = panel.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 5, 10, 10, 0, 5, 10, 10])
    np.testing.assert_array_equal(line.get_ydata(), [0, 5, 10, np.nan, 1, 6, 11, np.nan])
    assert (line.get_color(), line.get_rasterized()) == ("red", False)


def test_many_lines_become_pixels_and_none_draws_nothing():
    panel = Figure().subplots()
    traces(panel, rows(VECTOR_LIMIT + 1), "step", "score")
    assert panel.lines[0].get_rasterized()
    traces(panel, rows(1).head(0), "step", "score")
    assert len(panel.lines) == 1
