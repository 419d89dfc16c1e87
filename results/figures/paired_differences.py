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


def paired_differences(differences: pd.DataFrame) -> list[Drawing]:
    """Mean difference to the baseline's arm with interval, a figure per task, a row per arm, a panel per metric.

    `differences` are the numbers of the table of differences; a figure's are those of its task and the metrics shown.
    """
    shown = differences[differences["metric"].isin(PANELS)]
    return [_of_task(str(task), of_task.reset_index(drop=True)) for task, of_task in shown.groupby("task", sort=False)]


def _of_task(task: str, numbers: pd.DataFrame) -> Drawing:
    """The figure of one task."""
    baseline = numbers["baseline"].iloc[0]
    arms = in_order(numbers["arm"])
    colour = colours(arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 0.8 + 0.24 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
            of_metric = numbers[numbers["metric"] == metric].set_index("arm")
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for place, arm in enumerate(arms):
                if place % 2:
                    panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.6, linewidth=0, zorder=0)
                if arm not in of_metric.index:
                    continue
                own = of_metric.loc[arm]
                panel.plot([own["low"], own["high"]], [place, place], color=colour[arm], linewidth=1.3, zorder=3)
                panel.plot(own["mean"], place, "o", color=colour[arm], markersize=4, zorder=4)
            panel.set(title=title, ylim=(len(arms) - 0.5, -0.5))
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(arms)), [label(arm) for arm in arms])
        figure.supxlabel(
            f"Difference to {label(baseline)} within seed (success rate)", fontsize=STYLE["axes.labelsize"]
        )
    counts = sorted(set(numbers["n"]))
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    caption = (
        f"Every arm minus {label(baseline)}, within seed, on {task}: mean and {CONFIDENCE:.0%} paired t interval, not "
        f"adjusted for the number of arms. {n} pairs of runs per row."
    )
    return Drawing(f"paired_differences_{task}", f"Paired differences, {task}", figure, numbers, caption)
