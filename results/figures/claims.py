"""The figure of a claim about runs: the tested numbers per seed, with the estimate of every verdict."""

import re
import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.claim import Claim, Difference, DoseResponse, Equivalence, Level, NonInferiority, Test
from results.figures.curves import left_out, traces
from results.figures.drawing import SEED_TYPES, Drawing
from results.figures.forest import estimate, not_applicable
from results.frame import PAIRING
from results.statistics.intervals import CONFIDENCE, estimates_by
from results.style import (
    ACCENT,
    COLUMN,
    FAINT,
    INK,
    PAGE,
    SHADE,
    STYLE,
    axis_text,
    colours,
    drawing_style,
    in_order,
    label,
)
from results.verdicts.decisions import Verdict

# Columns of the numbers behind a figure of effects.
COLUMNS = ["task", "arm", *PAIRING, "value", "low", "high", "n", "p_value", "correlation", "outcome"]

# Characters per line of an axis label, and of the name of a row.
CHARACTERS_PER_LINE, CHARACTERS_OF_ROW = 56, 26


def claim_figure(verdicts: Sequence[Verdict], measured: pd.DataFrame) -> Drawing | None:
    """The figure of one claim, from all its verdicts and its numbers (`results.verdicts.runs.measured`).

    None if no verdict has runs.
    """
    judged = [verdict for verdict in verdicts if verdict.n]
    if not judged:
        return None
    if isinstance(judged[0].claim.test, DoseResponse):
        return _dose_response(judged, measured)
    return _effects(judged, measured)


def _effects(verdicts: Sequence[Verdict], measured: pd.DataFrame) -> Drawing:
    """Plot a row per verdict: a dot per seed, mean and interval, with the bound or the margin.

    Several arms on several tasks get a panel per task.

    Numbers: task, arm, data_seed and seed (empty: the mean), value, low, high, n, p_value, correlation, outcome.
    """
    claim = verdicts[0].claim
    wide = measured.pivot(index=["task", *PAIRING], columns="arm", values="value")
    of_task = {str(task): table.droplevel("task") for task, table in wide.groupby(level="task")}
    values = [_values(verdict, of_task[verdict.task]) for verdict in verdicts]
    rows_of = [_rows(verdict, of_seeds) for verdict, of_seeds in zip(verdicts, values, strict=True)]
    numbers = pd.DataFrame([row for of_verdict in rows_of for row in of_verdict], columns=COLUMNS).astype(SEED_TYPES)
    values_of = {(verdict.task, verdict.arm): of_seeds for verdict, of_seeds in zip(verdicts, values, strict=True)}
    tasks = list(dict.fromkeys(verdict.task for verdict in verdicts))
    arms = in_order(verdict.arm for verdict in verdicts)
    colour = colours(arms)
    if len(tasks) > 1 and len(arms) > 1:
        groups, rows = [[verdict for verdict in verdicts if verdict.task == task] for task in tasks], arms
    else:
        groups, rows = [list(verdicts)], tasks if len(tasks) > 1 else arms
    of_tasks = rows != arms
    names = rows if of_tasks else [textwrap.fill(label(arm), CHARACTERS_OF_ROW) for arm in rows]
    ticks = 3 if any("\n" in name for name in names) else 5
    with drawing_style():
        figure, panels = _grid(len(groups), 0.5 + 0.36 * len(rows), sharey=True)
        for panel, group in zip(panels, groups, strict=True):
            _mark(panel, claim.test)
            for verdict in group:
                place, arm_colour = rows.index(verdict.task if of_tasks else verdict.arm), colour[verdict.arm]
                _seeds(panel, values_of[verdict.task, verdict.arm], place - 0.05, arm_colour)
                estimate(panel, place + 0.2, verdict.effect, verdict.low, verdict.high, arm_colour, height=0.3)
            for place in set(range(len(rows))) - {
                rows.index(verdict.task if of_tasks else verdict.arm) for verdict in group
            }:
                not_applicable(panel, place)
            panel.set_yticks(range(len(rows)), names)
            panel.set(ylim=(len(rows) - 0.5, -0.5), title=group[0].task if len(groups) > 1 else "")
            panel.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
            panel.tick_params(axis="y", length=0)
            panel.margins(x=0.06)
        figure.supxlabel(axis_text(_axis(claim), CHARACTERS_PER_LINE), fontsize=STYLE["axes.labelsize"])
    caption = (
        f"{claim.statement} {_metric(claim)}: a dot per seed, mean and interval. {_legend(claim.test)} "
        f"{_method(verdicts, measured)}"
    )
    return Drawing(f"claim_{claim.id}", claim.statement, figure, numbers, caption)


