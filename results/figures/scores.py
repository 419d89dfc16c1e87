"""Scores by arm at the end of both phases, a dot per seed."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from results.figures.drawing import BAND, SEED_TYPES, Drawing, counts, episodes
from results.figures.forest import forest, places_of
from results.frame import PAIRING, done
from results.statistics.intervals import estimates_by
from results.style import INK, colour, drawing_style


def score_by_floor(runs: pd.DataFrame) -> list[Drawing]:
    """Success at the end of the offline and of the online phase by arm: a dot per seed, mean and interval.

    A figure per task. Numbers: arm, phase, data_seed and seed (empty: the mean over seeds), mean, low, high, n, method.
    """
    finished = done(runs)
    return [_of_task(str(task), rows) for task, rows in finished.groupby("task", sort=False)]


def _of_task(task: str, finished: pd.DataFrame) -> Drawing:
    """Plot the figure of a task."""
    long = finished.melt(["arm", *PAIRING], ["offline_score", "final_score"], var_name="phase", value_name="score")
    long = long.replace({"phase": {"offline_score": "offline", "final_score": "online"}})
    keys = ["arm", "phase"]
    means = estimates_by(long, keys, "score", (0.0, 1.0))
    numbers = pd.concat([means, long.rename(columns={"score": "mean"})], ignore_index=True)
    numbers = numbers[[*keys, *PAIRING, "mean", "low", "high", "n", "method"]].astype(SEED_TYPES)
    places = places_of(finished["arm"])
    with drawing_style():
        figure, (panel,) = forest(places, 1, width=4.6, extra=0.95)
        figure.set_figheight(0.95 + 0.25 * (max(places.values()) + 1))
        for (arm, phase), group in numbers.groupby(["arm", "phase"]):
            _dots(panel, group, places[str(arm)], str(phase), colour(str(arm)))
        panel.update_datalim([(0, 0), (1, 0)])
        panel.autoscale_view(scaley=False)
        panel.set_xlabel("Success rate")
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        marks = [Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.2, markerfacecolor=face, label=text)
                 for face, text in (("white", "offline end"), (INK, "online end"))]  # fmt: skip
        figure.legend(handles=marks, loc="outside lower right", ncols=2)
    caption = (
        f"Success rate on {task} by arm, at the end of the offline phase (open) and of the online phase (filled): a "
        f"small dot per seed, and the mean with {BAND}, drawn within [0, 1]. {counts(finished)} {episodes(finished)}"
    )
    return Drawing(f"score_by_floor_{task}", "Score by arm", figure, numbers, caption, task)


def _dots(axes: Axes, group: pd.DataFrame, row: float, phase: str, colour: str) -> None:
    """Plot the seeds of one arm and phase as dots, stacked if they coincide, with mean and interval."""
    height = row + (-0.13 if phase == "offline" else 0.13)
    seeds = group.dropna(subset="seed")
    stack = seeds.groupby("mean").cumcount() * 0.3 / max(len(seeds) - 1, 5)
    away = -1 if phase == "offline" else 1
    face = "white" if phase == "offline" else colour
    axes.scatter(seeds["mean"], height + away * (0.1 + stack), s=3, color=colour, alpha=0.7, linewidth=0, zorder=2)
    mean = group[group["seed"].isna()].iloc[0]
    ends = [max(mean["low"], 0.0), min(mean["high"], 1.0)]
    axes.plot(ends, [height, height], color=colour, linewidth=1.2, zorder=3)
    axes.plot(mean["mean"], height, "o", color=colour, markerfacecolor=face, markersize=4, markeredgewidth=1, zorder=4)
