"""The claims in a report: an overview of all claims and a section per claim about runs."""

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

# The overview's column for claims judged without runs, and the entry for claims that were not tested.
LAB = "exact lab"
NOT_RUN = "\N{EN DASH}"


@dataclass(frozen=True)
class ClaimSection:
    """A claim about runs with its verdicts and figure."""

    claim: Claim
    # Verdicts with runs.
    verdicts: list[Verdict]
    # Verdicts without runs; their remarks give the reason.
    untested: list[Verdict]
    # None if there are no runs.
    drawing: Drawing | None

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
            bool(verdict.remark) == (verdict.outcome == "inconclusive") for verdict in self.verdicts
        ):
            parts.append(f"inconclusive: {reasons.pop()}")
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


def claim_sections(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> Iterator[ClaimSection]:
    """Judge the claims on the two frames of runs and yield a section with a figure for each."""
    frame = per_run(runs, evaluations)
    for verdicts in by_claim(judge_runs(claims, runs, evaluations)).values():
        claim = verdicts[0].claim
        tested = [verdict for verdict in verdicts if verdict.n]
        others = [verdict for verdict in verdicts if not verdict.n]
        yield ClaimSection(claim, tested, others, claim_figure(verdicts, measured(claim, frame)))


def all_verdicts(sections: Iterable[ClaimSection]) -> list[Verdict]:
    """Every verdict of the sections."""
    return [verdict for section in sections for verdict in (*section.verdicts, *section.untested)]


def overview(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """A row per tested claim: Topic, Id, Claim, then the outcome on each task and in the exact lab.

    Outcomes of several arms are counted ("2 supported, 1 inconclusive"); an en dash: not tested.
    """
    judged = {verdict.claim.id for verdict in verdicts if verdict.n}
    places = list(dict.fromkeys(verdict.task or LAB for verdict in verdicts))
    rows = []
    for topic, group in by_topic([verdict for verdict in verdicts if verdict.claim.id in judged]).items():
        for name, claim_verdicts in by_claim(group).items():
            outcomes = {
                place: _outcomes([verdict for verdict in claim_verdicts if (verdict.task or LAB) == place])
                for place in places
            }
            rows.append({"Topic": topic, "Id": name, "Claim": claim_verdicts[0].claim.statement, **outcomes})
    return pd.DataFrame(rows, columns=["Topic", "Id", "Claim", *places])


def _outcomes(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts if verdict.n)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or NOT_RUN
