"""Tables of scores: every metric by task and arm, and differences between arms paired by seed."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from harness.command_line import FittedTable
from harness.errors import UserError
from harness.metrics import METRICS, Metric
from results.frame import PAIRING, done
from results.frame.per_run import independent, replicated, replication
from results.statistics.intervals import CONFIDENCE, Estimate, Range, bounds_of, bounds_of_difference, mean_interval
from results.statistics.pairs import holm, paired_difference
from results.style import in_order, label
from results.tables.table import Table, interval_text, number, spread

# Metrics shown in a terminal, with their headings.
SHOWN = {"offline_score": "offline", "final_score": "online", "regret_eval": "regret", "dip": "dip"}

# More lines than these are averaged by arm.
LINES = 40


@dataclass(frozen=True)
class Column:
    """A metric of finished runs in a table."""

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

    def bounds(self, runs: pd.DataFrame) -> Range:
        """The range of the metric in these runs."""
        return bounds_of(self.metric.name, runs)


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
    # The window may be longer than the online phase.
    window = spread(finished[["dip_window", "schedule.online_steps"]].min(axis=1))
    even = finished["schedule.dense_interval"][finished["schedule.log_spaced_evaluations"] == 0]
    spacing = " or ".join(
        [f"every {spread(even)}"] * bool(len(even)) + ["at log-spaced steps"] * (len(even) < len(finished))
    )
    lines = [f"{column.heading}: {column.metric.meaning.format(window=window, spacing=spacing)}." for column in COLUMNS]
    intervals = (
        f"Cells give the mean over seeds [{CONFIDENCE:.0%} t interval, within the possible values]; n is the number of "
        "finished runs. An interval of width zero means that every seed gave the same number."
    )
    return (intervals, *replication(finished), *lines, RECOVERY)


def scores(runs: pd.DataFrame) -> Table:
    """All metrics of `COLUMNS` and the recovery, by task and arm.

    Only finished runs of the frame `runs` enter; n gives their number. Numbers: task, arm, metric, mean, low, high, n,
    method. Raises UserError if no run is done.
    """
    finished = done(runs)
    if finished.empty:
        states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
        raise UserError(f"report: no run is done yet ({states}); wait until some are")
    numbers, lines = [], []
    for (task, arm), group in runs.groupby(["task", "arm"], sort=False):
        of_arm = finished[(finished["task"] == task) & (finished["arm"] == arm)]
        estimates = {
            column: mean_interval(replicated(column.of(of_arm), of_arm), bounds=column.bounds(of_arm))
            for column in COLUMNS
        }
        dipped, recovery = _recovery(of_arm)
        rows = {column.name: estimate for column, estimate in estimates.items()} | {"recovery_steps": recovery}
        numbers += [{"task": task, "arm": arm, "metric": name, **asdict(estimate)} for name, estimate in rows.items()]
        n = independent(of_arm)
        cells = {column.heading: interval_text(estimates[column], column.decimals, of=n) for column in COLUMNS}
        cells["Recovery"] = f"{recovery.n} of {dipped}" + (f" [{recovery.mean:,.0f} steps]" if recovery.n else "")
        finished_runs = f"{len(of_arm)}" if len(of_arm) == len(group) else f"{len(of_arm)} of {len(group)}"
        cells["n"] = finished_runs if n == len(of_arm) else f"{n} ({finished_runs} runs)"
        lines.append({"Task": task, "Arm": label(arm), **cells})
    title = "Score, regret, dip and calibration by floor"
    return Table("scores", title, pd.DataFrame(numbers), pd.DataFrame(lines), definitions(finished))


def _recovery(finished: pd.DataFrame) -> tuple[int, Estimate]:
    """Number of runs with a dip, and mean steps of those that recovered (too few and too skewed for an interval)."""
    dipped = finished[finished["dip"] > 0]
    steps = dipped["recovery_steps"].dropna()
    return len(dipped), Estimate(float(steps.mean()), nan, nan, len(steps), "mean, no interval")


# The arm with which the others are compared, and the one that replaces it in grids without it (implementations).
BASELINE = "cql"
BASELINES = (BASELINE, "reference")

# Significance level at which a difference is marked.
ALPHA = 0.05


def differences(runs: pd.DataFrame) -> Table | None:
    """Differences of every arm to the first of `BASELINES` with runs, paired by seed; None if there are no pairs.

    Numbers: task, arm, baseline, metric, mean, low, high, n, method, correlation, p_value (sign-flip test), p_holm
    (Holm-corrected over the arms of the task).
    """
    finished = done(runs)
    present = set(finished["arm"])
    baseline = next((arm for arm in BASELINES if arm in present), BASELINE)
    by_task = [_of_task(str(task), group, baseline) for task, group in finished.groupby("task", sort=False)]
    numbers = [row for rows, _ in by_task for row in rows]
    if not numbers:
        return None
    notes = (
        f"Mean difference, paired by seed [{CONFIDENCE:.0%} paired t interval]; n pairs. *: p < {ALPHA} in the exact "
        "sign-flip test, Holm-corrected over the arms of the task (impossible with fewer than 6 pairs). r: correlation "
        "of regret_eval between the two arms over seeds.",
        *replication(finished),
    )
    text = pd.DataFrame([line for _, lines in by_task for line in lines])
    return Table("differences", f"Difference to {label(baseline)}, paired by seed", pd.DataFrame(numbers), text, notes)


def _of_task(task: str, finished: pd.DataFrame, baseline: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Numbers and lines of text of one task."""
    of_baseline = finished[finished["arm"] == baseline].set_index(PAIRING)
    pairs = {}
    for arm, group in finished[finished["arm"] != baseline].groupby("arm", sort=False):
        of_arm = group.set_index(PAIRING)
        seeds = of_baseline.index.intersection(of_arm.index)
        if of_arm.index.equals(of_baseline.index):
            pairs[arm] = of_arm, of_baseline
        elif len(seeds):
            pairs[arm] = of_arm.loc[seeds], of_baseline.loc[seeds]
    numbers: list[dict[str, Any]] = []
    lines = {arm: {"Task": task, "Arm": label(arm)} for arm in pairs}
    for column in COLUMNS:
        estimates = {
            arm: paired_difference(
                replicated(column.of(first), first),
                replicated(column.of(second), second),
                bounds=bounds_of_difference(column.bounds(first)),
            )
            for arm, (first, second) in pairs.items()
        }
        adjusted = holm([estimate.p_value for estimate in estimates.values()])
        for (arm, estimate), p_holm in zip(estimates.items(), adjusted, strict=True):
            names = {"task": task, "arm": arm, "baseline": baseline, "metric": column.name}
            numbers.append({**names, **asdict(estimate), "p_holm": p_holm})
            text = interval_text(estimate, column.decimals, sign=True, of=independent(pairs[arm][0]))
            lines[arm][column.heading] = text + ("*" if p_holm < ALPHA else "")
            if column.name == "regret_eval":
                lines[arm]["r"] = number(estimate.correlation, 2)
    last = [{"r": line.pop("r"), "n": str(independent(pairs[arm][0]))} for arm, line in lines.items()]
    return numbers, [line | end for line, end in zip(lines.values(), last, strict=True)]