def _dose_response(verdicts: Sequence[Verdict], measured: pd.DataFrame) -> Drawing:
    """Plot a panel per verdict: the number against the dose, a line per seed, mean and interval at every dose.

    Numbers: task, dose, data_seed and seed (empty: the mean over seeds), mean (the value, for a seed), low, high, n,
    method.
    """
    claim = verdicts[0].claim
    parts = []
    for verdict in verdicts:
        verdict_rows = measured[measured["run"].isin(verdict.runs)]
        keys = ["task", "dose"]
        parts += [
            estimates_by(verdict_rows.sort_values("dose"), keys, "value", verdict.bounds),
            verdict_rows[[*keys, *PAIRING, "value"]],
        ]
    numbers = pd.concat([part.rename(columns={"value": "mean"}) for part in parts], ignore_index=True)
    numbers = numbers[["task", "dose", *PAIRING, "mean", "low", "high", "n", "method"]]
    numbers = numbers.astype(SEED_TYPES)
    with drawing_style():
        figure, panels = _grid(len(verdicts), 1.9)
        for verdict, panel in zip(verdicts, panels, strict=True):
            verdict_numbers = numbers[numbers["task"] == verdict.task]
            traces(panel, verdict_numbers.dropna(subset="seed"), "dose", "mean", color=FAINT, linewidth=0.7, zorder=2)
            means = verdict_numbers[verdict_numbers["seed"].isna()]
            panel.vlines(means["dose"], means["low"], means["high"], color=ACCENT, linewidth=1.3, zorder=3)
            panel.plot(means["dose"], means["mean"], "o-", color=ACCENT, linewidth=1.3, markersize=4, zorder=4)
            panel.axvline(0, color=INK, linestyle=(0, (4, 2)), linewidth=0.6, zorder=1)
            panel.set(title=verdict.task)
        figure.supxlabel("Inflation of the floor (share of return range)", fontsize=STYLE["axes.labelsize"])
        figure.supylabel(axis_text(_axis(claim), 34), fontsize=STYLE["axes.labelsize"])
    caption = (
        f"{claim.statement} {_metric(claim)}, against the inflation of the floor; dashed: the Monte Carlo floor. Thin "
        f"lines: seeds; thick line: mean with {CONFIDENCE:.0%} t interval at every dose. "
        f"{_method(verdicts, measured)}{left_out(numbers)}"
    )
    return Drawing(f"claim_{claim.id}", claim.statement, figure, numbers, caption)


def _grid(count: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Create a figure of `count` panels, each `height` inches high, at most three per row."""
    columns = min(count, 3)
    rows = ceil(count / columns)
    figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 0.4 + height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flatten())
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def _seeds(panel: Axes, values: pd.Series, height: float, colour: str) -> None:
    """Plot a dot per seed, stacked upwards if seeds have the same value."""
    stack = values.groupby(values.round(6)).cumcount() * 0.3 / max(len(values) - 1, 5)
    panel.plot(values, height - stack, "o", color=colour, alpha=0.6, markersize=3, markeredgewidth=0, zorder=3)


def _values(verdict: Verdict, wide: pd.DataFrame) -> pd.Series:
    """The tested number of every seed, from the numbers of the verdict's task [`PAIRING`, arms]."""
    test = verdict.claim.test
    if isinstance(test, Difference | Equivalence | NonInferiority):
        return (wide[verdict.arm] - wide[test.baseline]).dropna()
    return wide[verdict.arm].dropna()


def _rows(verdict: Verdict, values: pd.Series) -> list[dict[str, Any]]:
    """The mean and the seeds of one verdict, a row each with some of the `COLUMNS`."""
    names = {"task": verdict.task, "arm": verdict.arm}
    mean = {
        "value": verdict.effect, "low": verdict.low, "high": verdict.high, "n": verdict.n, "p_value": verdict.p_value,
        "correlation": verdict.correlation, "outcome": verdict.outcome,
    }  # fmt: skip
    pairs: list[Any] = values.index.to_list()
    rows = [dict(zip(PAIRING, pair, strict=True)) | {"value": value} for pair, value in zip(pairs, values, strict=True)]
    return [names | row for row in (mean, *rows)]


def _mark(panel: Axes, test: Test) -> None:
    """Mark the bound of a level, the margin of an equivalence or non-inferiority test, otherwise zero difference."""
    match test:
        case Level():
            panel.axvline(test.bound, color=INK, linewidth=0.8, zorder=1)
        case Equivalence():
            panel.axvspan(-test.margin, test.margin, color=SHADE, linewidth=0, zorder=0)
            panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
        case NonInferiority():
            edge = -test.margin if test.better == "above" else test.margin
            panel.axvline(edge, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
            panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
        case _:
            panel.axvline(0, color=INK, linewidth=0.8, zorder=1)


def _legend(test: Test) -> str:
    """A sentence that explains the marks of `_mark`."""
    match test:
        case Level():
            return f"Line: {test.bound:g}."
        case Equivalence():
            return "Shaded: the margin of equivalence."
        case NonInferiority():
            return "Dashed: the margin beyond which the arm is worse."
        case _:
            return "Line: no difference."


def _axis(claim: Claim) -> str:
    """The axis label: the metric with its unit, as a difference if the test compares two arms."""
    quantity = claim.metric.partition(" (")[0].partition("; ")[0]
    if unit := re.search(r"\(([^();]+return|success rate)[;)]", claim.metric):
        quantity += f" ({unit[1]})"
    match claim.test:
        case Difference(baseline=baseline) | Equivalence(baseline=baseline) | NonInferiority(baseline=baseline):
            return f"Difference to {label(baseline)}: {quantity}"
        case _:
            return quantity[0].upper() + quantity[1:]


def _metric(claim: Claim) -> str:
    """The metric as in a caption, as a difference if the test compares two arms."""
    match claim.test:
        case Difference(baseline=baseline) | Equivalence(baseline=baseline) | NonInferiority(baseline=baseline):
            return f"Difference to {label(baseline)} within seed of {claim.metric}"
        case _:
            return claim.metric[0].upper() + claim.metric[1:]


def _method(verdicts: Sequence[Verdict], measured: pd.DataFrame) -> str:
    """A sentence with n and the test of the verdicts, stated once if equal."""
    methods = {verdict.method for verdict in verdicts}
    counts = sorted({verdict.n for verdict in verdicts})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    unit = "data seeds" if measured["data_seed"].nunique() > 1 else "seeds"
    return f"{n} {unit}; {'; '.join(sorted(methods))}."
