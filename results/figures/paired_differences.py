"""A forest plot: every arm against the baseline, within seed."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from results.figures.drawing import Drawing
from results.statistics.estimate import CONFIDENCE
from results.style import INK, PAGE, SHADE, STYLE, colours, in_order, label

# Metrics of the table of differences, and what a panel says of them.
PANELS = {
    "final_score": "Score, online end\n(right is better)",
    "regret_eval": "regret_eval\n(left is better)",
    "dip": "Dip\n(left is better)",
}


def paired_differences(differences: pd.DataFrame, baseline: str) -> Drawing:
    """Mean difference to the baseline's arm with interval, a row per task and arm, a panel per metric.

    `differences` are the numbers of the table of differences; the figure's are those of the metrics shown.
    """
    numbers = differences[differences["metric"].isin(PANELS)].reset_index(drop=True)
    rows = [(task, arm) for task in numbers["task"].drop_duplicates()
            for arm in in_order(numbers.loc[numbers["task"] == task, "arm"])]  # fmt: skip
    colour = colours(arm for _, arm in rows)
    several = numbers["task"].nunique() > 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 0.8 + 0.24 * len(rows)), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
            of_metric = numbers[numbers["metric"] == metric].set_index(["task", "arm"])
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for place, row in enumerate(rows):
                if place % 2:
                    panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.6, linewidth=0, zorder=0)
                if row not in of_metric.index:
                    continue
                own = of_metric.loc[row]
                panel.plot([own["low"], own["high"]], [place, place], color=colour[row[1]], linewidth=1.3, zorder=3)
                panel.plot(own["mean"], place, "o", color=colour[row[1]], markersize=4, zorder=4)
            panel.set(title=title, ylim=(len(rows) - 0.5, -0.5))
            panel.tick_params(axis="y", length=0)
        names = [f"{task}: {label(arm)}" if several else label(arm) for task, arm in rows]
        panels[0].set_yticks(range(len(rows)), names)
        figure.supxlabel(
            f"Difference to {label(baseline)} within seed (success rate)", fontsize=STYLE["axes.labelsize"]
        )
    counts = sorted(set(numbers["n"]))
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    tasks = ", ".join(map(str, numbers["task"].drop_duplicates()))
    caption = (
        f"Every arm minus {label(baseline)}, within seed, on {tasks}: mean and {CONFIDENCE:.0%} paired t interval, not "
        f"adjusted for the number of arms. {n} pairs of runs per row."
    )
    return Drawing("paired_differences", "Paired differences", figure, numbers, caption)
