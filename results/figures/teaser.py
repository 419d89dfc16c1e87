"""The figure that opens README: curves through the switch, and what an inflated floor costs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from results.figures.curves import STEPS, accent_of, curves, finish_curves, mean_with_band, switch_of
from results.figures.drawing import BAND, Drawing, counts, finished_of
from results.figures.effects import cliffs, dose_legend, dose_numbers, dose_panel
from results.frame import Frames, done
from results.style import PAGE, colour, drawing_style, label
from results.tables.effects import Effect

# Where a legend hides no curve.
BELOW: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.2), "labelspacing": 0.3}

# The arms of the curves.
COMPARED = ("cql", "monte_carlo")
SHOWN = (*COMPARED, "inflated_0.25")


def teaser(frames: Frames, effects: Sequence[Effect], measures: pd.DataFrame) -> Drawing | None:
    """Plot the success rate of `SHOWN` on the task where CQL and Cal-QL differ most in regret, and regret against dose.

    `frames` are those of the curves. `effects` and `measures` are those of the doses, from `results.tables.effects` and
    `results.frame.per_run.per_run`. None without CQL and Cal-QL, or several tasks and doses. Numbers: of the curves,
    then of the doses.
    """
    doses = dose_numbers(effects, measures)
    finished = done(frames.runs)
    shown = [arm for arm in SHOWN if arm in set(finished["arm"])]
    if doses is None or not set(COMPARED) <= set(shown):
        return None
    task = task_that_differs(finished)
    rows = frames.evaluations[(frames.evaluations["task"] == task) & frames.evaluations["arm"].isin(shown)]
    numbers, named, of_task = curves(rows, ["score"]), cliffs(doses), finished_of(frames.runs, task)
    regret = doses[(doses["quantity"] == "regret_eval") & (doses["task"] != "")]
    with drawing_style():
        figure = Figure(figsize=(PAGE, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for arm in shown:
            means = numbers[(numbers["arm"] == arm) & numbers["seed"].isna()]
            arm_colour = colour(arm, accent_of(shown))
            mean_with_band(left, means, switch_of(of_task), arm_colour)
            left.plot([], [], color=arm_colour, linewidth=1.5, label=label(arm))
        finish_curves(left, of_task)
        # The caption explains the steps in full.
        left.set(title=task, ylabel="Success rate", ylim=(-0.03, 1.03), xlabel=f"{STEPS.partition(':')[0]}")
        left.legend(**BELOW)
        dose_panel(right, regret, named, labels=(-0.25, 0, 0.25, 0.5, 1))
        right.set(title="Regret of an inflated floor", xlabel="Inflation (share of the range of returns)",
                  ylabel="Difference to dose 0 (success rate)")  # fmt: skip
        right.legend(handles=dose_legend(named), ncols=2, **BELOW)
    caption = (
        f"Left: success rate on {task}, mean and {BAND}; gradient steps, then (+), from the dashed line on, "
        f"environment steps. {counts(of_task[of_task['arm'].isin(shown)])} Right: regret during fine-tuning against "
        f"the inflation of the floor, a line per task; named: the tasks that fall off."
    )
    both = pd.concat([numbers.assign(task=task), regret], ignore_index=True)
    return Drawing("teaser", "What the floor does", figure, both, caption)


def task_that_differs(finished: pd.DataFrame) -> str:
    """The task on which CQL and Cal-QL differ most in regret."""
    means = finished.groupby(["task", "arm"])["regret_eval"].mean().unstack("arm")
    return str((means["cql"] - means["monte_carlo"]).abs().idxmax())
