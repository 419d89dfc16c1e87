"""The claims in a report: the sentences with which it begins, a matrix of claims and tasks, and a section per claim."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import pandas as pd

from ablations.claim import Claim
from results.frame import PAIRING
from results.frame.per_run import replicates
from results.statistics.intervals import CONFIDENCE, Estimate, bounds_of, mean_interval
from results.style import label
from results.tables.scores import ALPHA
from results.tables.table import Table, interval_text, number
from results.verdicts.decisions import DECIDED, Outcome, Verdict
from results.verdicts.table import by_claim, by_topic, correlation, effect, p_value

# The matrix's column for claims judged without runs.
LAB = "exact lab"

# How outcomes are shown where there is little room.
SYMBOLS: dict[Outcome, str] = {
    "supported": "\N{CHECK MARK}",
    "contradicted": "\N{BALLOT X}",
    "inconclusive": "?",
    "too few seeds": "n",
    "not tested": "\N{EN DASH}",
}

# The claims whose verdicts are put in words, and the arms that they compare.
FALLS, FALLS_LESS = "cql-falls-online", "cal-ql-falls-less"
WITHOUT, WITH = "cql", "monte_carlo"

CHANGES: dict[Outcome, str] = {
    "supported": "falls after the switch",
    "contradicted": "rises after the switch",
    "inconclusive": "does not change significantly after the switch",
}

# Of a change of CQL that is not a fall.
BESIDE: dict[Outcome, str] = {
    "supported": "Cal-QL's change is significantly better",
    "contradicted": "Cal-QL's change is significantly worse",
    "inconclusive": "Cal-QL's change does not differ significantly",
}


@dataclass(frozen=True)
class ClaimSection:
    """A claim about runs with its verdicts and figure."""

    claim: Claim
    # Verdicts with runs.
    verdicts: list[Verdict]
    # Verdicts without runs; their remarks give the reason.
    untested: list[Verdict]

    @property
    def name(self) -> str:
        """The name of the claim's figure, if it was drawn."""
        return f"claim_{self.claim.id}"

    @property
    def counts(self) -> dict[Outcome, int]:
        """The number of verdicts of each outcome."""
        counts = Counter(verdict.outcome for verdict in self.verdicts or self.untested[:1])
        return {outcome: counts[outcome] for outcome in get_args(Outcome) if counts[outcome]}

    @property
    def runs(self) -> list[str]:
        """Ids of the runs behind the verdicts."""
        return list(dict.fromkeys(run for verdict in self.verdicts for run in verdict.runs))

    @cached_property
    def how(self) -> str:
        """The method and the reason for inconclusive verdicts, if all verdicts share them; otherwise empty."""
        methods, remarks = ({getattr(verdict, name) for verdict in self.verdicts} for name in ("method", "remark"))
        parts = sorted(methods) if len(methods) == 1 else []
        reasons = remarks - {""}
        if len(reasons) == 1 and all(
            bool(verdict.remark) == (verdict.outcome not in DECIDED) for verdict in self.verdicts
        ):
            parts.append(f"{next(verdict.outcome for verdict in self.verdicts if verdict.remark)}: {reasons.pop()}")
        return "; ".join(parts)

    @property
    def table(self) -> pd.DataFrame:
        """A row of text per verdict: Task, Arm, Verdict, Effect, n, p, r, Method, Remark.

        Omits columns that are the same for all verdicts, that are empty or that `how` states.
        """
        rows = [
            {
                "Task": verdict.task,
                "Arm": label(verdict.arm) if verdict.arm else "",
                "Verdict": verdict.outcome,
                "Effect": effect(verdict),
                "n": str(verdict.n),
                "p": p_value(verdict),
                "r": correlation(verdict),
                "Method": verdict.method,
                "Remark": verdict.remark,
            }
            for verdict in self.verdicts
        ]
        frame = pd.DataFrame(rows)
        redundant = {
            "Arm": frame["Arm"].nunique() == 1,
            "r": (frame["r"] == "-").all(),
            "Method": frame["Method"].nunique() == 1,
            "Remark": all(remark in self.how for remark in frame["Remark"]),
        }
        return frame.drop(columns=[name for name, omit in redundant.items() if omit])


def claim_sections(verdicts: Sequence[Verdict]) -> Iterator[ClaimSection]:
    """A section per claim, from the verdicts on all of them."""
    for of_claim in by_claim(verdicts).values():
        tested = [verdict for verdict in of_claim if verdict.n]
        yield ClaimSection(of_claim[0].claim, tested, [verdict for verdict in of_claim if not verdict.n])


@dataclass(frozen=True)
class Cell:
    """The outcomes of a claim in one place: the symbol, counted if there are several arms."""

    # The common outcome, or "inconclusive" if they differ.
    outcome: str
    text: str
    # All outcomes in words.
    title: str


@dataclass(frozen=True)
class MatrixRow:
    """A tested claim and its outcome in every place of `places`."""

    topic: str
    id: str
    statement: str
    # The page and place where its numbers are.
    link: str
    cells: list[Cell]


def places(verdicts: Sequence[Verdict]) -> list[str]:
    """The tasks of verdicts, and the exact lab if it has some."""
    return list(dict.fromkeys(verdict.task or LAB for verdict in verdicts))


