"""The learned floor compared with the Monte Carlo floor: differences of score and regret within seed."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.measures import MARGIN
from harness.metrics import METRICS
from results.figures.drawing import SEED_TYPES, Drawing
from results.figures.forest import estimate
from results.frame import PAIRING
from results.frame.per_run import replicated
from results.statistics.intervals import CONFIDENCE
from results.statistics.pairs import paired_difference
from results.style import FAINT, GREEN, GREY, INK, SHADE, drawing_style

LEARNED, EXACT = "learned", "monte_carlo"

# Columns of `per_run` in the numbers; the last two are drawn, in these colours.
QUANTITIES = ("switch.floor_mean", "final_score", "regret_eval")
DRAWN = {"final_score": GREY, "regret_eval": GREEN}


def learned_floor(per_run: pd.DataFrame) -> Drawing | None:
    """Plot the differences by task, learned minus Monte Carlo; None if no seed has both.

    `per_run` is the frame of `results.frame.per_run.per_run`. Numbers: task, quantity, data_seed and seed (empty: the
    mean difference), monte_carlo, learned, held_out_rmse, mean, low, high, n, method, correlation, p_value.
    """
    exact, learned = (per_run[per_run["arm"] == arm] for arm in (EXACT, LEARNED))
    both = pd.merge(exact, learned, on=["task", *PAIRING])
    if both.empty:
        return None
    seeds, estimates = [], []
    for quantity in QUANTITIES:
        columns = {"monte_carlo": both[f"{quantity}_x"], "learned": both[f"{quantity}_y"]}
        error = {"held_out_rmse": both["learned_floor.held_out_rmse_y"]}
        seeds.append(both[["task", *PAIRING]].assign(quantity=quantity, **columns, **error))
        for task, group in seeds[-1].groupby("task", sort=False):
            arms = (replicated(group[arm], group) for arm in ("learned", "monte_carlo"))
            pairs = asdict(paired_difference(*arms))
            estimates.append({"task": task, "quantity": quantity, **pairs})
    numbers = pd.concat([pd.DataFrame(estimates), *seeds], ignore_index=True)
    order = ["task", "quantity", *PAIRING, "monte_carlo", "learned", "held_out_rmse"]
    numbers = numbers[[*order, *(name for name in estimates[0] if name not in order)]]
    numbers = numbers.astype(SEED_TYPES)
    tasks = list(both["task"].drop_duplicates())
    with drawing_style():
        figure = Figure(figsize=(5.0, 0.95 + 0.36 * len(tasks)), layout="constrained")
        panel = figure.subplots()
        panel.axvspan(-MARGIN, MARGIN, color=SHADE, linewidth=0, zorder=0)
        panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
        for row, task in enumerate(tasks):
            for place, (quantity, arm_colour) in enumerate(DRAWN.items()):
                height = row + (place - 0.5) * 0.42
                of_quantity = numbers[(numbers["task"] == task) & (numbers["quantity"] == quantity)]
                of_seeds = of_quantity[of_quantity["seed"].notna()]
                differences = of_seeds["learned"] - of_seeds["monte_carlo"]
                panel.plot(differences, [height] * len(of_seeds), "o", color=arm_colour,
                           markersize=2.2, markeredgewidth=0, alpha=0.6, zorder=5)  # fmt: skip
                mean = of_quantity[of_quantity["seed"].isna()].iloc[0]
                estimate(panel, height, mean["mean"], mean["low"], mean["high"], arm_colour, height=0.34)
        panel.set_yticks(range(len(tasks)), tasks)
        panel.set(ylim=(len(tasks) - 0.4, -0.6), xlabel="Learned minus Monte Carlo floor, within seed (success rate)")
        panel.tick_params(axis="y", length=0)
        for edge in range(1, len(tasks)):
            panel.axhline(edge - 0.5, color=FAINT, linewidth=0.3, zorder=0)
        entries = [Line2D([], [], color=arm_colour, linewidth=4, alpha=0.7, label=METRICS[quantity].label)
                   for quantity, arm_colour in DRAWN.items()]  # fmt: skip
        figure.legend(handles=entries, loc="outside upper right", ncols=2)
    caption = (
        "Cal-QL with a learned floor minus Cal-QL with the Monte Carlo floor: a dot per seed, mean and "
        f"{CONFIDENCE:.0%} paired t interval; shaded: the claims' margin of {MARGIN:g}. "
        f"{_floors([row for row in estimates if row['quantity'] == QUANTITIES[0]])}"
    )
    return Drawing("learned_floor", "Learned against Monte Carlo floor", figure, numbers, caption)


def _floors(estimates: list[dict[str, Any]]) -> str:
    """A sentence about the difference of the floors themselves."""
    parts = [f"{row['task']} {row['mean']:+.3g} [{row['low']:.3g}, {row['high']:.3g}]" for row in estimates]
    counts = sorted({row["n"] for row in estimates})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    return (
        f"Mean difference of the floors themselves, in mapped return: {'; '.join(parts)}. {n} pairs of runs per task."
    )
