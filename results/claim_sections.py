"""What a report says of the claims: an overview of all, and a section per claim about runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ablations.claim import Claim
from results.figures.claims import claim_figure
from results.figures.drawing import Drawing
from results.style import label
from results.verdicts.decisions import Verdict
from results.verdicts.runs import judge_runs, measured, per_run
from results.verdicts.table import by_claim, by_topic, correlation, effect, p_value

# The column of the overview for claims that are judged without runs, and what it shows where nothing was looked at.
LAB = "exact lab"
NOT_RUN = "\N{EN DASH}"


@dataclass(frozen=True)
class ClaimSection:
    """A claim about runs with all that was found about it."""

    claim: Claim
    # Those that rest on runs.
    verdicts: list[Verdict]
    # Those for which there was nothing to look at; their remarks say why.
    not_looked_at: list[Verdict]
    # None where there was nothing to look at.
    drawing: Drawing | None

    @property
    def runs(self) -> list[str]:
        """Ids of the runs behind the verdicts."""
        return list(dict.fromkeys(run for verdict in self.verdicts for run in verdict.runs))

    @cached_property
    def how(self) -> str:
        """What all verdicts have in common: how they were decided, and why some are inconclusive; else empty."""
        methods, remarks = ({getattr(each, name) for each in self.verdicts} for name in ("method", "remark"))
        told = sorted(methods) if len(methods) == 1 else []
        reasons = remarks - {""}
        if len(reasons) == 1 and all(bool(each.remark) == (each.outcome == "inconclusive") for each in self.verdicts):
            told.append(f"inconclusive: {reasons.pop()}")
        return "; ".join(told)

    @property
    def table(self) -> pd.DataFrame:
        """A row per verdict: Task, Arm, Verdict, Effect, n, p, and where there are some r; what `how` says is left out.

        All is text. An arm stands where there are several, Decided and Remark where verdicts differ in them.
        """
        rows = [
            {
                "Task": each.task,
                "Arm": label(each.arm) if each.arm else "",
                "Verdict": each.outcome,
                "Effect": effect(each),
                "n": str(each.n),
                "p": p_value(each),
                "r": correlation(each),
                "Decided": each.method,
                "Remark": each.remark,
            }
            for each in self.verdicts
        ]
        frame = pd.DataFrame(rows)
        told_once = {
            "Arm": frame["Arm"].nunique() == 1,
            "r": (frame["r"] == "-").all(),
            "Decided": frame["Decided"].nunique() == 1,
            "Remark": all(remark in self.how for remark in frame["Remark"]),
        }
        return frame.drop(columns=[name for name, once in told_once.items() if once])


def claim_sections(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> Iterator[ClaimSection]:
    """Judge the claims on the two frames of runs and draw each, one after the other."""
    frame = per_run(runs, evaluations)
    for verdicts in by_claim(judge_runs(claims, runs, evaluations)).values():
        claim = verdicts[0].claim
        looked_at = [verdict for verdict in verdicts if verdict.n]
        others = [verdict for verdict in verdicts if not verdict.n]
        yield ClaimSection(claim, looked_at, others, claim_figure(verdicts, measured(claim, frame)))


def all_verdicts(sections: Iterable[ClaimSection]) -> list[Verdict]:
    """Every verdict of the sections."""
    return [verdict for section in sections for verdict in (*section.verdicts, *section.not_looked_at)]


def overview(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """A row per claim about which something was found: Topic, Id, Claim, then what on each task, and by the exact lab.

    Several arms are counted ("2 supported, 1 inconclusive"); an en dash: nothing was looked at.
    """
    judged = {verdict.claim.id for verdict in verdicts if verdict.n}
    places = list(dict.fromkeys(verdict.task or LAB for verdict in verdicts))
    rows = []
    for topic, group in by_topic([verdict for verdict in verdicts if verdict.claim.id in judged]).items():
        for name, own in by_claim(group).items():
            found = {place: _found([each for each in own if (each.task or LAB) == place]) for place in places}
            rows.append({"Topic": topic, "Id": name, "Claim": own[0].claim.statement, **found})
    return pd.DataFrame(rows, columns=["Topic", "Id", "Claim", *places])


def _found(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts if verdict.n)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or NOT_RUN