def matrix(verdicts: Sequence[Verdict]) -> list[MatrixRow]:
    """A row per tested claim, a cell per task."""
    judged = {verdict.claim.id for verdict in verdicts if verdict.n}
    shown = places(verdicts)
    rows = []
    for topic, group in by_topic([verdict for verdict in verdicts if verdict.claim.id in judged]).items():
        for name, of_claim in by_claim(group).items():
            cells = [_cell([verdict for verdict in of_claim if (verdict.task or LAB) == place]) for place in shown]
            page = "claims.html" if of_claim[0].task else "exact/report.html"
            rows.append(MatrixRow(topic, name, of_claim[0].claim.statement, f"{page}#claim-{name}", cells))
    return rows


def _cell(verdicts: Sequence[Verdict]) -> Cell:
    counts = Counter(verdict.outcome for verdict in verdicts if verdict.n)
    if not counts:
        return Cell("not tested", SYMBOLS["not tested"], "not tested")
    ordered = {outcome: counts[outcome] for outcome in SYMBOLS if counts[outcome]}
    title = ", ".join(f"{count} {outcome}" for outcome, count in ordered.items())
    if len(ordered) == 1:
        (outcome, count), *_ = ordered.items()
        return Cell(outcome, SYMBOLS[outcome] if count == 1 else f"{count} {SYMBOLS[outcome]}", title)
    return Cell("inconclusive", " ".join(f"{count} {SYMBOLS[outcome]}" for outcome, count in ordered.items()), title)


def headlines(verdicts: Sequence[Verdict], measures: pd.DataFrame, differing: Table | None = None) -> list[str]:
    """A sentence per task on which both claims were decided or inconclusive, and the numbers behind it.

    `measures`: the frame of `results.frame.per_run.per_run`. Words follow from the verdicts, and "does not" means: not
    significantly, by the interval of the change. Where no claim was tested, the largest of the differences in the table
    `differing` of `results.tables.scores`.
    """
    outcome = {(verdict.claim.id, verdict.task): verdict.outcome for verdict in verdicts if verdict.n}
    tasks = list(dict.fromkeys(task for claim, task in outcome if claim == FALLS))
    sentences = [
        f"On {task}, {_seen(outcome[FALLS, task], outcome[FALLS_LESS, task], changes[WITH])} {_numbers(changes, table)}"
        for task in tasks
        if (FALLS_LESS, task) in outcome and {outcome[FALLS, task], outcome[FALLS_LESS, task]} <= set(CHANGES)
        for table in [_changes_of(measures[measures["task"] == task])]
        for bounds in [bounds_of("online_change", measures[measures["task"] == task])]
        for changes in [{arm: mean_interval(table["online_change", arm], bounds=bounds) for arm in (WITHOUT, WITH)}]
    ]
    return sentences or _largest_difference(verdicts, differing)


def _largest_difference(verdicts: Sequence[Verdict], differing: Table | None) -> list[str]:
    """A sentence for runs of one task that test no claim: which arm's regret differs most from the baseline's."""
    if differing is None or any(verdict.n for verdict in verdicts):
        return []
    rows = differing.numbers[differing.numbers["metric"] == "regret_eval"].dropna(subset="mean")
    if rows["task"].nunique() != 1:
        return []
    largest = rows.iloc[int(rows["mean"].abs().to_numpy().argmax())]
    estimate = Estimate(largest["mean"], largest["low"], largest["high"], largest["n"], largest["method"])
    significant = int((rows["p_holm"] < ALPHA).sum())
    # The least p-value of an exact sign-flip test with so many pairs, after Holm's correction.
    possible = 2.0 ** (1 - estimate.n) * len(rows) < ALPHA
    return [
        f"No registered claim is about these arms. Of {len(rows)} arms, {label(largest['arm'])} differs most from "
        f"{label(largest['baseline'])} in regret_eval: {interval_text(estimate, 2, sign=True)} ({CONFIDENCE:.0%} "
        f"paired t interval, n = {estimate.n} seeds). Significant after correction over the arms: "
        + (f"{significant or 'none'}." if possible else f"none, which {estimate.n} seeds are too few to show.")
    ]


def _seen(falls: Outcome, less: Outcome, with_floor: Estimate) -> str:
    """The sentence of one task."""
    change = f"CQL's success rate {CHANGES[falls]}"
    if falls != "supported":
        return f"{change}; {BESIDE[less]}."
    if less == "supported":
        return f"{change} and Cal-QL's {'falls less' if with_floor.high < 0 else 'does not'}."
    return f"{change}, and Cal-QL's {'falls more' if less == 'contradicted' else 'not significantly less'}."


def _numbers(changes: dict[str, Estimate], table: pd.DataFrame) -> str:
    """The changes of both arms with n."""
    parts = [
        f"{name} {interval_text(changes[arm], 2, sign=True)} from {number(table['baseline_score', arm].mean(), 2)}"
        for arm, name in ((WITHOUT, "CQL"), (WITH, "Cal-QL"))
    ]
    unit = "data seeds" if table.index.name == "data_seed" else "seeds"
    return f"Mean change over the online phase: {', '.join(parts)} (95% t intervals, n = {len(table)} {unit})."


def _changes_of(measures: pd.DataFrame) -> pd.DataFrame:
    """Score before the switch and change online of both arms [seeds, (quantity, arm)], for seeds that have both."""
    both = measures[measures["arm"].isin((WITHOUT, WITH))]
    table = both.pivot(index=PAIRING, columns="arm", values=["baseline_score", "online_change"]).dropna()
    return replicates(table)
