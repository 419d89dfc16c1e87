"""Curves over training: their estimates, and the panels they are drawn in."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from results.figures.captions import window
from results.figures.traces import drawn, traces
from results.statistics.intervals import estimates_by
from results.style import COLUMN, FAINT, INK, PAGE, SHADE, STYLE


def curves(evaluations: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Mean and interval over seeds, and every seed that is drawn, at every step.

    Columns: arm, quantity, step, seed (empty: the mean over seeds), mean (of a seed: its value), low, high, n, method.
    """
    long = evaluations.melt(["arm", "seed", "step"], quantities, var_name="quantity", value_name="value").dropna()
    means = estimates_by(long, ["arm", "quantity", "step"], "value")
    numbers = pd.concat([means, drawn(long).rename(columns={"value": "mean"})], ignore_index=True)
    numbers = numbers[["arm", "quantity", "step", "seed", "mean", "low", "high", "n", "method"]]
    return numbers.astype({"seed": "Int64", "n": "Int64"})


def small_multiples(count: int, legend: bool = False) -> tuple[Figure, Iterator[Axes]]:
    """A page-wide figure of `count` panels with shared axes, at most three beside each other."""
    columns = 2 if count == 4 else min(count, 3)
    rows = ceil(count / columns)
    width = COLUMN if columns == 1 else PAGE
    figure = Figure(figsize=(width, 0.3 + 0.2 * legend + 1.55 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for place, panel in enumerate(grid):
        panel.tick_params(labelbottom=place + columns >= count)
    for spare in grid[count:]:
        spare.remove()
    return figure, iter(grid[:count])


def finish_curves(figure: Figure, finished: pd.DataFrame, quantity: str) -> None:
    """Mark the switch and the dip's window, and name the axes."""
    for panel in figure.axes:
        panel.axvspan(0, window(finished), color=SHADE, linewidth=0, zorder=0)
        panel.axvline(0, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
        panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 10]))
        panel.xaxis.set_major_formatter(FuncFormatter(_steps))
        panel.margins(x=0.02)
    figure.supxlabel(
        "\N{LEFTWARDS ARROW} offline, gradient steps  |  online, environment steps \N{RIGHTWARDS ARROW}",
        fontsize=STYLE["axes.labelsize"],
    )
    figure.supylabel(quantity, fontsize=STYLE["axes.labelsize"])


def _steps(value: float, position: int | None = None) -> str:
    """0, 500, 2k, 1.5M; offline steps without their sign, since the switch separates them."""
    size = abs(value)
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return f"{size:g}"


def seeds(panel: Axes, numbers: pd.DataFrame, colour: str) -> None:
    """A thin line per seed."""
    each = numbers.dropna(subset="seed")
    traces(panel, each, "step", "mean", color=colour, alpha=0.45, linewidth=0.5, zorder=2)


def mean(panel: Axes, means: pd.DataFrame, **look: Any) -> None:
    """The mean alone."""
    panel.plot(means["step"], means["mean"], **look)


def means_of_others(panel: Axes, means: pd.DataFrame) -> None:
    """The means of several arms, faint; one line with gaps for matplotlib, which takes a millisecond per line."""
    gaps = means.drop_duplicates("arm", keep="last").assign(mean=float("nan"))
    lines = pd.concat([means, gaps]).sort_values("arm", kind="stable")
    mean(panel, lines, color=FAINT, linewidth=0.6, zorder=1)


def mean_with_band(panel: Axes, means: pd.DataFrame, colour: str) -> None:
    """The mean, thick, on its interval."""
    panel.fill_between(means["step"], means["low"], means["high"], color=colour, alpha=0.18, linewidth=0, zorder=3)
    mean(panel, means, color=colour, linewidth=1.5, zorder=5)
