"""The cells of grid `cause`, which tell the scale at the switch from the push-down online as causes of the fall."""

from dataclasses import asdict
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.fine_tuning_claims import DECAYED, LESS_DATA, LOWERED, NO_DATA, OFF, RECALIBRATED
from results.figures.curves import curves, mean_with_band
from results.figures.drawing import BAND, Drawing, counts, episodes, finished_of
from results.frame import PAIRING
from results.frame.per_run import replicated, training_scores
from results.statistics.intervals import CONFIDENCE, bounds_of, mean_interval
from results.style import FAINT, INK, PAGE, colour, drawing_style, label

ARMS = ("cql", "monte_carlo")

# Columns and line styles: titles and labels of the two levels of each factor, with the settings that an arm's name has.
PUSH_DOWN = {"The push-down goes on online": "", "The push-down ends at the switch": OFF}
CRITICS: dict[str, tuple[str, dict[str, Any]]] = {
    "critics unchanged": ("", {}),
    "shifted to the returns of the policy": (RECALIBRATED, {"linestyle": (0, (4, 1.6))}),
}

# The factorial: levels of three factors, with the settings that an arm's name has, and the arms with their markers.
# Where the push-down ends, a floor that is removed at the switch is the same as one that stays: no cell.
MIXING_RATIOS = {"half offline data": "", "a quarter of offline data": LESS_DATA, "no offline data": NO_DATA}
PUSH_DOWNS = {"goes on": "", "decays": DECAYED, "ends": OFF}
SHIFTS = {"critics unchanged": "", "critics recalibrated": RECALIBRATED, "critics lowered": LOWERED}
FLOORS = {"cql": "o", "monte_carlo": "s", "calibrated_offline": "^"}
POINTS: dict[str, Any] = {"linestyle": "none", "markersize": 4.4, "markeredgewidth": 0}

# Rows: quantities with the labels of their axes.
QUANTITIES = {
    "score": "Success rate",
    "train_score": "Success rate,\ntraining episodes",
    "q_policy": r"$Q(s,\,\pi(s))$ (mapped return)",
}


def cell(arm: str, *settings: str) -> str:
    """The name of a variant: "cql[alpha=0,alpha_decay=0]"."""
    varied = ",".join(filter(None, settings))
    return f"{arm}[{varied}]" if varied else arm


CELLS = [cell(arm, off, shift) for arm, off, (shift, _) in product(ARMS, PUSH_DOWN.values(), CRITICS.values())]


