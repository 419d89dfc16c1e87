"""What documents look up in the frames of published runs: means, differences and verdicts as text."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import pandas as pd
from scipy import stats

from ablations.arms import OPTIONS
from ablations.axes import split_variant
from ablations.claim import Level
from ablations.claims import CLAIMS
from ablations.grids import STUDY_TASKS
from harness.errors import UserError
from results.frame import PAIRING, done
from results.frame.frames import Frames
from results.frame.per_run import per_run, replicated
from results.statistics.intervals import Estimate, bounds_of, bounds_of_difference, mean_interval
from results.statistics.pairs import holm
from results.style import in_order, label
from results.tables.cost import cost
from results.tables.effects import Effect, effects, effects_table
from results.tables.table import number
from results.verdicts.decisions import Outcome, Verdict
from results.verdicts.runs import judge_runs

# Up to this many tasks are listed by name.
NAMES_SHOWN = 4


@dataclass(frozen=True)
class Evidence:
    """What the template looks up in the frames of a grid. Methods raise UserError if the runs do not have it."""

    frames: Frames
    # Numbers stand without "n = ..." if this is their n.
    usual_n: int | None = None

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the runs."""
        return list(self.frames.runs["task"].unique())

    @property
    def arms(self) -> list[str]:
        """The arms in the order of their registry."""
        return in_order(self.frames.runs["arm"])

    def has(self, task: str, arm: str) -> bool:
        """Whether there are runs of an arm on a task."""
        runs = self.frames.runs
        return bool(((runs["task"] == task) & (runs["arm"] == arm)).any())

    @property
    def seeds(self) -> int:
        """Number of seeds per task and arm. Raises UserError if it is not the same everywhere."""
        counts = self.frames.runs.drop_duplicates(["task", "arm", *PAIRING]).groupby(["task", "arm"]).size()
        if counts.nunique() > 1:
            raise UserError(
                f"findings: tasks and arms have {counts.min()} to {counts.max()} seeds; run the missing ones"
            )
        return int(counts.iloc[0])

    @property
    def missing(self) -> list[str]:
        """Tasks of the grid `study` without runs."""
        return [task for task in STUDY_TASKS if task not in self.tasks]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts that are based on runs."""
        verdicts = judge_runs(CLAIMS, self.frames.runs, self.frames.evaluations)
        return [verdict for verdict in verdicts if verdict.n]

    @cached_property
    def measures(self) -> pd.DataFrame:
        """A row per finished run, with its evaluations at the switch and at the end."""
        return per_run(self.frames.runs, self.frames.evaluations)

    @property
    def data_seeds(self) -> int:
        """Number of data seeds."""
        return int(self.frames.runs["data_seed"].nunique())

    @cached_property
    def effects(self) -> list[Effect]:
        """Differences of every arm from the Monte Carlo floor, and of implementation arms from their reference."""
        return [*effects(self.measures), *effects(self.measures, "reference")]

    def outcomes(self, claim: str, arm: str | None = None) -> str:
        """The outcomes of a claim: "supported on 7 of 9 tasks, contradicted on 1 (fetch-push)"."""
        verdicts = self._verdicts(claim, arm)
        unit = "tasks" if len({verdict.task for verdict in verdicts}) == len(verdicts) else "tasks and arms"
        return _tallied(verdicts, unit)

    def outcome(self, claim: str, task: str, arm: str | None = None) -> str:
        """The outcome of a claim on a task, if it has one verdict there; `arm`: of the verdict on that arm."""
        return self._verdict(claim, task, arm).outcome

    def measured(self, claim: str, task: str, arm: str | None = None, decimals: int = 2) -> str:
        """The estimate that decides a claim on a task: "-12.3 [-14.0, -10.5], n = 10"."""
        return self._shown(self._verdict(claim, task, arm), decimals)

    def effect(self, arm: str, quantity: str, task: str = "", decimals: int = 2) -> str:
        """The change by an arm, on a task or averaged over tasks: "+0.12 [0.05, 0.19], n = 90"."""
        for effect in self.effects:
            if (effect.arm, effect.quantity, effect.task) == (arm, quantity, task):
                return self._shown(effect.estimate, decimals)
        raise UserError(f"findings: no {quantity} of arm {arm} on {task or 'several tasks'}")

    def within(self, arm: str, quantity: str, margin: float) -> bool:
        """Whether the interval of the change by an arm, averaged over tasks, lies within +- `margin`."""
        (estimate,) = [
            effect.estimate
            for effect in self.effects
            if (effect.arm, effect.quantity, effect.task) == (arm, quantity, "")
        ]
        return max(abs(estimate.low), abs(estimate.high)) <= margin

    def moved(self, arm: str, quantity: str) -> str:
        """Where the change is significant: "higher on 4 of 9 tasks, lower on 1 (fetch-push)"."""
        effects = [
            effect for effect in self.effects if (effect.arm, effect.quantity) == (arm, quantity) and effect.task
        ]
        if not effects:
            raise UserError(f"findings: no {quantity} of arm {arm}")
        tasks = {
            name: [effect.task for effect in effects if effect.direction == sign] for name, sign in DIRECTIONS.items()
        }
        return _listed(tasks, len(effects), "tasks") or f"significant on none of {len(effects)} tasks"

    def shown(self, effect: Effect, decimals: int = 2) -> str:
        """An effect after the label of its arm: "Cal-QL, gap without alpha -0.74 [-0.93, -0.56], n = 6"."""
        return f"{label(effect.arm)} {self._shown(effect.estimate, decimals)}"

    def options(self, quantity: str, task: str) -> list[Effect]:
        """Changes of Cal-QL by single implementation options on a task, the largest first."""
        effects = [effect for effect in self.effects if (effect.quantity, effect.task) == (quantity, task)]
        single = [effect for effect in effects if effect.arm in OPTIONS and "cql" not in effect.arm]
        if not single:
            raise UserError(f"findings: no {quantity} of any implementation option on {task}")
        return sorted(single, key=lambda effect: -abs(effect.estimate.mean))

    def mean(self, column: str, task: str, arm: str, decimals: int = 2) -> str:
        """Mean over seeds of a column of `measures`."""
        runs = self.measures
        return number(runs.loc[(runs["task"] == task) & (runs["arm"] == arm), column].mean(), decimals)

    def at(self, column: str, task: str, arm: str, step: int, decimals: int = 2) -> str:
        """Mean of a column of the evaluations after so many environment steps, or at the next evaluation."""
        rows = self.frames.evaluations.query("task == @task and arm == @arm and step >= @step")
        return number(rows.loc[rows["step"] == rows["step"].min(), column].mean(), decimals)

    def change(self, column: str, task: str, arm: str, baseline: str = "", decimals: int = 2) -> str:
        """Mean of a column of `measures`, with `baseline` minus that arm's within seed, with its t interval."""
        runs = self.measures[self.measures["task"] == task]
        table = runs.pivot(index=PAIRING, columns="arm", values=column)
        if absent := [name for name in (arm, baseline) if name and name not in table]:
            raise UserError(f"findings: no runs of arm {', '.join(absent)} on {task}")
        values = table[arm] - table[baseline] if baseline else table[arm]
        bounds = bounds_of(column, runs)
        values = replicated(values.dropna(), values.dropna().to_frame())
        return self._shown(mean_interval(values, bounds=bounds_of_difference(bounds) if baseline else bounds), decimals)

    def rank_correlation(self, column: str, by: str, task: str, arms: Sequence[str]) -> str:
        """Spearman's correlation of the means of two columns of `measures`: "-0.05, 20 arms".

        Over all variants of `arms` on a task.
        """
        runs = self.measures
        named = runs["arm"].map(lambda arm: split_variant(arm)[0]).isin(arms)
        means = runs[(runs["task"] == task) & named].groupby("arm")[[column, by]].mean()
        return f"{number(stats.spearmanr(means[by], means[column]).statistic, 2, True)}, {len(means)} arms"

    def extent(self, column: str, task: str) -> str:
        """The lowest and highest mean of a column over the arms of a task: "0.40 to 0.53"."""
        runs = done(self.frames.runs)
        means = runs[runs["task"] == task].groupby("arm")[column].mean()
        return f"{number(means.min(), 2)} to {number(means.max(), 2)}"

    def as_large(self, column: str, arm: str, other: str) -> str:
        """The tasks on which an arm's mean of a column is at least another's: "on 8 of 9 tasks"."""
        means = done(self.frames.runs).groupby(["task", "arm"])[column].mean().unstack()
        return f"on {int((means[arm] >= means[other]).sum())} of {len(means)} tasks"

    def explained(self, column: str, by: str) -> str:
        """The share of the variance of a column's arm means that another explains, by task: "0.91 to 1.00 on 8 ..."."""
        means = done(self.frames.runs).groupby(["task", "arm"])[[column, by]].mean()
        shares = means.groupby("task").corr().xs(column, level=1)[by] ** 2
        high = shares[shares >= 0.9]
        rest = [f"{number(share, 2)} on {task}" for task, share in shares[shares < 0.9].items()]
        text = f"{number(high.min(), 2)} to {number(high.max(), 2)} on {len(high)} of {len(shares)} tasks"
        return ", ".join([text, *rest])

    def also(self, claim: str, arms: tuple[str, ...]) -> str:
        """The outcomes that a claim about the level of an arm has for other arms."""
        (named,) = [other for other in CLAIMS if other.id == claim]
        if not isinstance(named.test, Level):
            raise UserError(f"findings: claim {claim} is not about a level")
        asked = replace(named, test=replace(named.test, arms=arms))
        verdicts = judge_runs([asked], self.frames.runs, self.frames.evaluations)
        tallies = {arm: _tallied([verdict for verdict in verdicts if verdict.arm == arm], "tasks") for arm in arms}
        return ", ".join(f"{label(arm)}: {tally}" for arm, tally in tallies.items())

    def over_tasks(self, claim: str, task: str) -> str:
        """The p-value of a claim's verdict on a task, Holm-corrected over the tasks."""
        verdicts = self._verdicts(claim, None)
        adjusted = holm([verdict.p_value for verdict in verdicts])
        return number(float(adjusted[[verdict.task for verdict in verdicts].index(task)]), 2)

    @property
    def changes(self) -> str:
        """The table of differences from the Monte Carlo floor in Markdown, a row per arm; empty for a single task."""
        table = effects_table([effect for effect in self.effects if effect.arm not in OPTIONS])
        return "" if table is None else compact(table.text[CHANGES])

    @property
    def tally(self) -> str:
        """The number of verdicts of each outcome by claim, in Markdown."""
        return compact(tally(self.verdicts))

    def total(self, column: str) -> float:
        """The total over all runs of "runs", "updates" or "core_hours"."""
        table = cost(self.frames.runs)
        if table is None:
            raise UserError("findings: the runs have no record of their cost")
        return float(table.numbers.iloc[-1][column])

    @property
    def commits(self) -> list[str]:
        """The commits that computed the runs."""
        return sorted(self.frames.provenance["commit"].dropna().unique())

    def _shown(self, estimate: Estimate | Verdict, decimals: int) -> str:
        value = estimate.mean if isinstance(estimate, Estimate) else estimate.effect
        low, high = number(estimate.low, decimals), number(estimate.high, decimals)
        interval = f"{number(value, decimals, sign=True)} [{low}, {high}]"
        return interval if estimate.n == self.usual_n else f"{interval}, n = {estimate.n}"

    def _verdict(self, claim: str, task: str, arm: str | None = None) -> Verdict:
        verdicts = [verdict for verdict in self._verdicts(claim, arm) if verdict.task == task]
        if len(verdicts) != 1:
            raise UserError(f"findings: claim {claim} has {len(verdicts)} verdicts on task {task!r}, not one")
        return verdicts[0]

    def _verdicts(self, claim: str, arm: str | None) -> list[Verdict]:
        verdicts = [verdict for verdict in self.verdicts if verdict.claim.id == claim and arm in (None, verdict.arm)]
        if not verdicts:
            raise UserError(f"findings: no verdict on claim {claim}" + (f" and arm {arm}" if arm else ""))
        return verdicts


