"""The learned floor compared with the Monte Carlo floor: the floors themselves and the resulting scores."""

from dataclasses import asdict
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.measures import MARGIN
from harness.metrics import METRICS
from results.figures.drawing import SEED_TYPES, Drawing
from results.frame import PAIRING
from results.statistics.intervals import CONFIDENCE
from results.statistics.pairs import paired_difference
from results.style import COLOURS, INK, PAGE, SHADE, drawing_style

LEARNED, EXACT = "learned", "monte_carlo"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "p", "d")
# Columns of the legend.
COLUMNS = 4

# Column of `per_run`, title, and whether the claims' margin applies.
PANELS = {
    "switch.floor_mean": ("Mean floor (mapped return)", False),
    "final_score": (METRICS["final_score"].label, True),
    "regret_eval": (METRICS["regret_eval"].label, True),
}


def learned_floor(per_run: pd.DataFrame) -> Drawing | None:
    """Plot a dot per seed, learned against Monte Carlo; None if no seed has both.

    `per_run` is the frame of `results.verdicts.per_run`. Numbers: task, quantity, data_seed, seed (empty: the mean
    difference), monte_carlo, learned, held_out_rmse, mean, low, high, n, method, correlation, p_value.
    """
    exact, learned = (per_run[per_run["arm"] == arm] for arm in (EXACT, LEARNED))
    both = pd.merge(exact, learned, on=["task", *PAIRING])
    if both.empty:
        return None
    seeds, estimates = [], []
    for quantity in PANELS:
        columns = {"monte_carlo": both[f"{quantity}_x"], "learned": both[f"{quantity}_y"]}
        error = {"held_out_rmse": both["learned_floor.held_out_rmse_y"]}
        seeds.append(both[["task", *PAIRING]].assign(quantity=quantity, **columns, **error))
        for task, group in seeds[-1].groupby("task", sort=False):
            pairs = asdict(paired_difference(group["learned"], group["monte_carlo"]))
            estimates.append({"task": task, "quantity": quantity, **pairs})
    numbers = pd.concat([pd.DataFrame(estimates), *seeds], ignore_index=True)
    order = ["task", "quantity", *PAIRING, "monte_carlo", "learned", "held_out_rmse"]
    numbers = numbers[[*order, *(name for name in estimates[0] if name not in order)]]
    numbers = numbers.astype(SEED_TYPES)
    tasks = list(both["task"].drop_duplicates())
    with drawing_style():
        rows = ceil(len(tasks) / COLUMNS) if len(tasks) > 1 else 0
        figure = Figure(figsize=(PAGE, 2.5 + 0.2 * rows), layout="constrained")
        for panel, (quantity, (title, bounded)) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            seed_rows = numbers[(numbers["quantity"] == quantity) & numbers["seed"].notna()]
            _scatter(panel, seed_rows, tasks, bounded)
            panel.set(title=title, xlabel="with the Monte Carlo floor")
        figure.axes[0].set_ylabel("with the learned floor")
        if rows:
            figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=COLUMNS)
    caption = (
        "Cal-QL with a learned floor against Cal-QL with the Monte Carlo floor, a dot per seed, larger if "
        "seeds coincide; line: equality. Left: "
        "mean of the two floors over the same probe transitions; bars: root mean square error of the learned floor on "
        f"held-out trajectories. Middle and right: resulting score and regret; shaded: the claims' margin of "
        f"{MARGIN:g}. {_differences(estimates, len(tasks) > 1)}"
    )
    return Drawing("learned_floor", "Learned against Monte Carlo floor", figure, numbers, caption)


def _scatter(panel: Axes, seed_rows: pd.DataFrame, tasks: list[str], bounded: bool) -> None:
    """Plot the dots of one quantity, the line of equality and, if `bounded`, the margin around it."""
    for task, marker in zip(tasks, MARKERS * len(tasks), strict=False):
        dots = seed_rows[seed_rows["task"] == task]
        if not bounded:
            panel.errorbar(dots["monte_carlo"], dots["learned"], dots["held_out_rmse"], fmt="none", ecolor=INK,
                           elinewidth=0.6, alpha=0.6, zorder=2)  # fmt: skip
        places = dots.groupby(["monte_carlo", "learned"]).size().rename("seeds").reset_index()
        panel.scatter(places["monte_carlo"], places["learned"], s=9 * places["seeds"], color=COLOURS[LEARNED],
                      marker=marker, alpha=0.85, linewidth=0, label=task, zorder=3)  # fmt: skip
    low, high = np.nanmin(seed_rows[["monte_carlo", "learned"]]), np.nanmax(seed_rows[["monte_carlo", "learned"]])
    room = max(0.08 * (high - low), 0.12 if bounded else 1.0)
    ends = np.array([low - room, high + room])
    if bounded:
        panel.fill_between(ends, ends - MARGIN, ends + MARGIN, color=SHADE, linewidth=0, zorder=0)
    panel.plot(ends, ends, color=INK, linewidth=0.7, zorder=1)
    panel.set(xlim=ends)
    if bounded:
        panel.set(ylim=ends)


def _differences(estimates: list[dict[str, Any]], several: bool) -> str:
    """A sentence with every mean difference."""
    names = {"switch.floor_mean": "floor", "final_score": "score", "regret_eval": "regret_eval"}
    parts = [
        f"{row['task'] + ', ' if several else ''}{names[row['quantity']]} {row['mean']:+.3g} [{row['low']:.3g}, "
        f"{row['high']:.3g}], r = {row['correlation']:.2f}, n = {row['n']}"
        for row in estimates
    ]
    return f"Mean difference within seed [{CONFIDENCE:.0%} paired t interval]: {'; '.join(parts)}."
