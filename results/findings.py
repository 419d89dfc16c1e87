"""What the project's own runs found, in two screens: `python -m results.findings` writes results/published/FINDINGS.md.

The text is a template whose numbers are looked up in the runs' frames, so that none of them can be out of date.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from ablations.claims import CLAIMS
from ablations.grids import STUDIED
from ablations.implementations import SWITCHES
from harness.errors import UserError
from results.frame import done
from results.frame.frames import Frames
from results.own_runs import PROJECT, REFERENCE, STUDY, own_runs
from results.page import markdown
from results.statistics.estimate import Estimate
from results.style import in_order, label
from results.tables.cost import cost
from results.tables.effects import Effect, effects
from results.tables.text import number
from results.verdicts.per_run import per_run
from results.verdicts.runs import judge_runs
from results.verdicts.verdict import Outcome, Verdict

FINDINGS = REFERENCE / "FINDINGS.md"
TEMPLATE = "findings.md"

# So many tasks are named, more are counted.
NAMED = 4


@dataclass(frozen=True)
class Evidence:
    """What the template looks up. The methods raise UserError for what the runs say nothing about."""

    frames: Frames

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the runs."""
        return list(self.frames.runs["task"].unique())

    @property
    def arms(self) -> list[str]:
        """The arms, in their usual order."""
        return in_order(self.frames.runs["arm"])

    @property
    def seeds(self) -> int:
        """Seeds of every task and arm. Raises UserError where they are not equally many."""
        counts = self.frames.runs.groupby(["task", "arm"])["seed"].nunique()
        if counts.nunique() > 1:
            raise UserError(f"findings: tasks and arms have {counts.min()} to {counts.max()} seeds; run the others")
        return int(counts.iloc[0])

    @property
    def missing(self) -> list[str]:
        """Tasks of grid `study` of which there are no runs."""
        return [task for task in STUDIED if task not in self.tasks]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts that rest on runs."""
        return [each for each in judge_runs(CLAIMS, self.frames.runs, self.frames.evaluations) if each.n]

    @cached_property
    def effects(self) -> list[Effect]:
        """Every arm against the Monte Carlo floor, and those of implementations against their reference."""
        frame = per_run(self.frames.runs, self.frames.evaluations)
        return [*effects(frame), *effects(frame, "reference")]

    def outcomes(self, claim: str, arm: str | None = None) -> str:
        """What became of a claim: "supported on 7 of 9 tasks, contradicted on 1 (fetch-push)"."""
        verdicts = self._verdicts(claim, arm)
        found = {outcome: [each.task for each in verdicts if each.outcome == outcome] for outcome in get_args(Outcome)}
        what = "tasks" if len({each.task for each in verdicts}) == len(verdicts) else "tasks and arms"
        return _listed(found, len(verdicts), what)

    def measured(self, claim: str, task: str, arm: str | None = None, decimals: int = 2) -> str:
        """What decides about a claim on a task: "-12.3 [-14.0, -10.5], n = 10"."""
        found = [each for each in self._verdicts(claim, arm) if each.task == task]
        if len(found) != 1:
            raise UserError(f"findings: claim {claim} has {len(found)} verdicts on task {task!r}, not one")
        return _shown(found[0], decimals)

    def effect(self, arm: str, quantity: str, task: str = "", decimals: int = 2) -> str:
        """What an arm changes, on a task or on average over all: "+0.12 [0.05, 0.19], n = 90"."""
        for each in self.effects:
            if (each.arm, each.quantity, each.task) == (arm, quantity, task):
                return _shown(each.estimate, decimals)
        raise UserError(f"findings: nothing is known of {quantity} of arm {arm} on {task or 'several tasks'}")

    def moved(self, arm: str, quantity: str) -> str:
        """On which tasks an arm is found higher or lower: "higher on 4 of 9 tasks, lower on 1 (fetch-push)"."""
        own = [each for each in self.effects if (each.arm, each.quantity) == (arm, quantity) and each.task]
        if not own:
            raise UserError(f"findings: nothing is known of {quantity} of arm {arm}")
        found = {way: [each.task for each in own if each.direction == sign] for way, sign in WAYS.items()}
        return _listed(found, len(own), "tasks") or f"found to differ on none of {len(own)} tasks"

    def shown(self, effect: Effect, decimals: int = 2) -> str:
        """An effect by the name of its arm: "Cal-QL, gap without alpha -0.74 [-0.93, -0.56], n = 6"."""
        return f"{label(effect.arm)} {_shown(effect.estimate, decimals)}"

    def switches(self, quantity: str, task: str) -> list[Effect]:
        """What every single switch of the implementations changes of Cal-QL on a task, the largest change first."""
        own = [each for each in self.effects if (each.quantity, each.task) == (quantity, task)]
        alone = [each for each in own if each.arm in SWITCHES and "cql" not in each.arm]
        if not alone:
            raise UserError(f"findings: nothing is known of {quantity} of any switch on {task}")
        return sorted(alone, key=lambda each: -abs(each.estimate.mean))

    def mean(self, column: str, task: str, arm: str, decimals: int = 2) -> str:
        """Mean over seeds of a column of the runs."""
        runs = done(self.frames.runs)
        return number(runs.loc[(runs["task"] == task) & (runs["arm"] == arm), column].mean(), decimals)

    def extent(self, column: str, task: str) -> str:
        """The lowest and the highest mean of a column among the arms of a task: "0.40 to 0.53"."""
        runs = done(self.frames.runs)
        means = runs[runs["task"] == task].groupby("arm")[column].mean()
        return f"{number(means.min(), 2)} to {number(means.max(), 2)}"

    def total(self, what: str) -> float:
        """Of all runs: "runs", "updates" or "core_hours"."""
        table = cost(self.frames.runs)
        if table is None:
            raise UserError("findings: the runs do not tell what they cost")
        return float(table.numbers.iloc[-1][what])

    @property
    def commits(self) -> list[str]:
        """The commits with which the runs were computed."""
        return sorted(self.frames.provenance["commit"].dropna().unique())

    def _verdicts(self, claim: str, arm: str | None) -> list[Verdict]:
        found = [each for each in self.verdicts if each.claim.id == claim and arm in (None, each.arm)]
        if not found:
            raise UserError(f"findings: there is no verdict on claim {claim}" + (f" and arm {arm}" if arm else ""))
        return found


WAYS = {"higher": 1, "lower": -1}


def findings(reference: Path = REFERENCE) -> str:
    """The text for exported frames: of the study, and of the two grids that ask what it does not."""
    grids = {"study": STUDY, "truncation": "truncation", "implementation": "implementation"}
    return markdown(TEMPLATE, **{name: Evidence(own_runs(grid, reference=reference)) for name, grid in grids.items()})


def write(file: Path = FINDINGS) -> None:
    """Bring the file up to date; the same frames give the same text."""
    file.write_text(findings())


def _listed(found: dict[str, list[str]], of: int, what: str) -> str:
    """ "higher on 4 of 9 tasks, lower on 1 (fetch-push)"; what occurs nowhere is left out."""
    parts: list[str] = []
    for name, tasks in found.items():
        if tasks:
            total = "" if parts else f" of {of} {what}"
            names = list(dict.fromkeys(tasks))
            parts.append(f"{name} on {len(tasks)}{total}" + (f" ({', '.join(names)})" if len(names) <= NAMED else ""))
    return ", ".join(parts)


def _shown(estimate: Estimate | Verdict, decimals: int) -> str:
    middle = estimate.mean if isinstance(estimate, Estimate) else estimate.effect
    low, high = number(estimate.low, decimals), number(estimate.high, decimals)
    return f"{number(middle, decimals, sign=True)} [{low}, {high}], n = {estimate.n}"


if __name__ == "__main__":
    write()