# Columns of the table of differences.
CHANGES = ["Arm", "Q of the policy", "Bound rate", "Score, offline end", "Score, online end", "regret_eval"]


def tally(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """A row per claim with the number of verdicts of each outcome that occurs."""
    rows: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        if verdict.n:
            rows.setdefault(verdict.claim.statement, Counter())[verdict.outcome] += 1
    shown = [outcome for outcome in get_args(Outcome) if any(counts[outcome] for counts in rows.values())]
    return pd.DataFrame(
        [{"Claim": claim, **{outcome.capitalize(): str(counts[outcome]) for outcome in shown}}
         for claim, counts in rows.items()]
    )  # fmt: skip


def compact(table: pd.DataFrame) -> str:
    """A Markdown table without padding, so that a longer cell changes one line only."""
    return re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", table.to_markdown(index=False, disable_numparse=True)))


DIRECTIONS = {"higher": 1, "lower": -1}


def _tallied(verdicts: list[Verdict], unit: str) -> str:
    """The outcomes of verdicts, with the tasks: "supported on 7 of 9 tasks, contradicted on 1 (fetch-push)"."""
    tasks = {
        outcome: [verdict.task for verdict in verdicts if verdict.outcome == outcome] for outcome in get_args(Outcome)
    }
    return _listed(tasks, len(verdicts), unit)


def _listed(tasks_by_name: dict[str, list[str]], total: int, unit: str) -> str:
    """ "higher on 4 of 9 tasks, lower on 1 (fetch-push)", without names that have no task."""
    parts: list[str] = []
    for name, tasks in tasks_by_name.items():
        if tasks:
            of_total = "" if parts else f" of {total} {unit}"
            names = list(dict.fromkeys(tasks))
            parts.append(
                f"{name} on {len(tasks)}{of_total}" + (f" ({', '.join(names)})" if len(names) <= NAMES_SHOWN else "")
            )
    return ", ".join(parts)
