"""Verdicts on claims about runs: every claim on every task and arm that it names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan

import pandas as pd

from ablations.claim import FEWEST_DOSES, Claim, Decision, Difference, DoseResponse, Equivalence, EveryCase, Level
from ablations.measures import Recorded
from results.frame import PAIRING
from results.frame.comparison import seed_name
from results.frame.per_run import per_run, replicates
from results.statistics.intervals import UNBOUNDED, Range, bounds_of
from results.verdicts import decisions
from results.verdicts.decisions import Finding, Outcome, Verdict


def measured(claim: Claim, frame: pd.DataFrame) -> pd.DataFrame:
    """The number that a claim measures, for every run of `per_run`.

    Columns: task, arm, data_seed, seed, run, dose (of inflation), value. All values are NaN if the runs lack the
    columns that the claim measures.
    """
    try:
        values = pd.to_numeric(pd.Series(claim.measure(frame), index=frame.index)).astype(float)
    except KeyError:
        values = pd.Series(float("nan"), index=frame.index)
    return frame[["task", "arm", *PAIRING, "run"]].assign(dose=frame["floor.inflation"], value=values)


@dataclass(frozen=True)
class Comparison:
    """The arms that a claim compares on a task, with what was found."""

    claim: Claim
    task: str
    # Empty if the verdict concerns all arms.
    arm: str
    # None if runs are missing.
    finding: Finding | None
    remark: str
    runs: tuple[str, ...] = ()
    # The range of the numbers.
    bounds: Range = UNBOUNDED


def judge_runs(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Verdict]:
    """Test every claim with the finished runs of every task.

    `runs` and `evaluations` are the frames of these names. Verdicts are ordered by claim, task and arm. A claim without
    the runs or numbers it needs is not tested; an equivalence on a task that does not support its control is
    inconclusive.
    Only seeds with all arms of a comparison enter it; the remark names the others. Where runs have several data seeds,
    the numbers are means over the seeds of each, so that the data are replicated as well.

    Raises ValueError if two claims have the same id, TypeError for a claim of the exact lab.
    """
    frame, states = per_run(runs, evaluations), runs[["task", "arm", *PAIRING, "state"]]
    # Grouped once, because selections of wide frames take longer than the tests.
    started, finished = (dict(list(rows.groupby("task", sort=False))) for rows in (states, frame))
    comparisons: list[Comparison] = []
    judged: set[str] = set()
    for claim in claims:
        if claim.id in judged:
            raise ValueError(f"claim {claim.id}: the id is not unique")
        judged.add(claim.id)
        numbers = measured(claim, frame)
        by_task = dict(list(numbers.groupby("task", sort=False)))
        for task, of_task in started.items():
            bounds = bounds_of_claim(claim, finished.get(task, frame[:0]))
            comparisons += _on_task(claim, by_task.get(task, numbers[:0]), of_task, str(task), bounds)
    return _gated(_verdicts(comparisons))


def _on_task(claim: Claim, numbers: pd.DataFrame, runs: pd.DataFrame, task: str, bounds: Range) -> list[Comparison]:
    """The comparisons of a claim on a task; `numbers` are those of `measured`, `runs` also has unfinished runs."""
    test = claim.test
    if isinstance(test, EveryCase):
        raise TypeError(f"claim {claim.id}: its test is for exact cases, not for runs")
    table = numbers.pivot(index=PAIRING, columns="arm", values="value")
    seeds = pd.MultiIndex.from_frame(numbers[PAIRING])
    comparisons = []
    for arm, arms in _compared(test, list(table.columns)):
        if missing := _missing(test, arms, table):
            comparisons.append(Comparison(claim, task, arm, None, missing))
            continue
        complete = table[arms].dropna()
        used = numbers["run"][numbers["arm"].isin(arms) & seeds.isin(complete.index)]
        finding = _finding(test, replicates(table[arms]), numbers, bounds)
        comparisons.append(
            Comparison(claim, task, arm, finding, _left_out(runs, arms, complete.index), tuple(used), bounds)
        )
    return comparisons


def _verdicts(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Test the comparisons: those of all primary claims as one family, others in families of a claim and task."""
    families: dict[tuple[str, str], tuple[list[int], list[Finding], list[Decision]]] = {}
    for number, comparison in enumerate(comparisons):
        test = comparison.claim.test
        if comparison.finding is not None and not isinstance(test, EveryCase):
            family = ("", "") if comparison.claim.primary else (comparison.claim.id, comparison.task)
            numbers, findings, tests = families.setdefault(family, ([], [], []))
            numbers.append(number)
            findings.append(comparison.finding)
            tests.append(test)
    outcomes: dict[int, tuple[Outcome, float, str]] = {}
    for numbers, findings, tests in families.values():
        outcomes |= zip(numbers, decisions.outcomes(findings, tests), strict=True)
    verdicts = []
    for number, comparison in enumerate(comparisons):
        claim, finding = comparison.claim, comparison.finding
        if finding is None:
            verdicts.append(Verdict(claim, "not tested", nan, nan, nan, 0, "", comparison.task, comparison.arm,
                                    remark=comparison.remark))  # fmt: skip
            continue
        outcome, p_value, reason = outcomes[number]
        verdicts.append(Verdict(
            claim, outcome, finding.effect, finding.low, finding.high, finding.n, finding.method, comparison.task,
            comparison.arm, p_value, finding.correlation, "; ".join(filter(None, (reason, comparison.remark))),
            comparison.runs, comparison.bounds,
        ))  # fmt: skip
    return verdicts


