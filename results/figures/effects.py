"""Changes between arms: forest plots per task and over tasks, and the dose response of inflation."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.metrics import METRICS
from results.figures.drawing import Drawing
from results.figures.forest import BAR, estimate, forest, has_long_labels, not_applicable, places_of
from results.statistics.intervals import CONFIDENCE
from results.style import ACCENT, GREY, INK, PAGE, STYLE, colour, drawing_style, label
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
    places = places_of(numbers["arm"])
    with drawing_style():
        figure, panels = forest(places, len(PAIRED_PANELS), extra=0.8)
        for panel, (metric, title) in zip(panels, PAIRED_PANELS.items(), strict=True):
            of_metric: dict[Any, Any] = numbers[numbers["metric"] == metric].set_index("arm").to_dict("index")
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for arm, place in places.items():
                row = of_metric.get(arm)
                if row and not pd.isna(row["mean"]):
                    estimate(panel, place, row["mean"], row["low"], row["high"], colour(arm))
                else:
                    not_applicable(panel, place)
            panel.set_title(title)
        figure.supxlabel(
            f"Difference to {label(baseline)} within seed (success rate)", fontsize=STYLE["axes.labelsize"]
        )
    counts = sorted(set(numbers["n"]))
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    caption = (
        f"Every arm minus {label(baseline)}, within seed, on {task}: mean and {CONFIDENCE:.0%} paired t interval, not "
        f"adjusted for the number of arms. {n} paired runs per row."
    )
    return Drawing(f"paired_differences_{task}", f"Differences to {label(baseline)}", figure, numbers, caption, task)


# The quantities shown, and what a panel says of them.
EFFECT_PANELS = {
    "q_policy": "Q of the policy\n(share of range)",
    "bound_rate": "Bound rate\n(share of actions)",
    **{name: METRICS[name].axis_label for name in ("offline_score", "final_score", "regret_eval")},
}


def effects_figure(effects: Sequence[Effect]) -> Drawing | None:
    """Plot mean over tasks with interval: a row per arm, a panel per quantity, a dot per task; None for a single task.

    Numbers: the rows of `effects_table` for the quantities shown.
    """
    table = effects_table(effects)
    if table is None:
        return None
    numbers = table.numbers[table.numbers["quantity"].isin(EFFECT_PANELS)].reset_index(drop=True)
    pooled = {(effect.arm, effect.quantity): effect.estimate for effect in effects if effect.task == ""}
    places = places_of(arm for arm, _ in pooled)
    # A quantity that no arm has needs no panel: without inflated floors, the range of returns is unknown.
    shown = {quantity: EFFECT_PANELS[quantity] for quantity in EFFECT_PANELS if quantity in set(numbers["quantity"])}
    with drawing_style():
        figure, panels = forest(places, len(shown), extra=1.0)
        for panel, (quantity, title) in zip(panels, shown.items(), strict=True):
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for arm, place in places.items():
                if (arm, quantity) not in pooled:
                    not_applicable(panel, place)
                    continue
                over_tasks = pooled[arm, quantity]
                estimate(panel, place, over_tasks.mean, over_tasks.low, over_tasks.high, colour(arm))
            for effect in effects:
                if effect.quantity == quantity and effect.arm in places and effect.task:
                    _task_mark(panel, effect, places[effect.arm] + BAR / 2 + 0.1)
            panel.set_title(title)
            panel.locator_params(axis="x", nbins=3 if has_long_labels(places) else 4)
        title = f"Difference to {label(CENTRE)}, within seed"
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, title=title)
    tasks = list(dict.fromkeys(effect.task for effect in effects if effect.task))
    caption = (
        f"Every arm minus {label(CENTRE)}, within seed: mean over tasks with {CONFIDENCE:.0%} stratified bootstrap "
        "interval, which covers the choice of seeds, not of tasks; below it a dot per task, filled if the difference "
        f"is significant (p < {ALPHA}, exact sign-flip test, Holm-adjusted over the arms of a task). n/a: the arm has "
        f"no floor. n = {pairs_per_task(effects)} paired runs per task and arm; tasks: {', '.join(tasks)}."
    )
    return Drawing("effects", f"Differences to {label(CENTRE)}", figure, numbers, caption)


def pairs_per_task(effects: Sequence[Effect]) -> str:
    """The number of paired runs per task and arm: "10" or "6 to 10"."""
    pairs = sorted({effect.estimate.n for effect in effects if effect.task})
    return f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"


def _task_mark(panel: Axes, effect: Effect, height: float) -> None:
    """Plot the dot of one task, filled if the difference is significant."""
    face = colour(effect.arm) if effect.direction else "none"
    panel.plot(effect.estimate.mean, height, "o", color=colour(effect.arm), markerfacecolor=face, markersize=2.2,
               markeredgewidth=0.5, zorder=2)  # fmt: skip


def _legend() -> list[Any]:
    """The legend entries."""
    return [
        Patch(color=INK, alpha=0.55, linewidth=0, label="mean over tasks, interval over seeds"),
        Line2D([], [], color=GREY, marker="o", markersize=2.4, linewidth=0, label="one task, significant"),
        Line2D([], [], color=GREY, marker="o", markersize=2.4, linewidth=0, markerfacecolor="none",
               markeredgewidth=0.5, label="one task, not significant"),
    ]  # fmt: skip


# The quantities shown, and what a panel says of them.
DOSE_PANELS = {name: METRICS[name].label for name in ("bound_rate", "q_uniform", "offline_score", "regret_eval")}

# A task falls off if its mean regret rises by this much between neighbouring doses. So many are named.
CLIFF, MOST_NAMED = 0.3, 5
MARKERS = ("o", "s", "^", "D", "v")


def dose_response(effects: Sequence[Effect], frame: pd.DataFrame) -> Drawing | None:
    """Plot the difference to dose 0 against the dose: a line per task, those that fall off named, and their median.

    `effects`: from `results.tables.effects`; `frame`: from `results.frame.per_run.per_run`. None with fewer than two
    doses that have a mean over tasks. Numbers: task (empty: over all), arm, dose, quantity, mean, low, high, n.
    """
    numbers = dose_numbers(effects, frame)
    if numbers is None:
        return None
    named = cliffs(numbers)
    with drawing_style():
        figure = Figure(figsize=(PAGE, 2.35), layout="constrained")
        for panel, (quantity, title) in zip(figure.subplots(1, len(DOSE_PANELS)), DOSE_PANELS.items(), strict=True):
            dose_panel(panel, numbers[(numbers["quantity"] == quantity) & (numbers["task"] != "")], named)
            panel.set_title(title)
        figure.axes[0].set_ylabel("Difference to dose 0 (share)")
        figure.supxlabel("Inflation of the floor (share of the range of returns)", fontsize=STYLE["axes.labelsize"])
        figure.legend(handles=dose_legend(named), loc="outside upper center", ncols=4)
    n = sorted(set(numbers.loc[numbers["task"] != "", "n"]))
    caption = (
        f"Effect of inflating the floor: difference to {label(CENTRE)} within seed, a line per task; thick: their "
        f"median, which a few tasks that fall off do not move. Named: the tasks whose regret rises by {CLIFF:g} or "
        f"more between neighbouring doses. Q as a share of the range of returns, score and regret as success rates. "
        f"n = {' to '.join(map(str, dict.fromkeys((n[0], n[-1]))))} paired runs per task and dose."
    )
    return Drawing("dose_response", "Inflation of the floor", figure, numbers, caption)


def dose_numbers(effects: Sequence[Effect], frame: pd.DataFrame) -> pd.DataFrame | None:
    """The numbers of `dose_response`; None with fewer than two doses that have a mean over tasks."""
    inflated = frame[(frame["floor.base"] == CENTRE) & (frame["floor.inflation"] != 0) & additive(frame)]
    dose_of = inflated.groupby("arm")["floor.inflation"].first()
    pooled = {effect.arm for effect in effects if effect.task == ""}
    doses = {arm: dose for arm, dose in dose_of.sort_values().items() if arm in pooled}
    if len(doses) < 2:
        return None
    shown = [effect for effect in effects if effect.arm in doses and effect.quantity in DOSE_PANELS]
    numbers = pd.DataFrame([_row(effect, doses[effect.arm]) for effect in shown])
    return numbers.sort_values(["quantity", "task", "dose"], ignore_index=True)


def cliffs(numbers: pd.DataFrame) -> list[str]:
    """The tasks whose regret rises by `CLIFF` or more between neighbouring doses, those at the smallest dose first."""
    cliffs = {}
    for task, line in numbers[(numbers["quantity"] == "regret_eval") & (numbers["task"] != "")].groupby("task"):
        points = _with_origin(line)
        rises = points["mean"].diff()
        if rises.max() >= CLIFF:
            cliffs[str(task)] = float(points.loc[rises >= CLIFF, "dose"].min())
    return sorted(cliffs, key=lambda task: (cliffs[task], task))[:MOST_NAMED]


def dose_panel(
    panel: Axes, lines: pd.DataFrame, named: Sequence[str], labels: Sequence[float] = (-0.25, 0, 0.5, 1)
) -> None:
    """Plot the lines of tasks, those in `named` with markers, and their median; of the doses, `labels` are written."""
    panel.axhline(0, color=INK, linewidth=0.7, zorder=1)
    points = pd.concat([_with_origin(line).assign(task=task) for task, line in lines.groupby("task")])
    for task, line in points.groupby("task"):
        if task in named:
            place = list(named).index(str(task))
            panel.plot(line["dose"], line["mean"], color=ACCENT, marker=MARKERS[place], markersize=3, linewidth=1.0,
                       zorder=4)  # fmt: skip
        else:
            panel.plot(line["dose"], line["mean"], color=GREY, linewidth=0.7, zorder=2)
    median = points.groupby("dose")["mean"].median()
    panel.plot(median.index, median, color=INK, linewidth=1.6, zorder=3)
    ticks = sorted(points["dose"].unique())
    panel.set_xticks(ticks, [f"{dose:g}" if dose in labels or len(ticks) < 5 else "" for dose in ticks])


def dose_legend(named: Sequence[str]) -> list[Line2D]:
    """The legend entries of `dose_panel`."""
    return [
        *(Line2D([], [], color=ACCENT, marker=MARKERS[place], markersize=3, linewidth=1.0, label=task)
          for place, task in enumerate(named)),
        Line2D([], [], color=GREY, linewidth=0.7, label="other tasks"),
        Line2D([], [], color=INK, linewidth=1.6, label="median over tasks"),
    ]  # fmt: skip


def _row(effect: Effect, dose: float) -> dict[str, Any]:
    estimate = effect.estimate
    names = {"task": effect.task, "arm": effect.arm, "dose": dose, "quantity": effect.quantity}
    return {**names, "mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _with_origin(line: pd.DataFrame) -> pd.DataFrame:
    """The doses of a task in order, with dose 0, at which the difference is 0 by definition."""
    origin = pd.DataFrame([{"dose": 0.0, "mean": 0.0, "low": 0.0, "high": 0.0}])
    return pd.concat([line[["dose", "mean", "low", "high"]], origin]).sort_values("dose", ignore_index=True)
