"""The table of verdicts; corrections are below the claims that they correct."""

from collections.abc import Sequence
from math import isnan

import pandas as pd

from results.style import label
from results.tables import Table
from results.verdicts.decisions import Verdict

OF_CASES = (
    "Exact cases: the effect is the number nearest to its bound or farthest beyond it [smallest, largest]; n: cases. A "
    "claim that corrects another follows it."
)
OF_RUNS = (
    "Runs: the effect is a mean over seeds [interval]; n: seeds, or data seeds if there are several; p: the smaller "
    "p-value of the tests for and against the claim, Holm-corrected over all tasks and arms of the primary claims, and "
    "for the other, exploratory claims over the arms of the claim on the task; r: correlation of the two arms over "
    "seeds, for a trend the mean rank correlation with the dose. A claim is contradicted only if its opposite is "
    "significant, and an equivalence is supported only on tasks that support its control."
)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per verdict, by topic; a correction directly follows the claim that it corrects.

    Numbers: id, topic, outcome, effect, low, high, n, method, corrects (empty for none), source, primary, control (id,
    empty for none), task, arm, p_value, correlation, remark, runs (ids separated by spaces).
    """
    ordered = [(topic, verdict) for topic, group in by_topic(verdicts).items() for verdict in group]
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
            "primary": verdict.claim.primary,
            "control": verdict.claim.control,
            "task": verdict.task,
            "arm": verdict.arm,
            "p_value": verdict.p_value,
            "correlation": verdict.correlation,
            "remark": verdict.remark,
            "runs": " ".join(verdict.runs),
        }
        for topic, verdict in ordered
    ]
    of_runs = any(verdict.task for verdict in verdicts)
    text = [
        {
            "Topic": topic,
            "Id": verdict.claim.id,
            "Claim": statement(verdict),
            "Source": verdict.claim.source,
            "Metric": "; ".join(filter(None, (verdict.claim.metric, verdict.method))),
            **({"Where": where(verdict)} if of_runs else {}),
            "Verdict": verdict.outcome,
            "Effect": effect(verdict),
            "n": str(verdict.n),
            **({"p": p_value(verdict), "r": correlation(verdict), "Remark": verdict.remark} if of_runs else {}),
        }
        for topic, verdict in ordered
    ]
    prose = {"Id": 0.12, "Claim": 0.27, "Source": 0.12, "Metric": 0.2}
    if of_runs:
        prose = {"Id": 0.08, "Claim": 0.16, "Source": 0.08, "Metric": 0.16, "Where": 0.09, "Remark": 0.09}
    notes = (OF_CASES, OF_RUNS) if of_runs else (OF_CASES,)
    return Table("verdicts", "Claims and verdicts", pd.DataFrame(numbers), pd.DataFrame(text), notes, "Topic", prose)


def by_topic(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by topic and claim; a correction directly follows the claim that it corrects, under the same topic.

    A correction of a claim that is not among them keeps its place. Raises ValueError if corrections form a cycle.
    """
    claims = by_claim(verdicts)
    corrections: dict[str, list[str]] = {}
    topics: dict[str, list[str]] = {}
    for name, (first, *_) in claims.items():
        if first.claim.corrects in claims:
            corrections.setdefault(str(first.claim.corrects), []).append(name)
        else:
            topics.setdefault(first.claim.topic, []).append(name)
    ordered = {topic: _with_corrections(names, corrections) for topic, names in topics.items()}
    if lost := set(claims) - {name for names in ordered.values() for name in names}:
        raise ValueError(f"claims {', '.join(sorted(lost))}: their corrections form a cycle")
    return {topic: [verdict for name in names for verdict in claims[name]] for topic, names in ordered.items()}


def by_claim(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by claim id."""
    claims: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        claims.setdefault(verdict.claim.id, []).append(verdict)
    return claims


def _with_corrections(names: Sequence[str], corrections: dict[str, list[str]]) -> list[str]:
    """Claims, each followed by its corrections, recursively."""
    followed = []
    for name in names:
        followed += [name, *_with_corrections(corrections.get(name, []), corrections)]
    return followed


def where(verdict: Verdict) -> str:
    """Task and arm, "winding-road, Cal-QL, learned floor"; empty for the exact lab."""
    return ", ".join(filter(None, (verdict.task, label(verdict.arm) if verdict.arm else "")))


def p_value(verdict: Verdict) -> str:
    """The p-value with two digits, "<0.001" if smaller, "-" for NaN."""
    if isnan(verdict.p_value):
        return "-"
    return "<0.001" if verdict.p_value < 0.001 else f"{verdict.p_value:.2g}"


def correlation(verdict: Verdict) -> str:
    """The correlation with two decimals, "-" for NaN."""
    return "-" if isnan(verdict.correlation) else f"{verdict.correlation + 0.0:.2f}"


def statement(verdict: Verdict) -> str:
    """The statement of the claim; for a correction with the id of the corrected claim."""
    claim = verdict.claim
    return f"{claim.statement} (corrects: {claim.corrects})" if claim.corrects else claim.statement


def effect(verdict: Verdict) -> str:
    """The effect and, unless it has width zero, its interval: "-35", "-7 [-35, -7]".

    Four digits for exact cases, three for runs.
    """
    digits = 3 if verdict.task else 4
    if isnan(verdict.effect):
        return "-"
    if verdict.low == verdict.high:
        return number(verdict.effect, digits)
    return " ".join(
        (number(verdict.effect, digits), f"[{number(verdict.low, digits)}, {number(verdict.high, digits)}]")
    )


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, or without decimals: "-35", "0.3333", "12346", "1.2e-11"."""
    size = abs(value)
    if size == 0:
        return "0"
    if 1e-3 <= size < 1e6:
        return f"{value:.0f}" if size >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return f"{value:.2g}"
