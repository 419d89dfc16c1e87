"""What inflating the floor changes, dose by dose, over all tasks."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.figures.drawing import Drawing
from results.figures.effects import pairs_per_task
from results.statistics.estimate import CONFIDENCE
from results.style import FAINT, INK, PAGE, STYLE, colours, label
from results.tables.effects import CENTRE, Effect

# The quantities shown, and what a panel says of them.
PANELS = {
    "bound_rate": "Bound rate",
    "q_uniform": "Q of random actions",
    "offline_score": "Score, offline end",
    "regret_eval": "regret_eval",
}


def dose_response(found: Sequence[Effect], frame: pd.DataFrame) -> Drawing | None:
    """Difference to the floor that is not inflated by dose: a line per task, mean over tasks with interval.

    `found`: of `results.tables.effects`, `frame`: of `results.verdicts.per_run`. None with fewer than two doses of
    which a mean over tasks is known. Numbers: task (empty: over all), arm, dose, quantity, mean, low, high, n.
    """
    inflated = frame[(frame["floor.base"] == CENTRE) & (frame["floor.inflation"] != 0)]
    dose_of = inflated.groupby("arm")["floor.inflation"].first()
    pooled = {effect.arm for effect in found if effect.task == ""}
    doses = {arm: dose for arm, dose in dose_of.sort_values().items() if arm in pooled}
    if len(doses) < 2:
        return None
    shown = [effect for effect in found if effect.arm in doses and effect.quantity in PANELS]
    numbers = pd.DataFrame([_row(effect, doses[effect.arm]) for effect in shown])
    numbers = numbers.sort_values(["quantity", "task", "dose"], ignore_index=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 1.9), layout="constrained")
        for panel, (quantity, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            panel.axhline(0, color=INK, linewidth=0.7, zorder=1)
            for task, line in numbers[numbers["quantity"] == quantity].groupby("task"):
                _line(panel, line, bool(task))
            panel.set(title=title, xticks=[-0.25, 0, 0.25, 0.5, 0.75, 1])
            panel.set_xticklabels(["", "0", "", "0.5", "", "1"])
        figure.axes[0].set_ylabel("Difference to dose 0")
        figure.supxlabel("Inflation of the floor (share of the range of returns)", fontsize=STYLE["axes.labelsize"])
    caption = (
        f"What inflating the floor changes against {label(CENTRE)}, within seed: a thin line per task, thick the mean "
        f"over tasks with its {CONFIDENCE:.0%} stratified bootstrap interval. Q as a share of the range of returns. "
        f"n = {pairs_per_task(shown)} pairs of runs per task and dose."
    )
    return Drawing("dose_response", "Inflation of the floor", figure, numbers, caption)


def _row(effect: Effect, dose: float) -> dict[str, Any]:
    estimate = effect.estimate
    names = {"task": effect.task, "arm": effect.arm, "dose": dose, "quantity": effect.quantity}
    return {**names, "mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _line(panel: Axes, line: pd.DataFrame, of_task: bool) -> None:
    """One task, or the mean of all; where nothing is added nothing differs."""
    origin = pd.DataFrame([{"dose": 0.0, "mean": 0.0, "low": 0.0, "high": 0.0}])
    points = pd.concat([line[["dose", "mean", "low", "high"]], origin]).sort_values("dose")
    if of_task:
        panel.plot(points["dose"], points["mean"], color=FAINT, linewidth=0.7, zorder=2)
        return
    colour = colours(["inflated_0.5"])["inflated_0.5"]
    panel.fill_between(points["dose"], points["low"], points["high"], color=colour, alpha=0.2, linewidth=0, zorder=3)
    panel.plot(points["dose"], points["mean"], "o-", color=colour, linewidth=1.5, markersize=3, zorder=4)
