"""The table of runs of others beside ours, for the metrics whose definitions match."""

from typing import Any

import pandas as pd

from harness.metrics import METRICS
from results.frame import done
from results.frame.foreign import OURS, name_beside_ours, summaries
from results.frame.per_run import independent, replicated
from results.statistics.intervals import CONFIDENCE, bounds_of, mean_interval
from results.style import label
from results.tables.table import Table, interval_text

# What `results.frame.foreign.summaries` computes.
COLUMNS = {name: METRICS[name].label for name in ("offline_score", "final_score", "regret_eval")}


def beside_foreign(runs: pd.DataFrame, foreign: pd.DataFrame) -> Table | None:
    """Our arms and those of others on the tasks that both have; None if there are none.

    Numbers: task, arm, source, metric, mean, low, high, n, method; the source of ours is "floorbench".
    """
    finished = done(runs)
    theirs = foreign[foreign["task"].isin(finished["task"])]
    if theirs.empty:
        return None
    summary = summaries(theirs)
    numbers: list[dict[str, Any]] = []
    lines: list[dict[str, str]] = []

    def add(task: object, arm: object, source: object, name: str, group: pd.DataFrame) -> None:
        line = {"Task": str(task), "Arm": name}
        for column, heading in COLUMNS.items():
            values = replicated(group[column], group) if source == OURS else group[column]
            estimate = mean_interval(values, bounds=bounds_of(column, group))
            numbers.append({
                "task": task, "arm": arm, "source": source, "metric": column, "mean": estimate.mean,
                "low": estimate.low, "high": estimate.high, "n": estimate.n, "method": estimate.method,
            })  # fmt: skip
            line[str(heading)] = interval_text(estimate, 2)
        lines.append({**line, "n": str(independent(group) if source == OURS else len(group))})

    for task, of_task in finished.groupby("task", sort=False):
        of_others = summary[summary["task"] == task]
        if of_others.empty:
            continue
        for arm, group in of_task.groupby("arm", sort=False):
            add(task, arm, OURS, label(arm), group)
        for (source, other), group in of_others.groupby(["source", "arm"], sort=False):
            add(task, other, source, name_beside_ours(other, source), group)
    sources = theirs.drop_duplicates(["source", "sha256"])
    notes = (
        f"Cells give the mean over runs [{CONFIDENCE:.0%} t interval]; rows with a source in brackets are runs of "
        "others, which are in no average of ours. Scores are success rates or normalised returns, at the switch and at "
        "the last evaluation; regret_eval is computed from the scores of each run as ours is. Implementations, data "
        "and numbers of steps may differ.",
        *(
            f"{row['source']}: {row['metric']} of {row['file']} (SHA-256 {row['sha256'][:12]}), offline phase of "
            f"{row['offline_steps']:,} steps."
            for row in sources.to_dict("records")
        ),
    )
    return Table("foreign", "Runs of others", pd.DataFrame(numbers), pd.DataFrame(lines), notes)
