"""The table of effects: differences of every arm to the Monte Carlo floor, in values and in scores, over all tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from ablations.arms import IMPLEMENTATIONS, OPTIONS
from harness.metrics import METRICS, Metric
from results.frame import PAIRING
from results.frame.per_run import replicates
from results.statistics.aggregates import FEWEST, mean_of_tasks, stratified_interval
from results.statistics.intervals import (
    CONFIDENCE,
    Estimate,
    Range,
    bounds_of,
    bounds_of_difference,
    mean_interval,
    present,
)
from results.statistics.pairs import holm, sign_flip_p_value
from results.style import in_order, label
from results.tables.pooled import SEED
from results.tables.table import NONE, Table, interval_text

# The arm with which the others are compared, paired by seed.
CENTRE = "monte_carlo"

# Significance level at which a task counts as changed.
ALPHA = 0.05

DECIMALS = 2


@dataclass(frozen=True)
class Quantity:
    """A metric of a run in the table of effects."""

    metric: Metric
    # Frame of `results.frame.per_run.per_run` -> one number per run.
    of: Callable[[pd.DataFrame], pd.Series]
    meaning: str
    # Whether it is a value of the critic, shown as a share of the task's return range.
    is_value: bool = False

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def heading(self) -> str:
        return self.metric.label


def _of_runs(name: str, meaning: str) -> Quantity:
    return Quantity(METRICS[name], lambda runs: runs[name], meaning)


QUANTITIES = (
    Quantity(METRICS["q_policy"], lambda runs: runs["switch.q_policy"],
             "mean Q(s, pi(s)) over the probe transitions at the switch, as a share of the data's return range, which "
             "is what inflation by 1 adds to the floor", is_value=True),
    Quantity(METRICS["q_uniform"], lambda runs: runs["switch.q_uniform"],
             "the same for uniformly random actions", is_value=True),
    Quantity(METRICS["bound_rate"],
             lambda runs: runs["switch.bound_rate_current"].where(runs["floor.base"] != "none"),
             METRICS["bound_rate"].meaning),
    _of_runs("offline_score", "success rate at the switch"),
    _of_runs("final_score", "success rate at the end"),
    _of_runs("regret_eval", "1 - mean success rate over the online phase"),
    _of_runs("dip", "success rate at the switch - lowest evaluation in the dense window after it"),
)  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """The difference between two arms in one quantity, paired by seed."""

    arm: str
    quantity: str
    # Empty for the mean over all tasks that have both arms.
    task: str
    estimate: Estimate
    # p-value of the exact sign-flip test, Holm-corrected over the arms of the task; NaN for the mean over tasks.
    p_holm: float = nan

    @property
    def direction(self) -> int:
        """1 for a significant increase, -1 for a significant decrease, else 0."""
        if not self.p_holm < ALPHA:
            return 0
        return 1 if self.estimate.mean > 0 else -1


def effects(frame: pd.DataFrame, centre: str = CENTRE) -> list[Effect]:
    """Differences of every arm to `centre`: by quantity and task, and, with several tasks, over all tasks.

    `frame` is that of `results.frame.per_run.per_run`. Implementations are compared only with each other (`centre` =
    "reference"), since they differ from the other arms in several settings.
    """
    is_implementation = frame["arm"].isin([*IMPLEMENTATIONS, *OPTIONS])
    comparable = frame[is_implementation == (centre in OPTIONS)]
    unit = comparable["task"].map(_return_ranges(comparable, centre)).astype(float)
    differences: list[Effect] = []
    for quantity in QUANTITIES:
        values = quantity.of(comparable) / unit if quantity.is_value else quantity.of(comparable)
        differences += _of_quantity(quantity, comparable.assign(value=values), centre)
    return differences


def effects_table(differences: Sequence[Effect]) -> Table | None:
    """The effects as a table with a row per arm; None if no arm was run on several tasks.

    Numbers: arm, quantity, task (empty for the mean over tasks), mean, low, high, n, method, p_holm.
    """
    if not any(effect.task == "" for effect in differences):
        return None
    numbers = pd.DataFrame([_row(effect) for effect in differences])
    notes = (
        f"Every arm minus {label(CENTRE)}, paired by seed: mean over tasks of the mean difference [{CONFIDENCE:.0%} "
        f"stratified bootstrap interval, at least {FEWEST:,} resamples of seeds within each task]; n pairs, of "
        "data seeds where a task has several. In "
        f"brackets: number of tasks with a significant increase or decrease (p < {ALPHA}, exact sign-flip test, "
        "Holm-corrected over the arms of a task).",
        *(f"{quantity.heading}: {quantity.meaning}." for quantity in QUANTITIES),
    )
    title = f"Difference to {label(CENTRE)} over all tasks"
    return Table("effects", title, numbers, _text(differences), notes, group="Arm")


def _row(effect: Effect) -> dict[str, Any]:
    names = {"arm": effect.arm, "quantity": effect.quantity, "task": effect.task}
    return {**names, **asdict(effect.estimate), "p_holm": effect.p_holm}


def additive(frame: pd.DataFrame) -> pd.Series | bool:
    """Rows whose inflation is added to every state: all rows of frames without the setting."""
    return frame.get("floor.inflation_kind", "additive") == "additive"


def _return_ranges(frame: pd.DataFrame, centre: str) -> pd.Series:
    """The return range of the data by task, inferred from inflated floors; tasks without these are left out."""
    columns = ["task", *PAIRING, "switch.floor_mean"]
    inflated = frame[(frame["floor.base"] == "monte_carlo") & (frame["floor.inflation"] != 0) & additive(frame)]
    both = inflated.merge(frame.loc[frame["arm"] == centre, columns], on=["task", *PAIRING], suffixes=("", ".centre"))
    added = both["switch.floor_mean"] - both["switch.floor_mean.centre"]
    return (added / both["floor.inflation"]).groupby(both["task"]).median()


def _of_quantity(quantity: Quantity, frame: pd.DataFrame, centre: str) -> list[Effect]:
    """Effects on one quantity, which is the column "value" of the frame."""
    table = frame.pivot(index=["task", *PAIRING], columns="arm", values="value")
    if centre not in table:
        return []
    differences = table.drop(columns=centre).sub(table[centre], axis=0)
    arms = in_order(differences.columns)
    tasks = {task: _by_arm(differences.loc[[task]], arms) for task in frame["task"].unique()}
    effects = []
    for task, by_arm in tasks.items():
        bounds = bounds_of_difference(bounds_of(quantity.name, frame[frame["task"] == task]))
        effects += _on_task(quantity, str(task), by_arm, bounds)
    for arm in arms:
        by_task = [by_arm[arm] for by_arm in tasks.values()]
        if sum(len(values) > 0 for values in by_task) > 1:
            estimate = stratified_interval(by_task, mean_of_tasks, np.random.default_rng(SEED))
            effects.append(Effect(arm, quantity.name, "", estimate))
    return effects


def _by_arm(differences: pd.DataFrame, arms: Sequence[str]) -> dict[str, np.ndarray]:
    """The independent differences [pairs] of every arm on a task."""
    if differences.index.get_level_values("data_seed").nunique() < 2:
        return {arm: present(differences[arm]) for arm in arms}
    return {arm: replicates(differences[[arm]].dropna())[arm].to_numpy() for arm in arms}


def _on_task(quantity: Quantity, task: str, differences: Mapping[str, np.ndarray], bounds: Range) -> list[Effect]:
    """Effects on one task from the `differences` [pairs] of every arm; arms without pairs are left out."""
    estimates = {arm: mean_interval(values, bounds=bounds) for arm, values in differences.items()}
    paired = {arm: estimate for arm, estimate in estimates.items() if estimate.n}
    adjusted = holm([sign_flip_p_value(differences[arm]) for arm in paired])
    return [
        Effect(arm, quantity.name, task, estimate, float(p_holm))
        for (arm, estimate), p_holm in zip(paired.items(), adjusted, strict=True)
    ]


def _text(differences: Sequence[Effect]) -> pd.DataFrame:
    """A row per arm that was run on several tasks."""
    lines = []
    for arm in in_order(effect.arm for effect in differences if effect.task == ""):
        of_arm = [effect for effect in differences if effect.arm == arm]
        pooled = {effect.quantity: effect.estimate for effect in of_arm if effect.task == ""}
        cells = dict.fromkeys((quantity.heading for quantity in QUANTITIES), NONE)
        for quantity in QUANTITIES:
            if quantity.name in pooled:
                directions = [effect.direction for effect in of_arm if effect.quantity == quantity.name]
                counts = {"up": directions.count(1), "down": directions.count(-1)}
                changed = ", ".join(f"{count} {direction}" for direction, count in counts.items() if count)
                estimate = interval_text(pooled[quantity.name], DECIMALS, sign=True)
                cells[quantity.heading] = f"{estimate} ({changed})" if changed else estimate
        tasks = {effect.task for effect in of_arm} - {""}
        n = max(estimate.n for estimate in pooled.values())
        lines.append({"Arm": label(arm), **cells, "Tasks": str(len(tasks)), "n": str(n)})
    return pd.DataFrame(lines)
