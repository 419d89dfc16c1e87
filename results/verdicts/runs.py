"""Verdicts on claims about runs: every claim on every task and arm that it names."""

from collections.abc import Iterable
from math import nan

import pandas as pd

from ablations.claim import FEWEST_DOSES, Claim, Decision, Difference, DoseResponse, Equivalence, EveryCase, Level
from results.frame import done
from results.frame.online_phase import online_phase
from results.verdicts import decisions
from results.verdicts.decisions import Finding, Verdict

# Columns that identify an evaluation; all others are numbers.
NAMES = ("run", "task", "arm", "seed", "step", "phase")


def per_run(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """A row per finished run, from the frames of runs and evaluations.

    Columns: those of `runs`, the numbers of the evaluation at the switch ("switch.<column>") and of the last evaluation
    ("end.<column>"), and those of `online_phase`.
    """
    finished = done(runs)
    numbers = [column for column in evaluations.columns if column not in NAMES]
    moments = {
        "switch": evaluations[evaluations["step"] == 0],
        "end": evaluations.groupby("run", sort=False).tail(1),
    }
    for moment, rows in moments.items():
        finished = finished.join(rows.set_index("run")[numbers].add_prefix(f"{moment}."), on="run")
    return finished.join(online_phase(evaluations), on="run")


def measured(claim: Claim, frame: pd.DataFrame) -> pd.DataFrame:
    """The number that a claim measures, for every run of `per_run`: task, arm, seed, run, dose (of inflation), value.

    All values are NaN if the runs lack the columns that the claim measures.
    """
    try:
        values = pd.to_numeric(pd.Series(claim.measure(frame), index=frame.index)).astype(float)
    except KeyError:
        values = pd.Series(float("nan"), index=frame.index)
    return frame[["task", "arm", "seed", "run"]].assign(dose=frame["floor.inflation"], value=values)


# The arm of a verdict (empty if it concerns all arms), and the arms that it compares.
Comparison = tuple[str, list[str]]


def judge_runs(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Verdict]:
    """Test every claim with the finished runs of every task.

    `runs` and `evaluations` are the frames of these names. Verdicts are ordered by claim, task and arm. A claim without
    the runs or numbers it needs is inconclusive. Only seeds with all arms of a comparison enter it; the remark names
    the others.

    Raises ValueError if two claims have the same id, TypeError for a claim of the exact lab.
    """
    frame, states = per_run(runs, evaluations), runs[["task", "arm", "seed", "state"]]
    verdicts: list[Verdict] = []
    judged: set[str] = set()
    for claim in claims:
        if claim.id in judged:
            raise ValueError(f"claim {claim.id}: the id is not unique")
        judged.add(claim.id)
        numbers = measured(claim, frame)
        for task, of_task in states.groupby("task", sort=False):
            verdicts += on_task(claim, numbers[numbers["task"] == task], of_task, str(task))
    return verdicts


def on_task(claim: Claim, numbers: pd.DataFrame, runs: pd.DataFrame, task: str) -> list[Verdict]:
    """The verdicts on one claim and task; `numbers` are those of `measured`, `runs` also has unfinished runs."""
    test = claim.test
    if isinstance(test, EveryCase):
        raise TypeError(f"claim {claim.id}: its test is for exact cases, not for runs")
    table = numbers.pivot(index="seed", columns="arm", values="value")
    comparisons = _comparisons(test, list(table.columns))
    missing = {arm: _missing(test, arms, table) for arm, arms in comparisons}
    findings = {arm: _finding(test, table[arms], numbers) for arm, arms in comparisons if not missing[arm]}
    outcomes = dict(zip(findings, decisions.outcomes(list(findings.values()), test), strict=True))
    verdicts = []
    for arm, arms in comparisons:
        if missing[arm]:
            verdicts.append(Verdict(claim, "inconclusive", nan, nan, nan, 0, "", task, arm, remark=missing[arm]))
            continue
        finding, (outcome, p_value, reason) = findings[arm], outcomes[arm]
        complete = table[arms].dropna().index
        used = numbers[numbers["arm"].isin(arms) & numbers["seed"].isin(complete)]
        remark = "; ".join(filter(None, (reason, _left_out(runs, arms, list(complete)))))
        verdicts.append(Verdict(
            claim, outcome, finding.effect, finding.low, finding.high, finding.n, finding.method, task, arm, p_value,
            finding.correlation, remark, tuple(used["run"]),
        ))  # fmt: skip
    return verdicts


def _comparisons(test: Decision, present: list[str]) -> list[Comparison]:
    """The comparisons of a test; a trend is tested over those of its arms that are `present`."""
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


def _finding(test: Decision, table: pd.DataFrame, numbers: pd.DataFrame) -> Finding:
    """Test `table` [seeds, arms of one comparison], in which the arm precedes its baseline."""
    if isinstance(test, DoseResponse):
        doses = [numbers.loc[numbers["arm"] == arm, "dose"].iloc[0] for arm in table.columns]
        return decisions.trend(table.to_numpy(), doses, test)
    values = table.iloc[:, 0].to_numpy()
    if isinstance(test, Level):
        return decisions.level(values, test)
    baseline = table.iloc[:, 1].to_numpy()
    if isinstance(test, Difference):
        return decisions.difference(values, baseline, test)
    if isinstance(test, Equivalence):
        return decisions.equivalence(values, baseline, test)
    return decisions.non_inferiority(values, baseline, test)


def _left_out(runs: pd.DataFrame, arms: list[str], complete: list[int]) -> str:
    """The incomplete seeds of these arms, with reasons: "left out: seed 3 (cql failed), seed 5 (cql missing)"."""
    state_of = runs[runs["arm"].isin(arms)].set_index(["seed", "arm"])["state"]
    parts = []
    for seed in sorted(set(state_of.index.get_level_values("seed")) - set(complete)):
        states = {arm: state_of.get((seed, arm), "missing") for arm in arms}
        reasons = [f"{arm} {state}" for arm, state in states.items() if state != "done"]
        parts.append(f"seed {seed} ({', '.join(reasons) or 'no number'})")
    return f"left out: {', '.join(parts)}" if parts else ""
