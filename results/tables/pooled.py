"""The table of estimates over all tasks, by the conventions of rliable."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from results.frame import PAIRING, done
from results.frame.comparison import common, listed
from results.frame.per_run import replicates, replication
from results.statistics.aggregates import FEWEST, iqm, optimality_gap, probability_of_improvement, stratified_interval
from results.statistics.intervals import CONFIDENCE, Estimate
from results.style import in_order, label
from results.tables.scores import BASELINE
from results.tables.table import NONE, Table, interval_text

# Seed of the resampling, so that the same runs give the same intervals.
SEED = 0


def pooled(runs: pd.DataFrame) -> Table | None:
    """Interquartile means over several tasks by arm; None if fewer than two tasks have common arms.

    Numbers: arm, metric, mean (the point estimate), low, high, n, method.
    """
    finished = done(runs)
    tasks, arms = common(finished, BASELINE, fewest=2)
    if not tasks:
        return None
    numbers: list[dict[str, Any]] = []
    lines = []
    for arm in arms:
        estimates = arm_estimates(finished, tasks, arm)
        numbers += [{"arm": arm, "metric": name, **asdict(estimate)} for name, estimate in estimates.items()]
        cells = {
            heading: interval_text(estimates[name], 2) if name in estimates else NONE for name, heading in HEADINGS
        }
        lines.append({"Arm": label(arm), **cells, "n": str(estimates["final_iqm"].n)})
    absent = [label(arm) for arm in in_order(finished["arm"].unique()) if arm not in arms]
    notes = (
        f"n: runs of an arm on {', '.join(tasks)}.",
        "IQM: interquartile mean, without the lowest and the highest quarter of the runs "
        f"[{CONFIDENCE:.0%} stratified bootstrap interval: at least {FEWEST:,} resamples of the runs of each task; "
        "percentiles are expanded for small samples].",
        *replication(finished),
        "Optimality gap: mean shortfall of the final score from 1.",
        f"Improvement: probability that a run of the arm has a higher final score than a run of {label(BASELINE)} on a "
        "random task; ties count half. Runs are resampled in pairs of equal seed.",
        *([f"Not included, because they lack runs on some of these tasks: {listed(absent)}."] if absent else []),
    )
    return Table("pooled", "Aggregates over tasks", pd.DataFrame(numbers), pd.DataFrame(lines), notes, group="")


HEADINGS = (
    ("offline_iqm", "IQM, offline end"),
    ("final_iqm", "IQM, online end"),
    ("regret_iqm", "IQM of regret_eval"),
    ("optimality_gap", "Optimality gap"),
    ("improvement", "Improvement"),
)


def arm_estimates(finished: pd.DataFrame, tasks: Sequence[str], arm: str) -> dict[str, Estimate]:
    """All aggregates of an arm; improvement only for arms other than the baseline."""
    columns = ["offline_score", "final_score", "regret_eval"]
    of_tasks = [finished[(finished["task"] == task) & (finished["arm"] == arm)] for task in tasks]
    of_arm = [replicates(runs.set_index(PAIRING)[columns]) for runs in of_tasks]
    interval = partial(stratified_interval, generator=np.random.default_rng(SEED))
    estimates = {
        "offline_iqm": interval([runs["offline_score"] for runs in of_arm], iqm),
        "final_iqm": interval([runs["final_score"] for runs in of_arm], iqm),
        "regret_iqm": interval([runs["regret_eval"] for runs in of_arm], iqm),
        "optimality_gap": interval([runs["final_score"] for runs in of_arm], optimality_gap),
    }
    if arm != BASELINE:
        estimates["improvement"] = improvement(finished, tasks, arm, BASELINE, interval.keywords["generator"])
    return estimates


def improvement(
    finished: pd.DataFrame,
    tasks: Sequence[str],
    arm: str,
    opponent: str,
    generator: np.random.Generator | None = None,
) -> Estimate:
    """The probability that a run of an arm has a higher final score than one of the opponent on a random task."""
    of_arms = [
        finished[finished["arm"] == name].set_index(["task", *PAIRING])["final_score"] for name in (arm, opponent)
    ]
    pairs = pd.concat(of_arms, axis=1, join="inner")
    by_task = [
        replicates(pd.DataFrame(pairs.loc[task])).to_numpy()
        for task in tasks
        if task in pairs.index.get_level_values("task")
    ]
    return stratified_interval(by_task, probability_of_improvement, generator or np.random.default_rng(SEED))
