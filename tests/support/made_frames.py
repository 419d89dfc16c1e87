"""A frame of runs with only what tables read."""

import math

import pandas as pd

from harness.metrics import LEARNED_FLOOR


def frame_of(*rows: tuple, **changes) -> pd.DataFrame:
    """A frame of runs with only what tables read; rows are (arm, seed, state, offline_score, q_policy)."""
    frame = pd.DataFrame(rows, columns=["arm", "seed", "state", "offline_score", "offline_q_policy"])
    constant = {
        "task": "maze", "data_seed": 0,
        "final_score": 1.0, "regret_eval": 0.25, "regret_train": 0.5, "dip": 0.0, "recovery_steps": 0.0,
        "dip_window": 2000.0, "schedule.dense_interval": 500, "schedule.log_spaced_evaluations": 0,
        "schedule.online_steps": 6000, "offline_q_data": -60.0, "offline_return_to_go": -50.0,
        **dict.fromkeys((f"learned_floor.{metric.name}" for metric in LEARNED_FLOOR), math.nan),
    }  # fmt: skip
    return frame.assign(**{**constant, **changes})


def number(table, arm, metric):
    numbers = table.numbers
    return numbers[(numbers["arm"] == arm) & (numbers["metric"] == metric)].iloc[0]