def result_lines(runs: pd.DataFrame) -> RenderableType:
    """The means of the table of scores for a terminal of 80 columns, by task and arm, or by arm if there are many.

    Raises UserError if no run is done.
    """
    numbers = scores(runs).numbers
    shown = numbers[numbers["metric"].isin(SHOWN)]
    tasks, arms = shown["task"].unique(), in_order(shown["arm"])
    many = len(tasks) * len(arms) > LINES
    rows = []
    for task in tasks[:1] if many else tasks:
        for arm in arms:
            of_arm = shown[shown["arm"] == arm] if many else shown[(shown["arm"] == arm) & (shown["task"] == task)]
            if len(of_arm):
                means = of_arm.groupby("metric")["mean"].mean()
                seeds = int(of_arm[of_arm["metric"] == "offline_score"]["n"].sum())
                cells = [number(means[metric], 2) for metric in SHOWN]
                rows.append(([] if many or len(tasks) == 1 else [task]) + [arm, *cells, seeds])
    names = ["arm", *SHOWN.values(), "runs"]
    if many:
        title = f"means over {len(tasks)} tasks (success rate, regret and dip); tables by task are in the report"
    else:
        title = f"{tasks[0]}: means" if len(tasks) == 1 else "means"
        title += " over seeds (success rate, regret and dip)"
        names = names if len(tasks) == 1 else ["task", *names]
    lines = [dict(zip(names, row, strict=True)) for row in rows]
    return Group(Text(title), FittedTable(lines, ("runs", names[-2]), flexible="arm"))
