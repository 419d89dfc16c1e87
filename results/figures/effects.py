"""Changes between arms: forest plots per task and over tasks, and the dose response of inflation."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.metrics import METRICS
from results.figures.drawing import Drawing
from results.statistics.intervals import CONFIDENCE
from results.style import FAINT, INK, PAGE, SHADE, STYLE, colours, drawing_style, in_order, label
from results.tables.effects import ALPHA, CENTRE, Effect, additive, effects_table

# Metrics of the table of differences, and what a panel says of them.
PAIRED_PANELS = {name: METRICS[name].axis_label for name in ("final_score", "regret_eval", "dip")}


def paired_differences(differences: pd.DataFrame) -> list[Drawing]:
    """Plot the mean difference to the baseline with its interval: a figure per task, a row per arm, a panel per metric.

    `differences`: the numbers of the table of differences. Numbers: its rows for the task and the metrics shown.
    """
    shown = differences[differences["metric"].isin(PAIRED_PANELS)]
    return [_of_task(str(task), of_task.reset_index(drop=True)) for task, of_task in shown.groupby("task", sort=False)]


def _of_task(task: str, numbers: pd.DataFrame) -> Drawing:
    """Plot the figure of one task."""
    baseline = numbers["baseline"].iloc[0]
    arms = in_order(numbers["arm"])
    colour = colours(arms)
    with drawing_style():
        figure = Figure(figsize=(PAGE, 0.8 + 0.24 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(PAIRED_PANELS), sharey=True)
        for panel, (metric, title) in zip(panels, PAIRED_PANELS.items(), strict=True):
            of_metric = numbers[numbers["metric"] == metric].set_index("arm")
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for place, arm in enumerate(arms):
                if place % 2:
                    panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.6, linewidth=0, zorder=0)
                if arm not in of_metric.index:
                    continue
                row = of_metric.loc[arm]
                panel.plot([row["low"], row["high"]], [place, place], color=colour[arm], linewidth=1.3, zorder=3)
                panel.plot(row["mean"], place, "o", color=colour[arm], markersize=4, zorder=4)
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
        f"adjusted for the number of arms. {n} paired runs per row."
    )
    return Drawing(f"paired_differences_{task}", f"Paired differences, {task}", figure, numbers, caption)


# The quantities shown, and what a panel says of them.
EFFECT_PANELS = {
    "q_policy": "Q of the policy\n(share of return range)",
    "bound_rate": "Bound rate\n(share of actions)",
    **{name: METRICS[name].axis_label for name in ("offline_score", "regret_eval")},
}


def effects_figure(effects: Sequence[Effect]) -> Drawing | None:
    """Plot mean over tasks with interval: a row per arm, a panel per quantity, a dot per task; None for a single task.

    Numbers: the rows of `effects_table` for the quantities shown.
    """
    table = effects_table(effects)
    if table is None:
        return None
    numbers = table.numbers[table.numbers["quantity"].isin(EFFECT_PANELS)].reset_index(drop=True)
    arms = in_order(effect.arm for effect in effects if effect.task == "")
    colour = colours(arms)
    with drawing_style():
        figure = Figure(figsize=(PAGE, 0.9 + 0.2 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(EFFECT_PANELS), sharey=True)
        for panel, (quantity, title) in zip(panels, EFFECT_PANELS.items(), strict=True):
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for place in range(1, len(arms), 2):
                panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.6, linewidth=0, zorder=0)
            for effect in effects:
                if effect.quantity == quantity and effect.arm in colour:
                    _mark(panel, effect, arms.index(effect.arm), colour[effect.arm])
            panel.set(title=title, ylim=(len(arms) - 0.5, -0.5))
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(arms)), [label(arm) for arm in arms])
        for panel in panels:
            panel.locator_params(axis="x", nbins=4)
        title = f"Difference to {label(CENTRE)}, within seed"
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, title=title)
    tasks = list(dict.fromkeys(effect.task for effect in effects if effect.task))
    caption = (
        f"Every arm minus {label(CENTRE)}, within seed: mean over tasks with {CONFIDENCE:.0%} stratified bootstrap "
        f"interval, and a small dot per task, filled if the difference is significant (p < {ALPHA}, exact sign-flip "
        f"test, Holm-adjusted over the arms of a task). n = {pairs_per_task(effects)} paired runs per task and "
        f"arm; tasks: {', '.join(tasks)}."
    )
    return Drawing("effects", f"Differences to {label(CENTRE)}", figure, numbers, caption)


def pairs_per_task(effects: Sequence[Effect]) -> str:
    """The number of paired runs per task and arm: "10" or "6 to 10"."""
    pairs = sorted({effect.estimate.n for effect in effects if effect.task})
    return f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"


def _mark(panel: Axes, effect: Effect, row: int, colour: str) -> None:
    """Plot a dot for one task, or mean and interval over all tasks."""
    estimate = effect.estimate
    if effect.task:
        face = colour if effect.direction else "none"
        panel.plot(estimate.mean, row + 0.22, "o", color=colour, markerfacecolor=face, markersize=2.4,
                   markeredgewidth=0.5, zorder=2)  # fmt: skip
        return
    panel.plot([estimate.low, estimate.high], [row - 0.12] * 2, color=colour, linewidth=1.3, zorder=3)
    panel.plot(estimate.mean, row - 0.12, "o", color=colour, markersize=4, zorder=4)


def _legend() -> list[Line2D]:
    """The legend entries."""
    return [
        Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.3, label="mean over tasks"),
        Line2D([], [], color=FAINT, marker="o", markersize=2.4, linewidth=0, label="one task, significant"),
        Line2D([], [], color=FAINT, marker="o", markersize=2.4, linewidth=0, markerfacecolor="none",
               markeredgewidth=0.5, label="one task, not significant"),
    ]  # fmt: skip


# The quantities shown, and what a panel says of them.
DOSE_PANELS = {name: METRICS[name].label for name in ("bound_rate", "q_uniform", "offline_score", "regret_eval")}


def dose_response(effects: Sequence[Effect], frame: pd.DataFrame) -> Drawing | None:
    """Plot the difference to dose 0 against the dose: a line per task, and the mean over tasks with its interval.

    `effects`: from `results.tables.effects`; `frame`: from `results.verdicts.runs.per_run`. None with fewer than two
    doses that have a mean over tasks. Numbers: task (empty: over all), arm, dose, quantity, mean, low, high, n.
    """
    inflated = frame[(frame["floor.base"] == CENTRE) & (frame["floor.inflation"] != 0) & additive(frame)]
    dose_of = inflated.groupby("arm")["floor.inflation"].first()
    pooled = {effect.arm for effect in effects if effect.task == ""}
    doses = {arm: dose for arm, dose in dose_of.sort_values().items() if arm in pooled}
    if len(doses) < 2:
        return None
    shown = [effect for effect in effects if effect.arm in doses and effect.quantity in DOSE_PANELS]
    numbers = pd.DataFrame([_row(effect, doses[effect.arm]) for effect in shown])
    numbers = numbers.sort_values(["quantity", "task", "dose"], ignore_index=True)
    with drawing_style():
        figure = Figure(figsize=(PAGE, 1.9), layout="constrained")
        for panel, (quantity, title) in zip(figure.subplots(1, len(DOSE_PANELS)), DOSE_PANELS.items(), strict=True):
            panel.axhline(0, color=INK, linewidth=0.7, zorder=1)
            for task, line in numbers[numbers["quantity"] == quantity].groupby("task"):
                _line(panel, line, bool(task))
            panel.set(title=title, xticks=[-0.25, 0, 0.25, 0.5, 0.75, 1])
            panel.set_xticklabels(["", "0", "", "0.5", "", "1"])
        figure.axes[0].set_ylabel("Difference to dose 0")
        figure.supxlabel("Inflation of the floor (share of the range of returns)", fontsize=STYLE["axes.labelsize"])
    caption = (
        f"Effect of inflating the floor: difference to {label(CENTRE)} within seed. Thin: tasks; thick: mean "
        f"over tasks with {CONFIDENCE:.0%} stratified bootstrap interval. Q as a share of the range of returns. "
        f"n = {pairs_per_task(shown)} paired runs per task and dose."
    )
    return Drawing("dose_response", "Inflation of the floor", figure, numbers, caption)


def _row(effect: Effect, dose: float) -> dict[str, Any]:
    estimate = effect.estimate
    names = {"task": effect.task, "arm": effect.arm, "dose": dose, "quantity": effect.quantity}
    return {**names, "mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _line(panel: Axes, line: pd.DataFrame, of_task: bool) -> None:
    """Plot one task, or the mean over tasks; the difference at dose 0 is 0 by definition."""
    origin = pd.DataFrame([{"dose": 0.0, "mean": 0.0, "low": 0.0, "high": 0.0}])
    points = pd.concat([line[["dose", "mean", "low", "high"]], origin]).sort_values("dose")
    if of_task:
        panel.plot(points["dose"], points["mean"], color=FAINT, linewidth=0.7, zorder=2)
        return
    colour = colours(["inflated_0.5"])["inflated_0.5"]
    panel.fill_between(points["dose"], points["low"], points["high"], color=colour, alpha=0.2, linewidth=0, zorder=3)
    panel.plot(points["dose"], points["mean"], "o-", color=colour, linewidth=1.5, markersize=3, zorder=4)
