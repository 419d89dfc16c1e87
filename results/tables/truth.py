"""The table of calibration against truth, for tasks whose values are known."""

from dataclasses import asdict

import pandas as pd

from results.statistics.estimate import CONFIDENCE
from results.statistics.intervals import mean_interval
from results.style import label
from results.tables.table import Table
from results.tables.text import interval_text

# Column of the evaluations, heading, and what it is for the reader.
COLUMNS = (
    ("calibration_exact", "Q - V_mu", "mean Q(s, pi(s)) of the two critics - true value of the behaviour policy; below "
     "0 the critic's scale lies under the behaviour's"),
    ("overestimation_exact", "Q - V_pi", "the same Q - true value of the run's own deterministic policy; above 0 the "
     "critic is not conservative"),
    ("policy_gap_exact", "V* - V_pi", "what the policy lacks to the best one; less Q - V_pi it is V* - Q, the part of "
     "regret that is miscalibration"),
    ("floor_error", "Floor - V_mu", "mean error of the floor"),
    ("floor_rmse", "Floor RMSE", "root of its mean squared error; with Monte Carlo floors the spread of the returns"),
)  # fmt: skip


def truth(evaluations: pd.DataFrame) -> Table | None:
    """Values and floors against the truth at the end of either phase, or None where no task's values are known.

    `evaluations` is the frame of that name. Numbers: task, at, arm, metric, mean, low, high, n and
    method.
    """
    if "calibration_exact" not in evaluations:
        return None
    known = evaluations[evaluations["calibration_exact"].notna()]
    if known.empty:
        return None
    last = known.groupby("run", sort=False).tail(1)
    ends = {"offline end": known[known["step"] == 0], "online end": last[last["phase"] == "online"]}
    numbers, lines = [], []
    for task in known["task"].unique():
        for at, rows in ends.items():
            for arm, group in rows[rows["task"] == task].groupby("arm", sort=False):
                line = {"Task": task, "At": at, "Arm": label(arm)}
                for metric, heading, _ in COLUMNS:
                    estimate = mean_interval(group[metric])
                    numbers.append({"task": task, "at": at, "arm": arm, "metric": metric, **asdict(estimate)})
                    line[heading] = interval_text(estimate, 2)
                lines.append({**line, "n": str(len(group))})
    notes = (
        "Over the probe transitions of the dataset, against values that are computed from the problem itself, in units "
        f"of the mapped return; mean over seeds [{CONFIDENCE:.0%} t interval]. A critic that is calibrated and "
        "conservative lies between V_mu and V_pi.",
        *(f"{heading}: {meaning}." for _, heading, meaning in COLUMNS),
    )
    return Table("truth", "Calibration against truth", pd.DataFrame(numbers), pd.DataFrame(lines), notes)
