"""Changes by every arm against the Monte Carlo floor, over all tasks: of values, then of scores."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from ablations.arms import IMPLEMENTATIONS, OPTIONS
from harness.metrics import METRICS, Metric
from results.statistics.aggregates import mean_of_tasks
from results.statistics.bootstrap import FEWEST, stratified_interval
from results.statistics.intervals import CONFIDENCE, Estimate, mean_interval
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
    """A metric of every run, as the table of effects shows it."""

    metric: Metric
    # Frame of `results.verdicts.runs.per_run` -> one number per run.
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
    """The change of a quantity by an arm, paired by seed."""

    arm: str
    quantity: str
    # Empty: the mean over all tasks that have both arms.
    task: str
    estimate: Estimate
    # p-value of the exact sign-flip test, Holm-corrected over the arms of the task; NaN over all tasks.
    p_holm: float = nan

    @property
    def direction(self) -> int:
        """1 for a significant increase, -1 for a significant decrease, else 0."""
        if not self.p_holm < ALPHA:
            return 0
        return 1 if self.estimate.mean > 0 else -1


def effects(frame: pd.DataFrame, centre: str = CENTRE) -> list[Effect]:
    """Differences of every arm from `centre`, per quantity and task, and over all tasks if there are several.

    `frame` is that of `results.verdicts.runs.per_run`. Implementation arms are compared only with each other (`centre`
    "reference"), because they share options that other arms do not have.
    """
    of_implementations = frame["arm"].isin([*IMPLEMENTATIONS, *OPTIONS])
    own = frame[of_implementations == (centre in OPTIONS)]
    unit = own["task"].map(_ranges(own, centre)).astype(float)
    found: list[Effect] = []
    for quantity in QUANTITIES:
        values = quantity.of(own) / unit if quantity.is_value else quantity.of(own)
        found += _of_quantity(quantity, own.assign(value=values), centre)
    return found


def effects_table(found: Sequence[Effect]) -> Table | None:
    """The effects as a table with a row per arm, or None if no arm was run on several tasks.

    Numbers: arm, quantity, task (empty: over all), mean, low, high, n, method, p_holm.
    """
    if not any(effect.task == "" for effect in found):
        return None
    numbers = pd.DataFrame([_row(effect) for effect in found])
    notes = (
        f"Every arm minus {label(CENTRE)}, paired by seed: mean over tasks of the mean difference [{CONFIDENCE:.0%} "
        f"stratified bootstrap interval, at least {FEWEST:,} resamples of seeds within each task]; n pairs. In "
        f"brackets: number of tasks with a significant increase or decrease (p < {ALPHA}, exact sign-flip test, "
        "Holm-corrected over the arms of a task).",
        *(f"{quantity.heading}: {quantity.meaning}." for quantity in QUANTITIES),
    )
    title = f"Difference from {label(CENTRE)} over all tasks"
    return Table("effects", title, numbers, _text(found), notes, group="Arm")


def _row(effect: Effect) -> dict[str, Any]:
    names = {"arm": effect.arm, "quantity": effect.quantity, "task": effect.task}
    return {**names, **asdict(effect.estimate), "p_holm": effect.p_holm}


def additive(frame: pd.DataFrame) -> pd.Series | bool:
    """Rows whose inflation is added to every state: all rows of frames without the setting."""
    return frame.get("floor.inflation_kind", "additive") == "additive"


def _ranges(frame: pd.DataFrame, centre: str) -> pd.Series:
    """The data's return range by task, inferred from the shift of the floor by inflation; NaN without inflated arms."""
    columns = ["task", "seed", "switch.floor_mean"]
    inflated = frame[(frame["floor.base"] == "monte_carlo") & (frame["floor.inflation"] != 0) & additive(frame)]
    both = inflated.merge(frame.loc[frame["arm"] == centre, columns], on=["task", "seed"], suffixes=("", ".centre"))
    added = both["switch.floor_mean"] - both["switch.floor_mean.centre"]
    return (added / both["floor.inflation"]).groupby(both["task"]).median()


def _of_quantity(quantity: Quantity, frame: pd.DataFrame, centre: str) -> list[Effect]:
    """Effects on the frame's column `value`."""
    table = frame.pivot(index=["task", "seed"], columns="arm", values="value")
    if centre not in table:
        return []
    differences = table.drop(columns=centre).sub(table[centre], axis=0)
    tasks = {task: differences.loc[[task]] for task in frame["task"].unique()}
    found = [effect for task, of_task in tasks.items() for effect in _on_task(quantity, str(task), of_task)]
    for arm in in_order(differences.columns):
        several = [of_task[arm].dropna().to_numpy() for of_task in tasks.values()]
        if sum(map(bool, map(len, several))) > 1:
            estimate = stratified_interval(several, mean_of_tasks, np.random.default_rng(SEED))
            found.append(Effect(arm, quantity.name, "", estimate))
    return found


def _on_task(quantity: Quantity, task: str, differences: pd.DataFrame) -> list[Effect]:
    """Effects on a task from `differences` [seeds, arms]; arms without a pair are left out."""
    estimates = {arm: mean_interval(differences[arm]) for arm in in_order(differences.columns)}
    present = {arm: estimate for arm, estimate in estimates.items() if estimate.n}
    adjusted = holm([sign_flip_p_value(differences[arm]) for arm in present])
    return [
        Effect(arm, quantity.name, task, estimate, float(p_holm))
        for (arm, estimate), p_holm in zip(present.items(), adjusted, strict=True)
    ]


def _text(found: Sequence[Effect]) -> pd.DataFrame:
    """A row per arm that was run on several tasks."""
    lines = []
    for arm in in_order(effect.arm for effect in found if effect.task == ""):
        own = [effect for effect in found if effect.arm == arm]
        pooled = {effect.quantity: effect.estimate for effect in own if effect.task == ""}
        cells = dict.fromkeys((quantity.heading for quantity in QUANTITIES), NONE)
        for quantity in QUANTITIES:
            if quantity.name in pooled:
                directions = [effect.direction for effect in own if effect.quantity == quantity.name]
                counts = {"up": directions.count(1), "down": directions.count(-1)}
                moved = ", ".join(f"{count} {way}" for way, count in counts.items() if count)
                estimate = interval_text(pooled[quantity.name], DECIMALS, sign=True)
                cells[quantity.heading] = f"{estimate} ({moved})" if moved else estimate
        tasks = {effect.task for effect in own} - {""}
        n = max(estimate.n for estimate in pooled.values())
        lines.append({"Arm": label(arm), **cells, "Tasks": str(len(tasks)), "n": str(n)})
    return pd.DataFrame(lines)
