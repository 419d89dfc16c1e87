"""Success at the end of either phase."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.captions import BAND, counts, episodes
from results.figures.drawing import Drawing
from results.frame import done
from results.statistics.intervals import estimates_by
from results.style import COLUMN, INK, PAGE, STYLE, colours, in_order, label

# Tasks in one figure: as many as can be read at the width of a page.
TOGETHER = 3


def score_by_floor(runs: pd.DataFrame) -> list[Drawing]:
    """Success at the end of the offline and of the online phase by arm: a dot per seed, mean and interval; a panel per
    task, at most `TOGETHER` in a figure. Numbers: task, arm, phase, seed (empty: the mean over seeds), mean, low, high,
    n, method."""
    finished = done(runs)
    tasks = list(finished["task"].drop_duplicates())
    blocks = [tasks[first : first + TOGETHER] for first in range(0, len(tasks), TOGETHER)]
    return [
        _of_tasks(finished[finished["task"].isin(block)], "score_by_floor" + (f"_{place}" if place > 1 else ""))
        for place, block in enumerate(blocks, 1)
    ]


def _of_tasks(finished: pd.DataFrame, name: str) -> Drawing:
    """The figure of a few tasks."""
    long = finished.melt(
        ["task", "arm", "seed"], ["offline_score", "final_score"], var_name="phase", value_name="score"
    ).replace({"phase": {"offline_score": "offline", "final_score": "online"}})
    keys = ["task", "arm", "phase"]
    numbers = pd.concat([estimates_by(long, keys, "score"), long.rename(columns={"score": "mean"})], ignore_index=True)
    numbers = numbers[[*keys, "seed", "mean", "low", "high", "n", "method"]].astype({"seed": "Int64", "n": "Int64"})
    tasks = list(finished["task"].drop_duplicates())
    arms = in_order(finished["arm"])
    colour = colours(arms)
    width = COLUMN if len(tasks) == 1 else PAGE
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.75 + (0.45 if len(arms) < 10 else 0.33) * len(arms)), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True):
            for (arm, phase), group in numbers[numbers["task"] == task].groupby(["arm", "phase"]):
                _dots(axes, group, arms.index(arm), phase, colour[arm])
            axes.update_datalim([(0, 0), (1, 0)])
            axes.autoscale_view()
            axes.set(title=task, xlabel="Success rate", ylim=(len(arms) - 0.45, -0.65))
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
            axes.set_yticks(range(len(arms)), [label(arm) for arm in arms])
            axes.tick_params(axis="y", length=0)
        marks = [Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.2, markerfacecolor=face, label=text)
                 for face, text in (("white", "offline end"), (INK, "online end"))]  # fmt: skip
        figure.legend(handles=marks, loc="outside lower right", ncols=2)
    caption = (
        "Success rate by floor, at the end of the offline phase (open) and of the online phase (filled): a small dot "
        f"per seed, the mean and its {BAND}, not cut at 0 and 1. {counts(finished)} {episodes(finished)}"
    )
    return Drawing(name, f"Score by floor, {', '.join(tasks)}", figure, numbers, caption)


def _dots(axes: Axes, group: pd.DataFrame, row: int, phase: str, colour: str) -> None:
    """The seeds of one arm and phase as dots, stacked where they coincide, with mean and interval."""
    height = row + (-0.13 if phase == "offline" else 0.13)
    seeds = group.dropna(subset="seed")
    stack = seeds.groupby("mean").cumcount() * 0.3 / max(len(seeds) - 1, 5)
    away = -1 if phase == "offline" else 1
    face = "white" if phase == "offline" else colour
    axes.scatter(seeds["mean"], height + away * (0.1 + stack), s=3, color=colour, alpha=0.7, linewidth=0, zorder=2)
    mean = group[group["seed"].isna()].iloc[0]
    axes.plot([mean["low"], mean["high"]], [height, height], color=colour, linewidth=1.2, zorder=3)
    axes.plot(mean["mean"], height, "o", color=colour, markerfacecolor=face, markersize=4, markeredgewidth=1, zorder=4)
