"""The scale of Q against the data's returns, seed by seed."""

import pandas as pd

from results.frame import done
from results.style import label
from results.tables.table import Table
from results.tables.text import NONE, number

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
    """Mean Q on dataset actions against mean return-to-go at the end of the offline phase, seed by seed.

    Numbers: task, arm, seed, q_data, return_to_go, difference, below (whether Q lies below the return-to-go).
    """
    finished = done(runs)
    numbers = finished[["task", "arm", "seed"]].assign(
        q_data=finished["offline_q_data"],
        return_to_go=finished["offline_return_to_go"],
        difference=finished["offline_q_data"] - finished["offline_return_to_go"],
        below=finished["offline_q_data"] < finished["offline_return_to_go"],
    )
    lines, notes = [], []
    for task, of_task in numbers.groupby("task", sort=False):
        for seed, of_seed in of_task.groupby("seed"):
            line = {"Task": task, "Seed": str(seed), "Mean return-to-go": number(of_seed["return_to_go"].mean(), 1)}
            cells = {label(row.arm): number(row.q_data, 1) for row in of_seed.itertuples()}
            lines.append(line | cells)
        counts = [f"{label(arm)}: {int(group['below'].sum())} of {len(group)}"
                  for arm, group in of_task.groupby("arm", sort=False)]  # fmt: skip
        notes.append(f"{task}: seeds in which Q lies below the return-to-go. {'; '.join(counts)}. "
                     f"Seen with these settings: {_scale_settings(finished[finished['task'] == task])}.")  # fmt: skip
    notes.append(
        "Columns named after arms: mean Q(s, a) of the two critics over the probe transitions of the dataset at the "
        "end of the offline phase, in units of the mapped return."
    )
    arms = [label(arm) for arm in numbers["arm"].drop_duplicates()]
    text = pd.DataFrame(lines).reindex(columns=["Task", "Seed", "Mean return-to-go", *arms]).fillna(NONE)
    return Table("scale_mismatch", "Scale of Q against the data's returns", numbers, text, tuple(notes))


def _scale_settings(runs: pd.DataFrame) -> str:
    """What decides the scale of Q in these runs, in words."""
    values = {name: runs[column].drop_duplicates() for column, name in SCALE_SETTINGS.items() if column in runs}
    return ", ".join(f"{name} {' or '.join(f'{value:.6g}' for value in each)}" for name, each in values.items())
