"""The claims in a report: a matrix of claims and tasks, and a section per claim about runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import pandas as pd

from ablations.claim import Claim
from results.style import label
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