def _gated(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, with those on equivalence inconclusive on tasks that do not support their control."""
    supported = {(verdict.claim.id, verdict.task) for verdict in verdicts if verdict.outcome == "supported"}
    return [
        replace(verdict, outcome="inconclusive", remark="; ".join(filter(None, (
            f"the control {verdict.claim.control} is not supported here, so equality says nothing", verdict.remark,
        ))))
        if verdict.outcome == "supported"
        and verdict.claim.control is not None
        and (verdict.claim.control, verdict.task) not in supported
        else verdict
        for verdict in verdicts
    ]  # fmt: skip


def _compared(test: Decision, present: list[str]) -> list[tuple[str, list[str]]]:
    """The arm of every verdict of a test, with the arms that it compares; of a trend those that are `present`."""
    match test:
        case Level():
            return [(arm, [arm]) for arm in test.arms]
        case Difference():
            return [(arm, [arm, test.baseline]) for arm in test.arms]
        case DoseResponse():
            return [("", [arm for arm in test.arms if arm in present])]
        case _:
            return [(test.arm, [test.arm, test.baseline])]


def _missing(test: Decision, arms: list[str], table: pd.DataFrame) -> str:
    """What these arms lack for the test, or ""."""
    if isinstance(test, DoseResponse) and len(arms) < FEWEST_DOSES:
        return f"{len(arms)} of the doses {', '.join(test.arms)} have finished runs; a trend needs {FEWEST_DOSES}"
    if absent := [arm for arm in arms if arm not in table]:
        return f"no finished run of {' or '.join(absent)}"
    if unknown := [arm for arm in arms if table[arm].isna().all()]:
        return f"the metric is not available for {' or '.join(unknown)}"
    return ""


def bounds_of_claim(claim: Claim, frame: pd.DataFrame) -> Range:
    """The range of what a claim measures in the runs of `frame`; none if it is not the column of a metric."""
    return bounds_of(claim.measure.metric, frame) if isinstance(claim.measure, Recorded) else UNBOUNDED


def _finding(test: Decision, table: pd.DataFrame, numbers: pd.DataFrame, bounds: Range) -> Finding:
    """Test `table` [seeds, arms of one comparison], in which the arm precedes its baseline; `bounds` of its numbers."""
    if isinstance(test, DoseResponse):
        doses = [numbers.loc[numbers["arm"] == arm, "dose"].iloc[0] for arm in table.columns]
        return decisions.trend(table.to_numpy(), doses, test, bounds)
    values = table.iloc[:, 0].to_numpy()
    if isinstance(test, Level):
        return decisions.level(values, test, bounds)
    baseline = table.iloc[:, 1].to_numpy()
    if isinstance(test, Difference):
        return decisions.difference(values, baseline, test, bounds)
    if isinstance(test, Equivalence):
        return decisions.equivalence(values, baseline, test, bounds)
    return decisions.non_inferiority(values, baseline, test, bounds)


def _left_out(runs: pd.DataFrame, arms: list[str], complete: pd.Index) -> str:
    """The incomplete seeds of these arms, with reasons: "left out: seed 3 (cql failed), seed 5 (cql missing)"."""
    started = runs[runs["arm"].isin(arms)]
    incomplete = sorted(set(pd.MultiIndex.from_frame(started[PAIRING])) - set(complete))
    if not incomplete:
        return ""
    state_of = started.set_index([*PAIRING, "arm"])["state"]
    parts = []
    for seeds in incomplete:
        states = {arm: state_of.get((*seeds, arm), "missing") for arm in arms}
        reasons = [f"{arm} {state}" for arm, state in states.items() if state != "done"]
        parts.append(f"seed {seed_name(*seeds)} ({', '.join(reasons) or 'no number'})")
    return f"left out: {', '.join(parts)}"