def causes(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot score and Q over the online phase in the eight cells: a figure per task, a column per push-down online.

    Only tasks with runs of all cells have one, and only of the seeds that all cells have, so that the lines are of the
    same offline phases. Numbers: as returned by `results.figures.curves.curves`.
    """
    online = evaluations[(evaluations["step"] >= 0) & evaluations["arm"].isin(CELLS)]
    common = ["task", *PAIRING]
    in_all = online.groupby(common)["arm"].transform("nunique") == len(CELLS)
    complete = online[in_all].groupby("task", sort=False)
    return [_causes(finished_of(runs[runs["run"].isin(rows["run"])], task), rows, str(task)) for task, rows in complete]


def _causes(finished: pd.DataFrame, rows: pd.DataFrame, task: str) -> Drawing:
    numbers = curves(rows.assign(train_score=training_scores(rows)), list(QUANTITIES))
    means = numbers[numbers["seed"].isna()]
    with drawing_style():
        figure = Figure(figsize=(PAGE, 5.2), layout="constrained")
        grid = figure.subplots(len(QUANTITIES), len(PUSH_DOWN), sharex=True, sharey="row")
        for (row, quantity), (column, (title, off)) in product(enumerate(QUANTITIES), enumerate(PUSH_DOWN.items())):
            panel = grid[row][column]
            for arm, (shift, line_style) in product(ARMS, CRITICS.values()):
                of_cell = means[(means["arm"] == cell(arm, off, shift)) & (means["quantity"] == quantity)]
                if shift:
                    panel.plot(of_cell["step"], of_cell["mean"], color=colour(arm), linewidth=1.5, **line_style)
                else:
                    mean_with_band(panel, of_cell, 0, colour(arm))
            panel.set(title=title if row == 0 else "", ylabel=QUANTITIES[quantity] if column == 0 else "")
            panel.margins(x=0.02)
        for row in (0, 1):
            grid[row][0].set_ylim(-0.03, 1.03)
        figure.supxlabel("Environment steps after the switch", fontsize=grid[0][0].xaxis.label.get_fontsize())
        entries = [
            Line2D([], [], color=colour(arm), linewidth=1.5, label=f"{label(arm)}: {text}", **line_style)
            for arm, (text, (_, line_style)) in product(ARMS, CRITICS.items())
        ]
        figure.legend(handles=entries, loc="outside upper center", ncols=2)
    caption = (
        f"Online phase on {task}, from one offline phase per algorithm and seed. Left: the push-down goes on; right: "
        "it ends at the switch. Training episodes: those since the previous evaluation, with actions that are sampled. "
        "Dashed: critics shifted at the switch by a constant, so that their mean agrees with "
        f"the returns of the policy. Lines: means over data seeds; bands, for unchanged critics: {BAND}. "
        f"{counts(finished[finished['arm'].isin(CELLS)])} {episodes(finished)}"
    )
    return Drawing(f"cause_{task}", "What causes the fall", figure, numbers, caption, task)


def factorial(per_run: pd.DataFrame) -> list[Drawing]:
    """Plot the change online in all cells of the factorial, a figure per task.

    A row per mixing ratio all of whose cells have finished runs, a column per shift of the critics. `per_run` is the
    frame of `results.frame.per_run.per_run`. Numbers: task, arm, mixing, push_down, critics, floor, mean, low, high, n,
    method.
    """
    return [
        drawing
        for task, rows in per_run.groupby("task", sort=False)
        if (drawing := _factorial(str(task), rows.dropna(subset="online_change"))) is not None
    ]


def _factorial(task: str, rows: pd.DataFrame) -> Drawing | None:
    """The figure of one task; None if no mixing ratio has all its cells."""
    estimates = []
    for mixing, ratio in MIXING_RATIOS.items():
        cells = {
            (push_down, shift, floor): cell(floor, ratio, PUSH_DOWNS[push_down], SHIFTS[shift])
            for push_down, shift, floor in product(PUSH_DOWNS, SHIFTS, FLOORS)
            if floor in ARMS or PUSH_DOWNS[push_down] != OFF
        }
        if not set(cells.values()) <= set(rows["arm"]):
            continue
        for (push_down, shift, floor), arm in cells.items():
            of_cell = rows[rows["arm"] == arm]
            values = replicated(of_cell["online_change"], of_cell)
            interval = asdict(mean_interval(values, bounds=bounds_of("online_change", of_cell)))
            levels = {"mixing": mixing, "push_down": push_down, "critics": shift, "floor": floor}
            estimates.append({"task": task, "arm": arm, **levels, **interval})
    if not estimates:
        return None
    numbers = pd.DataFrame(estimates)
    ratios = list(numbers["mixing"].unique())
    with drawing_style():
        figure = Figure(figsize=(PAGE, 0.8 + 1.8 * len(ratios)), layout="constrained")
        grid = figure.subplots(len(ratios), len(SHIFTS), sharex=True, sharey=True, squeeze=False)
        for (row, mixing), (column, shift) in product(enumerate(ratios), enumerate(SHIFTS)):
            panel = grid[row][column]
            panel.axhline(0, color=INK, linewidth=0.6, zorder=1)
            shown = numbers[(numbers["critics"] == shift) & (numbers["mixing"] == mixing)]
            for place, (floor, marker) in enumerate(FLOORS.items()):
                of_floor = shown[shown["floor"] == floor]
                positions = [
                    list(PUSH_DOWNS).index(push_down) + 0.16 * (place - 1) for push_down in of_floor["push_down"]
                ]
                panel.vlines(positions, of_floor["low"], of_floor["high"], color=colour(floor), linewidth=1.1)
                panel.plot(positions, of_floor["mean"], color=colour(floor), marker=marker, **POINTS)
            for edge in range(1, len(PUSH_DOWNS)):
                panel.axvline(edge - 0.5, color=FAINT, linewidth=0.3, zorder=0)
            panel.set_xticks(range(len(PUSH_DOWNS)), list(PUSH_DOWNS))
            panel.set(
                title=shift if row == 0 else "",
                ylabel=f"Change online (share),\n{mixing}" if column == 0 else "",
                xlim=(-0.5, 2.5),
            )
        figure.supxlabel("Push-down after the switch", fontsize=grid[0][0].xaxis.label.get_fontsize())
        entries = [
            Line2D([], [], color=colour(floor), marker=marker, label=label(floor), **POINTS)
            for floor, marker in FLOORS.items()
        ]
        figure.legend(handles=entries, loc="outside upper center", ncols=len(FLOORS))
    n = " to ".join(str(count) for count in sorted({numbers["n"].min(), numbers["n"].max()}))
    caption = (
        f"Change online on {task} by the push-down after the switch (horizontal), the critics at the switch (columns: "
        "unchanged, shifted to the returns of the policy, lowered by a quarter of the return range) and the share of "
        f"offline data in the batches (rows). Mean and {CONFIDENCE:.0%} t interval, n = {n} "
        "data seeds. Where the push-down ends, a floor that is removed at the switch is the same as one that stays."
    )
    return Drawing(f"factorial_{task}", "Scale, push-down and offline data as causes", figure, numbers, caption, task)
