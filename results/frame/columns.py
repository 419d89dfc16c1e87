"""What the columns of the frames are, and the order of their rows."""

import pandas as pd

from harness.folders.state import RunState
from results.style import in_order

# The numbers of `done.json`.
SUMMARY = (
    "offline_score", "final_score", "regret_eval", "regret_train", "dip", "recovery_steps", "dip_window",
    "offline_q_data", "offline_q_policy", "offline_return_to_go",
)  # fmt: skip
LEARNED_FLOOR = ("held_out_rmse", "held_out_r2", "steps")

# What a run cost, by `results.frame.costs`.
COST = ("attempts", "wall_hours", "core_hours", "gpu_hours", "peak_memory", "cost_source")

# What names an evaluation: the columns of evaluations that are no numbers, and those that count.
NAMES = ("run", "task", "arm", "seed", "step", "phase")
TEXT = ("run", "task", "arm", "phase")

SETTINGS = ("task.", "floor.", "behaviour_value.", "algorithm.", "schedule.")


def settings_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of `runs` that hold settings, the seed and the names apart."""
    return [column for column in frame.columns if column.startswith(SETTINGS)]


def done(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs` that are finished: the only ones that enter an estimate."""
    return frame[frame["state"] == RunState.DONE].reset_index(drop=True)


def ordered(frame: pd.DataFrame, then: list[str]) -> pd.DataFrame:
    """By task, arm (as tables list them) and the columns `then`."""
    rank = {arm: place for place, arm in enumerate(in_order(frame["arm"].unique()))}
    order = frame.assign(_arm=frame["arm"].map(rank)).sort_values(["task", "_arm", *then], kind="stable").index
    return frame.loc[order].reset_index(drop=True)
