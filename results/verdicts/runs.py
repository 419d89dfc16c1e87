"""Verdicts on claims about runs: every claim on every task and arm that it names."""

from collections.abc import Iterable
from math import nan

import pandas as pd

from ablations.claim import FEWEST_DOSES, Claim, Decision, Difference, DoseResponse, Equivalence, EveryCase, Level
from results.frame import done
from results.verdicts import decisions
from results.verdicts.decisions import Finding, Verdict

# Columns that identify an evaluation; all others are numbers.
NAMES = ("run", "task", "arm", "seed", "step", "phase")


def per_run(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """A row per finished run, from the frames of runs and of evaluations.

    Columns: those of `runs`, and every number of the evaluations at the switch ("switch.<number>") and at the end
    ("end.<number>").
    """
    finished = done(runs)
    numbers = [column for column in evaluations.columns if column not in NAMES]
    moments = {
        "switch": evaluations[evaluations["step"] == 0],
        "end": evaluations.groupby("run", sort=False).tail(1),
    }
    for moment, rows in moments.items():
        own = rows.set_index("run")[numbers].add_prefix(f"{moment}.")
        finished = finished.join(own, on="run")
    return finished


def measured(claim: Claim, frame: pd.DataFrame) -> pd.DataFrame:
    """The metric of a claim for every run of `per_run`: task, arm, seed, run, dose (of inflation), value.

    Values are NaN if the runs do not have the metric.
    """
    try:
        values = pd.to_numeric(pd.Series(claim.measure(frame), index=frame.index)).astype(float)
    except KeyError:
        values = pd.Series(float("nan"), index=frame.index)
    return frame[["task", "arm", "seed", "run"]].assign(dose=frame["floor.inflation"], value=values)


# The arm of a verdict (empty: all arms), and the arms whose seeds it compares.
Look = tuple[str, list[str]]


def judge_runs(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Verdict]:
    """Test every claim on the finished runs of every task.

    `runs` and `evaluations` are the two frames of runs. Verdicts are ordered by claim, task and arm; without the runs
    or numbers that a test needs, the verdict gives the reason. A comparison uses the seeds that have all of its arms,
    and the remark names the others.

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
    """The verdicts on a claim on a task, from the `numbers` of `measured` and the `runs` in any state."""
    test = claim.test
    if isinstance(test, EveryCase):
        raise TypeError(f"claim {claim.id}: a claim about exact cases, not about runs")
    table = numbers.pivot(index="seed", columns="arm", values="value")
    looks = _looks(test, list(table.columns))
    lacking = {arm: _lack(test, arms, table) for arm, arms in looks}
    findings = {arm: _finding(test, table[arms], numbers) for arm, arms in looks if not lacking[arm]}
    found = dict(zip(findings, decisions.outcomes(list(findings.values()), test), strict=True))
    verdicts = []
    for arm, arms in looks:
        if lacking[arm]:
            verdicts.append(Verdict(claim, "inconclusive", nan, nan, nan, 0, "", task, arm, remark=lacking[arm]))
            continue
        finding, (outcome, p_value, reason) = findings[arm], found[arm]
        whole = table[arms].dropna().index
        behind = numbers[numbers["arm"].isin(arms) & numbers["seed"].isin(whole)]
        remark = "; ".join(filter(None, (reason, _left_out(runs, arms, list(whole)))))
        verdicts.append(Verdict(
            claim, outcome, finding.effect, finding.low, finding.high, finding.n, finding.method, task, arm, p_value,
            finding.correlation, remark, tuple(behind["run"]),
        ))  # fmt: skip
    return verdicts


def _looks(test: Decision, run: list[str]) -> list[Look]:
    """The comparisons of a claim; of a trend, with the arms that were run."""
    match test:
        case Level():
            return [(arm, [arm]) for arm in test.arms]
        case Difference():
            return [(arm, [arm, test.baseline]) for arm in test.arms]
        case DoseResponse():
            return [("", [arm for arm in test.arms if arm in run])]
        case _:
            return [(test.arm, [test.arm, test.baseline])]


def _lack(test: Decision, arms: list[str], table: pd.DataFrame) -> str:
    """Why these arms cannot be tested, or an empty string."""
    if isinstance(test, DoseResponse) and len(arms) < FEWEST_DOSES:
        return f"{len(arms)} of the doses {', '.join(test.arms)} were run; a trend needs {FEWEST_DOSES}"
    if missing := [arm for arm in arms if arm not in table]:
        return f"no finished run of {' or '.join(missing)}"
    if unknown := [arm for arm in arms if table[arm].isna().all()]:
        return f"the metric is not available for {' or '.join(unknown)}"
    return ""


def _finding(test: Decision, table: pd.DataFrame, numbers: pd.DataFrame) -> Finding:
    """Test the `table` [seeds, arms] of a comparison, with the arm before its baseline."""
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


def _left_out(runs: pd.DataFrame, arms: list[str], whole: list[int]) -> str:
    """The excluded seeds of these arms with reasons: "left out: seed 3 (cql failed), seed 5 (cql missing)"."""
    here = runs[runs["arm"].isin(arms)].set_index(["seed", "arm"])["state"]
    parts = []
    for seed in sorted(set(here.index.get_level_values("seed")) - set(whole)):
        states = {arm: here.get((seed, arm), "missing") for arm in arms}
        reasons = [f"{arm} {state}" for arm, state in states.items() if state != "done"]
        parts.append(f"seed {seed} ({', '.join(reasons) or 'no number'})")
    return f"left out: {', '.join(parts)}" if parts else ""
