"""The table of published numbers beside ours, for tasks and metrics with the same definition."""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from harness.metrics import METRICS
from results.frame import done
from results.frame.per_run import independent, replicated
from results.statistics.intervals import bounds_of, mean_interval
from results.style import label
from results.tables.table import Table, interval_text, number

# README.md in the same folder gives sources and definitions.
FILE = Path(__file__).parents[1] / "literature" / "corl_offline_to_online.csv"
SEEDS = 4

# Our task -> theirs; maze, data collection and score are the same.
TASKS = {
    f"antmaze-{maze}": f"antmaze-{maze}-v2"
    for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
}
ARMS = {"cql": "CQL", "monte_carlo": "Cal-QL"}

# Our column -> heading, their metric, its phase, and the factor between their unit and ours.
COLUMNS = {
    "offline_score": (METRICS["offline_score"].label, "score", "offline", 100.0),
    "final_score": (METRICS["final_score"].label, "score", "final", 100.0),
    "regret_train": (METRICS["regret_train"].label, "regret", "final", 1.0),
}


def beside_published(runs: pd.DataFrame) -> Table | None:
    """Our results and those of CORL for the tasks and arms that both have; None if there are none.

    Numbers: task, arm, source, metric, mean, low and high (ours), deviation (theirs; population), n.
    """
    finished = done(runs)
    numbers: list[dict[str, Any]] = []
    lines = []
    for (task, arm), group in finished.groupby(["task", "arm"], sort=False):
        if task not in TASKS or arm not in ARMS:
            continue
        ours = {"Task": str(task), "Arm": label(arm), "Source": "ours"}
        theirs = {"Task": str(task), "Arm": ARMS[arm], "Source": "CORL"}
        for column, (heading, metric, phase, unit) in COLUMNS.items():
            estimate = mean_interval(replicated(group[column], group), bounds=bounds_of(column, group))
            names = {"task": task, "arm": arm, "metric": column}
            numbers.append({**names, "source": "ours", "mean": estimate.mean, "low": estimate.low,
                            "high": estimate.high, "n": estimate.n})  # fmt: skip
            ours[heading] = interval_text(estimate, 2)
            mean, deviation = (value / unit for value in published(TASKS[task], ARMS[arm], metric, phase))
            numbers.append({**names, "source": "CORL", "mean": mean, "deviation": deviation, "n": SEEDS})
            theirs[heading] = f"{number(mean, 2)} (SD {number(deviation, 2)})"
        lines += [{**ours, "n": str(independent(group))}, {**theirs, "n": str(SEEDS)}]
    if not lines:
        return None
    columns = ["task", "arm", "source", "metric", "mean", "low", "high", "deviation", "n"]
    notes = (
        "Ours: mean over seeds [95% t interval]; CORL (Tarasov et al. 2023): mean and population standard deviation of "
        "4 seeds. Mazes, data collection and the definitions of score and regret are the same. The datasets have been "
        "regenerated since; CORL drops the floor online and, for CQL, merges offline and online data.",
    )
    return Table(
        "published",
        "Comparison with publications",
        pd.DataFrame(numbers, columns=columns),
        pd.DataFrame(lines),
        notes,
    )


def published(task: str, algorithm: str, metric: str, phase: str) -> tuple[float, float]:
    """Published mean and standard deviation."""
    rows = _published()
    (row,) = rows[(rows["algorithm"] == algorithm) & (rows["task"] == task) & (rows["metric"] == metric)].to_dict(
        "records"
    )
    return row[f"{phase}_mean"], row[f"{phase}_std"]


@cache
def _published() -> pd.DataFrame:
    return pd.read_csv(FILE)
