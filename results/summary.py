"""The results of runs in a terminal: a line per task and arm that fits in 80 columns."""

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from harness.command_line import text_table
from results.style import in_order
from results.tables.scores import scores
from results.tables.table import number

# Metrics shown, with their headings.
SHOWN = {"offline_score": "offline", "final_score": "online", "regret_eval": "regret", "dip": "dip"}

# More lines are summed up by arm.
LINES = 40


def result_lines(runs: pd.DataFrame) -> RenderableType:
    """The means of the table of scores, by task and arm, or by arm if there are many.

    Raises UserError if no run is done.
    """
    numbers = scores(runs).numbers
    shown = numbers[numbers["metric"].isin(SHOWN)]
    tasks, arms = shown["task"].unique(), in_order(shown["arm"])
    many = len(tasks) * len(arms) > LINES
    rows = []
    for task in tasks[:1] if many else tasks:
        for arm in arms:
            of_arm = shown[shown["arm"] == arm] if many else shown[(shown["arm"] == arm) & (shown["task"] == task)]
            if len(of_arm):
                means = of_arm.groupby("metric")["mean"].mean()
                seeds = int(of_arm[of_arm["metric"] == "offline_score"]["n"].sum())
                cells = [number(means[metric], 2) for metric in SHOWN]
                rows.append(([] if many or len(tasks) == 1 else [task]) + [arm, *cells, seeds])
    names = ["arm", *SHOWN.values(), "runs"]
    if many:
        title = f"means over {len(tasks)} tasks (success rate, regret and dip); tables by task are in the report"
    else:
        title = f"{tasks[0]}: means" if len(tasks) == 1 else "means"
        title += " over seeds (success rate, regret and dip)"
        names = names if len(tasks) == 1 else ["task", *names]
    return Group(Text(title), text_table(names, rows))
