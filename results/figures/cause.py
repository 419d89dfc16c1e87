"""The cells of grid `cause` that tell the scale at the switch from the push-down online as causes of the fall."""

from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.fine_tuning_claims import OFF, RECALIBRATED
from results.figures.curves import curves, mean_with_band
from results.figures.drawing import BAND, Drawing, counts, episodes, finished_of
from results.frame import PAIRING
from results.frame.per_run import training_scores
from results.style import PAGE, colour, drawing_style, label

ARMS = ("cql", "monte_carlo")

# Columns and line styles: titles and labels of the two levels of each factor, with the settings that an arm's name has.
PUSH_DOWN = {"The push-down goes on online": "", "The push-down ends at the switch": OFF}
CRITICS: dict[str, tuple[str, dict[str, Any]]] = {
    "critics unchanged": ("", {}),
    "shifted to the returns of the policy": (RECALIBRATED, {"linestyle": (0, (4, 1.6))}),
}

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
