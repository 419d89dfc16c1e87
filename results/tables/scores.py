"""Tables of scores: every metric by task and arm, and differences between arms paired by seed."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.metrics import METRICS, Metric
from results.frame import done
from results.statistics.intervals import CONFIDENCE, Estimate, mean_interval
from results.statistics.pairs import holm, paired_difference
from results.style import label
from results.tables.table import Table, interval_text, number, spread


@dataclass(frozen=True)
class Column:
    """A metric of every finished run, as a table shows it."""

    metric: Metric
    decimals: int
    # Frame of finished runs -> one number per run.
    of: Callable[[pd.DataFrame], pd.Series]

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def heading(self) -> str:
        return self.metric.label


def _recorded(name: str, decimals: int = 2) -> Column:
    return Column(METRICS[name], decimals, lambda runs: runs[name])


COLUMNS = (
    *(_recorded(name) for name in ("offline_score", "final_score", "regret_eval", "regret_train", "dip")),
    Column(METRICS["calibration"], 1, lambda runs: runs["offline_q_policy"] - runs["offline_return_to_go"]),
)

RECOVERY = (
    "Recovery: number of runs with a dip that regained their score at the switch [mean number of environment steps "
    "until then]."
)


def definitions(finished: pd.DataFrame) -> tuple[str, ...]:
    """The meaning of every column, with the window and spacing of the dip in these runs."""
    window = spread(finished["dip_window"])
    spacing = spread(finished["schedule.dense_interval"])
    lines = [f"{column.heading}: {column.metric.meaning.format(window=window, spacing=spacing)}." for column in COLUMNS]
    intervals = (
        f"Cells give the mean over seeds [{CONFIDENCE:.0%} t interval]; n is the number of finished runs. Intervals "
        "are not clipped to 0 and 1; an interval of width zero means that every seed gave the same number."
    )
    return (intervals, *lines, RECOVERY)


def scores(runs: pd.DataFrame) -> Table:
    """Every metric of `COLUMNS`, and the recovery, by task and arm.

    `runs` is the frame of that name; only finished runs are included, and column n has their number.
    Numbers: task, arm, metric, mean, low, high, n, method. Raises UserError if no run is done.
    """
    finished = done(runs)
    if finished.empty:
        states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
        raise UserError(f"report: no run is done yet ({states})")
    numbers, lines = [], []
    for (task, arm), group in runs.groupby(["task", "arm"], sort=False):
        here = finished[(finished["task"] == task) & (finished["arm"] == arm)]
        estimates = {column: mean_interval(column.of(here)) for column in COLUMNS}
        fell, back = _recovery(here)
        rows = {column.name: estimate for column, estimate in estimates.items()} | {"recovery_steps": back}
        numbers += [{"task": task, "arm": arm, "metric": name, **asdict(estimate)} for name, estimate in rows.items()]
        cells = {column.heading: interval_text(estimates[column], column.decimals, of=len(here)) for column in COLUMNS}
        cells["Recovery"] = f"{back.n} of {fell}" + (f" [{back.mean:,.0f} steps]" if back.n else "")
        n = f"{len(here)}" if len(here) == len(group) else f"{len(here)} of {len(group)}"
        lines.append({"Task": task, "Arm": label(arm), **cells, "n": n})
    title = "Score, regret, dip and calibration by floor"
    return Table("scores", title, pd.DataFrame(numbers), pd.DataFrame(lines), definitions(finished))


def _recovery(finished: pd.DataFrame) -> tuple[int, Estimate]:
    """Number of runs with a dip, and mean recovery steps (without an interval: few and skewed)."""
    fell = finished[finished["dip"] > 0]
    back = fell["recovery_steps"].dropna()
    return len(fell), Estimate(float(back.mean()), nan, nan, len(back), "mean, no interval")


# The arm with which the others are compared, and the one to use if it has no runs, as in `implementation`.
BASELINE = "cql"
BASELINES = (BASELINE, "reference")


# Significance level at which a difference is marked.
ALPHA = 0.05


def differences(runs: pd.DataFrame) -> Table | None:
    """Differences of every other arm from the first of `BASELINES` that was run, paired by seed; None without pairs.

    Numbers: task, arm, baseline (the other arm), metric, mean, low, high, n, method, correlation, p_value (sign flip),
    p_holm (Holm-corrected over the arms of the task).
    """
    finished = done(runs)
    present = set(finished["arm"])
    baseline = next((arm for arm in BASELINES if arm in present), BASELINE)
    found = [_of_task(str(task), group, baseline) for task, group in finished.groupby("task", sort=False)]
    numbers = [row for rows, _ in found for row in rows]
    if not numbers:
        return None
    notes = (
        f"Mean difference, paired by seed [{CONFIDENCE:.0%} paired t interval]; n pairs. *: p < {ALPHA} in the exact "
        "sign-flip test, Holm-corrected over the arms of the task (impossible with fewer than 6 pairs). r is the "
        "correlation of regret_eval between the two arms over the seeds.",
    )
    text = pd.DataFrame([line for _, lines in found for line in lines])
    title = f"Difference from {label(baseline)}, paired by seed"
    return Table("differences", title, pd.DataFrame(numbers), text, notes)


def _of_task(task: str, finished: pd.DataFrame, baseline: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The numbers and rows of one task."""
    held_against = finished[finished["arm"] == baseline].set_index("seed")
    pairs = {}
    for arm, other in finished[finished["arm"] != baseline].groupby("arm", sort=False):
        theirs = other.set_index("seed")
        seeds = held_against.index.intersection(theirs.index)
        if len(seeds):
            pairs[arm] = theirs.loc[seeds], held_against.loc[seeds]
    numbers: list[dict[str, Any]] = []
    lines = {arm: {"Task": task, "Arm": label(arm)} for arm in pairs}
    for column in COLUMNS:
        estimates = {
            arm: paired_difference(column.of(ours), column.of(theirs)) for arm, (ours, theirs) in pairs.items()
        }
        adjusted = holm([estimate.p_value for estimate in estimates.values()])
        for (arm, estimate), p_holm in zip(estimates.items(), adjusted, strict=True):
            names = {"task": task, "arm": arm, "baseline": baseline, "metric": column.name}
            own = {**names, **asdict(estimate), "p_holm": p_holm}
            numbers.append(own)
            text = interval_text(estimate, column.decimals, sign=True, of=len(pairs[arm][0]))
            lines[arm][column.heading] = text + ("*" if p_holm < ALPHA else "")
            if column.name == "regret_eval":
                lines[arm]["r"] = number(estimate.correlation, 2)
    last = [{"r": line.pop("r"), "n": str(len(pairs[arm][0]))} for arm, line in lines.items()]
    return numbers, [line | end for line, end in zip(lines.values(), last, strict=True)]
