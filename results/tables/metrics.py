"""What is measured of every run, and what each number means."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from results.statistics.intervals import CONFIDENCE
from results.tables.table import spread


@dataclass(frozen=True)
class Metric:
    """One number per run, and how a table shows it."""

    name: str
    heading: str
    decimals: int
    # Frame of finished runs -> one number per run.
    of: Callable[[pd.DataFrame], pd.Series]
    # What it is, for the reader.
    meaning: str


METRICS = (
    Metric("offline_score", "Score, offline end", 2, lambda runs: runs["offline_score"],
           "success rate of the deterministic evaluation episodes at the end of the offline phase, the switch"),
    Metric("final_score", "Score, online end", 2, lambda runs: runs["final_score"],
           "the same at the last evaluation of the online phase (the last, not the best)"),
    Metric("regret_eval", "regret_eval", 2, lambda runs: runs["regret_eval"],
           "1 - mean score over the online phase, weighted by environment steps (trapezoid rule over the evaluations "
           "from the switch on)"),
    Metric("regret_train", "regret_train", 2, lambda runs: runs["regret_train"],
           "1 - mean success over the finished online training episodes, so with the policy's exploration"),
    Metric("dip", "Dip", 2, lambda runs: runs["dip"],
           "score at the switch - lowest evaluation in the first {window} environment steps, evaluated every "
           "{spacing}; 0 if it never falls"),
    Metric("calibration", "Calibration, offline end", 1,
           lambda runs: runs["offline_q_policy"] - runs["offline_return_to_go"],
           "mean Q(s, pi(s)) - mean return-to-go over the probe transitions of the dataset, at the switch, in units of "
           "the mapped return; below 0 the critic's scale lies under the data's"),
)  # fmt: skip


RECOVERY = (
    "Recovery: of the runs that dipped, how many came back to their score at the switch [and the mean number of "
    "environment steps from the switch until they did]."
)


def definitions(finished: pd.DataFrame) -> tuple[str, ...]:
    """What each metric means, with the window and spacing of the dip as the runs had them."""
    window = spread(finished["dip_window"])
    spacing = spread(finished["schedule.dense_interval"])
    lines = [f"{metric.heading}: {metric.meaning.format(window=window, spacing=spacing)}." for metric in METRICS]
    intervals = (
        f"Cells give the mean over seeds [{CONFIDENCE:.0%} t interval] and n the finished runs; intervals are not cut "
        "at 0 and 1, and one of width zero means that every seed gave the same number."
    )
    return (intervals, *lines, RECOVERY)
