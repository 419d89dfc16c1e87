"""The table of verdicts: every claim with what was found, a correction below what it corrects."""

from collections.abc import Sequence
from math import isnan

import pandas as pd

from results.tables import Table
from results.verdicts.verdict import Verdict

NOTES = (
    "Effect: of exact cases the number that decides, the one nearest to its bound or farthest beyond it [smallest, "
    "largest]; n: cases. A claim that stands instead of another one follows it.",
)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per claim: topics as they come, a correction directly after what it corrects.

    Numbers: id, topic, outcome, effect, low, high, n, method, corrects (empty: nothing), source.
    """
    ordered = [(topic, each) for topic, group in by_topic(verdicts).items() for each in group]
    numbers = [
        {
            "id": verdict.claim.id,
            "topic": topic,
            "outcome": verdict.outcome,
            "effect": verdict.effect,
            "low": verdict.low,
            "high": verdict.high,
            "n": verdict.n,
            "method": verdict.method,
            "corrects": verdict.claim.corrects,
            "source": verdict.claim.source,
        }
        for topic, verdict in ordered
    ]
    text = [
        {
            "Topic": topic,
            "Id": verdict.claim.id,
            "Claim": statement(verdict),
            "Source": verdict.claim.source,
            "Metric": f"{verdict.claim.metric}; {verdict.method}",
            "Verdict": verdict.outcome,
            "Effect": effect(verdict),
            "n": str(verdict.n),
        }
        for topic, verdict in ordered
    ]
    prose = {"Id": 0.12, "Claim": 0.27, "Source": 0.12, "Metric": 0.2}
    return Table("verdicts", "Claims and verdicts", pd.DataFrame(numbers), pd.DataFrame(text), NOTES, "Topic", prose)


def by_topic(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by topic, a correction directly after what it corrects and under the same topic.

    A correction of a claim that is not among them stands where it comes. Raises ValueError if claims correct each other
    in a circle.
    """
    ids = {verdict.claim.id for verdict in verdicts}
    corrections: dict[str, list[Verdict]] = {}
    topics: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.claim.corrects in ids:
            corrections.setdefault(str(verdict.claim.corrects), []).append(verdict)
        else:
            topics.setdefault(verdict.claim.topic, []).append(verdict)
    ordered = {topic: _with_corrections(group, corrections) for topic, group in topics.items()}
    if lost := ids - {verdict.claim.id for group in ordered.values() for verdict in group}:
        raise ValueError(f"claims {', '.join(sorted(lost))}: they correct each other in a circle")
    return ordered


def _with_corrections(verdicts: Sequence[Verdict], corrections: dict[str, list[Verdict]]) -> list[Verdict]:
    """Every verdict followed by its corrections, and each of those by its own."""
    followed = []
    for verdict in verdicts:
        followed += [verdict, *_with_corrections(corrections.get(verdict.claim.id, []), corrections)]
    return followed


def statement(verdict: Verdict) -> str:
    """The claim's statement; of a correction, with the id of what it stands instead of."""
    claim = verdict.claim
    return f"{claim.statement} (instead of: {claim.corrects})" if claim.corrects else claim.statement


def effect(verdict: Verdict) -> str:
    """The number that decides, and its interval unless it is a single number: "-35", "-7 [-35, -7]"."""
    if isnan(verdict.effect):
        return "-"
    if verdict.low == verdict.high:
        return number(verdict.effect)
    return f"{number(verdict.effect)} [{number(verdict.low)}, {number(verdict.high)}]"


def number(value: float) -> str:
    """Four digits, whole thousands and more in full: "-35", "0.3333", "12346", "1.2e-11"."""
    size = abs(value)
    if size == 0:
        return "0"
    if 1e-3 <= size < 1e6:
        return f"{value:.0f}" if size >= 1000 else f"{value:.4g}"
    return f"{value:.2g}"
