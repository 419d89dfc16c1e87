"""Offline to online: every metric by task and arm."""

from dataclasses import asdict
from math import nan

import pandas as pd

from harness.errors import UserError
from results.frame import done
from results.statistics.estimate import Estimate
from results.statistics.intervals import mean_interval
from results.style import label
from results.tables.metrics import METRICS, definitions
from results.tables.table import Table
from results.tables.text import interval_text


def scores(runs: pd.DataFrame) -> Table:
    """Every metric of `METRICS`, and the recovery, by task and arm.

    `runs` is the frame of that name; only finished runs enter, and column n says how many of how many.
    Numbers: task, arm, metric, mean, low, high, n, method. Raises UserError if no run is done.
    """
    finished = done(runs)
    if finished.empty:
        states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
        raise UserError(f"report: no run is done yet ({states}); there is nothing to average")
    numbers, lines = [], []
    for (task, arm), group in runs.groupby(["task", "arm"], sort=False):
        here = finished[(finished["task"] == task) & (finished["arm"] == arm)]
        estimates = {metric: mean_interval(metric.of(here)) for metric in METRICS}
        fell, back = _recovery(here)
        rows = {metric.name: estimate for metric, estimate in estimates.items()} | {"recovery_steps": back}
        numbers += [{"task": task, "arm": arm, "metric": name, **asdict(estimate)} for name, estimate in rows.items()]
        cells = {metric.heading: interval_text(estimates[metric], metric.decimals, of=len(here)) for metric in METRICS}
        cells["Recovery"] = f"{back.n} of {fell}" + (f" [{back.mean:,.0f} steps]" if back.n else "")
        n = f"{len(here)}" if len(here) == len(group) else f"{len(here)} of {len(group)}"
        lines.append({"Task": task, "Arm": label(arm), **cells, "n": n})
    title = "Score, regret, dip and calibration by floor"
    return Table("scores", title, pd.DataFrame(numbers), pd.DataFrame(lines), definitions(finished))


def _recovery(finished: pd.DataFrame) -> tuple[int, Estimate]:
    """How many runs dipped, and the mean steps of those that came back (too few and too skewed for an interval)."""
    fell = finished[finished["dip"] > 0]
    back = fell["recovery_steps"].dropna()
    return len(fell), Estimate(float(back.mean()), nan, nan, len(back), "mean, no interval")
