"""Tables about the runs themselves: settings by task and by arm, columns, the list of runs, provenance."""

import pandas as pd

from results.frame import PAIRING
from results.frame.columns import columns
from results.frame.comparison import seed_name
from results.style import label
from results.tables.table import Table

# Settings that determine the scale of rewards and values and the cost: always visible; the others are collapsed.
KEY_SETTINGS = (
    "task.environment", "task.horizon", "task.data.transitions", "task.data.action_noise", "task.reward_scale",
    "task.reward_bias", "task.discount", "schedule.offline_steps", "schedule.online_steps", "schedule.updates_per_step",
    "schedule.mixing_ratio", "schedule.evaluation_episodes", "algorithm.alpha", "algorithm.batch_size",
    "algorithm.n_actions", "algorithm.policy_hidden", "algorithm.critic_hidden", "algorithm.policy_learning_rate",
    "algorithm.critic_learning_rate", "algorithm.entropy_temperature_initial", "algorithm.entropy_learning_rate",
    "algorithm.max_backup",
)  # fmt: skip


def settings_by_task(frame: pd.DataFrame, columns: list[str]) -> Table:
    """A row per setting shared by all arms, a column per task."""
    first = frame.drop_duplicates("task").set_index("task")
    text = first[columns].T.map(_plain).rename_axis(columns=None).rename_axis("Setting").reset_index()
    return Table("settings", "Settings", text, text)


def settings_by_arm(frame: pd.DataFrame, columns: list[str]) -> Table:
    """A row per arm, a column per setting that differs between arms."""
    first = frame.drop_duplicates(["task", "arm"])
    text = first[columns].map(_plain)
    text.insert(0, "Arm", first["arm"].map(label))
    text.insert(1, "Name", first["arm"])
    text = text.drop_duplicates().reset_index(drop=True)
    return Table("arms", "Settings of the arms", text, text)


def varies(frame: pd.DataFrame, column: str) -> bool:
    """Whether a setting differs between arms of the same task."""
    values = frame[column].map(repr)
    return bool(values.nunique() > 1 and (values.groupby(frame["task"]).nunique() > 1).any())


def run_list(frame: pd.DataFrame) -> Table:
    """Every run with its state and, if it failed, the reason; unfinished runs first. Numbers: task, arm, state."""
    order = frame.assign(finished=frame["state"] == "done").sort_values("finished", kind="stable")
    text = pd.DataFrame(
        {
            "Run": order["run"],
            "Task": order["task"],
            "Arm": order["arm"].map(label),
            "Seed": [seed_name(*pair) for pair in order[PAIRING].itertuples(index=False, name=None)],
            "State": order["state"],
            "Reason": order["reason"],
        }
    )
    numbers = order[["task", "arm", "state"]].reset_index(drop=True)
    return Table("run_list", "Runs", numbers, text if text["Reason"].any() else text.drop(columns="Reason"))


def columns_table() -> Table:
    """The dictionary of columns."""
    numbers = columns()
    text = numbers.rename(columns=str.capitalize)[["Column", "Meaning", "Unit", "Better", "Frame"]]
    return Table("columns", "Columns", numbers, text, group="Frame")


def provenance_table(frame: pd.DataFrame) -> Table:
    """Every value of every provenance column with its number of runs."""
    rows = [
        {"Item": column, "Value": value, "Runs": str(count)}
        for column in frame.columns.drop("run", errors="ignore")
        for value, count in frame[column].map(_plain).value_counts(sort=False).items()
    ]
    text = pd.DataFrame(rows, columns=["Item", "Value", "Runs"])
    return Table("provenance", "Provenance", text, text)


def _plain(value: object) -> str:
    """A setting as text: without quotes, lists separated by commas, "none" for None."""
    if isinstance(value, tuple):
        return ", ".join(map(_plain, value))
    if value is None or value != value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
