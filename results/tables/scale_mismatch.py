"""The scale of Q against the data's returns, arm by arm."""

import pandas as pd

from results.frame import done
from results.statistics.estimate import CONFIDENCE
from results.statistics.intervals import mean_interval
from results.style import label
from results.tables.table import Table
from results.tables.text import interval_text, number

# The settings that decide the scale of Q, by the words a reader knows them by.
SCALE_SETTINGS = {
    "task.data.transitions": "transitions",
    "task.data.action_noise": "action noise",
    "task.reward_scale": "reward scale",
    "task.reward_bias": "reward bias",
    "task.discount": "discount",
    "algorithm.alpha": "alpha",
    "algorithm.critic_learning_rate": "critic rate",
    "algorithm.tau": "tau",
    "schedule.offline_steps": "offline updates",
}


def scale_mismatch(runs: pd.DataFrame) -> Table:
    """Mean Q on dataset actions against mean return-to-go at the end of the offline phase, a row per task and arm.

    Numbers, seed by seed: task, arm, seed, q_data, return_to_go, difference, below (whether Q lies below the other).
    """
    finished = done(runs)
    numbers = finished[["task", "arm", "seed"]].assign(
        q_data=finished["offline_q_data"],
        return_to_go=finished["offline_return_to_go"],
        difference=finished["offline_q_data"] - finished["offline_return_to_go"],
        below=finished["offline_q_data"] < finished["offline_return_to_go"],
    )
    lines = []
    for (task, arm), group in numbers.groupby(["task", "arm"], sort=False):
        line = {
            "Task": task,
            "Arm": label(arm),
            "Mean return-to-go": number(group["return_to_go"].mean(), 1),
            "Mean Q": interval_text(mean_interval(group["q_data"]), 1),
            "Difference": interval_text(mean_interval(group["difference"]), 1, sign=True),
            "Seeds below": f"{int(group['below'].sum())} of {len(group)}",
        }
        lines.append(line)
    notes = (
        "Mean Q: Q(s, a) of the two critics over the probe transitions of the dataset at the end of the offline phase, "
        f"in units of the mapped return, mean over seeds [{CONFIDENCE:.0%} t interval].",
        "Seeds below: those in which mean Q lies below the mean return-to-go of the same transitions.",
        *(f"{task}: {_scale_settings(group)}." for task, group in finished.groupby("task", sort=False)),
    )
    return Table("scale_mismatch", "Scale of Q against the data's returns", numbers, pd.DataFrame(lines), notes)


def _scale_settings(runs: pd.DataFrame) -> str:
    """What decides the scale of Q in the runs of a task, in words."""
    values = {name: runs[column].drop_duplicates() for column, name in SCALE_SETTINGS.items() if column in runs}
    return ", ".join(f"{name} {' or '.join(f'{value:.6g}' for value in each)}" for name, each in values.items())
