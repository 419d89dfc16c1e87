"""The table of inflation: metrics by dose, and their trend over the doses, paired by seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from harness.metrics import METRICS, Metric
from results.frame import PAIRING, done, settings_columns
from results.frame.per_run import independent, replicated, replicates, replication
from results.statistics.intervals import CONFIDENCE, Estimate, bounds_of, mean_interval
from results.statistics.trend import MOST_DOSES, Direction, dose_response
from results.tables.table import Table, interval_text

DOSE = "floor.inflation"


@dataclass(frozen=True)
class Response:
    """A metric that the dose may change: a column of the runs, or of the evaluation at the switch."""

    metric: Metric
    decimals: int
    # The trend that is tested.
    direction: Direction
    meaning: str

    @property
    def column(self) -> str:
        return self.metric.name

    @property
    def heading(self) -> str:
        return self.metric.label


RESPONSES = (
    Response(METRICS["below_floor"], 2, "rises",
             "share of probe transitions of the dataset with Q(s, pi(s)) below the floor, at the switch"),
    Response(METRICS["calibration_data"], 1, "rises",
             "mean Q(s, pi(s)) - return-to-go over the probe transitions, at the switch, in mapped return"),
    Response(METRICS["overestimation_exact"], 1, "rises",
             "mean Q(s, pi(s)) - true value of the run's policy, at the switch, where it is known"),
    Response(METRICS["offline_score"], 2, "falls", "success rate at the switch"),
    Response(METRICS["final_score"], 2, "falls", "success rate at the last evaluation"),
)  # fmt: skip


def doses(runs: pd.DataFrame, evaluations: pd.DataFrame) -> Table | None:
    """Metrics by dose of inflation with their trend, for arms of a task that differ in nothing else; None without any.

    Numbers: task, dose (empty for the trend), metric, mean (for the trend: slope per unit of dose), low, high, n,
    method, and for the trend rank_correlation and p_value.
    """
    finished = done(runs)
    switch = evaluations[evaluations["step"] == 0].set_index("run")
    columns = [response.column for response in RESPONSES]
    finished = finished.join(switch[[name for name in columns if name in switch and name not in finished]], on="run")
    responses = [
        response for response in RESPONSES if response.column in finished and finished[response.column].notna().any()
    ]
    numbers: list[dict[str, Any]] = []
    lines: list[dict[str, str]] = []
    for task, series in dose_series(finished):
        levels = [(dose, series[series[DOSE] == dose]) for dose in sorted(series[DOSE].unique())]
        rows = [{"Task": task, "Inflation": f"{dose:g}"} for dose, _ in levels]
        trend_row = {"Task": task, "Inflation": "slope per unit"}
        for response in responses:
            for (dose, group), row in zip(levels, rows, strict=True):
                values = replicated(group[response.column], group)
                estimate = mean_interval(values, bounds=bounds_of(response.column, group))
                numbers.append({"task": task, "dose": dose, "metric": response.column, **asdict(estimate)})
                row[response.heading] = interval_text(estimate, response.decimals, of=independent(group))
            slope, test = _trend(series, response)
            numbers.append({"task": task, "dose": None, "metric": response.column, **asdict(slope), **test})
            trend_row[response.heading] = _slope_text(slope, response, test["p_value"])
        for (_, group), row in zip(levels, rows, strict=True):
            lines.append({**row, "n": str(independent(group))})
        lines.append({**trend_row, "n": ""})
    if not lines:
        return None
    notes = (
        "Inflation: the amount added to the floor, as a share of the return range; the rows of a task differ in "
        f"nothing else. Mean over seeds [{CONFIDENCE:.0%} t interval]. Slope: mean over seeds of the least-squares "
        "slope over the doses [interval]. p: one-sided Page test for a trend within seed (upwards for bound rate, "
        "calibration and over-estimation, downwards for scores), not corrected for the number of columns.",
        *replication(finished),
        *(f"{response.heading}: {response.meaning}." for response in responses),
    )
    return Table("doses", "Metrics by dose of inflation", pd.DataFrame(numbers), pd.DataFrame(lines), notes)


def dose_series(finished: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """For each task, the runs whose arms differ only in the dose of inflation, if there are at least three doses.

    If a task has several such families of arms, the one with the most doses.
    """
    columns = [column for column in settings_columns(finished) if column != DOSE]
    for task, of_task in finished.groupby("task", sort=False):
        arms = of_task.drop_duplicates("arm").set_index("arm")
        settings = arms[columns].map(repr).agg("|".join, axis=1)
        families = [of_task[of_task["arm"].isin(settings.index[settings == value])] for value in settings.unique()]
        largest = max(families, key=lambda rows: (_is_additive(rows), rows[DOSE].nunique()))
        floored = largest["floor.base"].iloc[0] != "none" and _is_additive(largest)
        if floored and 3 <= largest[DOSE].nunique() <= MOST_DOSES:
            yield str(task), largest


def _is_additive(rows: pd.DataFrame) -> bool:
    """Whether the dose of a family of arms is in units of the return range, as that of other kinds may not be."""
    return "floor.inflation_kind" not in rows or rows["floor.inflation_kind"].iloc[0] == "additive"


def _trend(series: pd.DataFrame, response: Response) -> tuple[Estimate, dict[str, float]]:
    """Slope, and rank correlation with its p-value, over the seeds with all doses."""
    table = series.drop_duplicates([*PAIRING, DOSE]).pivot(index=PAIRING, columns=DOSE, values=response.column)
    table = replicates(table)
    bounds = bounds_of(response.column, series)
    trend = dose_response(table.to_numpy(), table.columns.to_numpy(), response.direction, bounds=bounds)
    return trend.slope, {"rank_correlation": trend.rank_correlation, "p_value": trend.p_value}


def _slope_text(slope: Estimate, response: Response, p_value: float) -> str:
    text = interval_text(slope, response.decimals, sign=True)
    return text if pd.isna(p_value) else f"{text}, p = {p_value:.2g}"
