"""Verdicts on claims about runs: every claim on every task and arm that it names."""

from collections.abc import Iterable
from math import nan

import pandas as pd

from ablations.claim import FEWEST_DOSES, Claim, Decision, Difference, DoseResponse, Equivalence, EveryCase, Level
from results.frame import done
from results.verdicts import decisions
from results.verdicts.decisions import Finding, Verdict

# What names an evaluation; all other columns of the evaluations are numbers.
NAMES = ("run", "task", "arm", "seed", "step", "phase")


def per_run(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of the two frames of runs and of their evaluations: a row per finished run.

    Columns: those of `runs`; "switch.<number>" and "end.<number>": every number of the evaluation at the switch to the
    online phase, and of the last evaluation.
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
    """A claim's number of every run of `per_run`: task, arm, seed, run, dose (of inflation), value (NaN: none).

    Where the runs know nothing of what the claim measures, every value is NaN.
    """
    try:
        values = pd.to_numeric(pd.Series(claim.measure(frame), index=frame.index)).astype(float)
    except KeyError:
        values = pd.Series(float("nan"), index=frame.index)
    return frame[["task", "arm", "seed", "run"]].assign(dose=frame["floor.inflation"], value=values)


# The arm that a verdict is about, "" where it is about all of them, and the arms whose seeds it compares.
Look = tuple[str, list[str]]


def judge_runs(claims: Iterable[Claim], runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Verdict]:
    """Hold every claim against the finished runs of every task.

    `runs` and `evaluations` are the two frames of runs. Verdicts come claim by claim, of each task by task, of each arm
    by arm; where nothing can be said, for lack of runs or of numbers, the verdict says so. Only seeds that have every
    arm of a comparison enter it, and the remark names the others.

    Raises ValueError if two claims have the same id, TypeError for a claim of the exact lab.
    """
    frame, states = per_run(runs, evaluations), runs[["task", "arm", "seed", "state"]]
    verdicts: list[Verdict] = []
    judged: set[str] = set()
    for claim in claims:
        if claim.id in judged:
            raise ValueError(f"claim {claim.id}: there are two of this id")
        judged.add(claim.id)
        numbers = measured(claim, frame)
        for task, of_task in states.groupby("task", sort=False):
            verdicts += on_task(claim, numbers[numbers["task"] == task], of_task, str(task))
    return verdicts


def on_task(claim: Claim, numbers: pd.DataFrame, runs: pd.DataFrame, task: str) -> list[Verdict]:
    """The verdicts on one claim and task: `numbers` as `measured` gives them, `runs` in whatever state."""
    test = claim.test
    if isinstance(test, EveryCase):
        raise TypeError(f"claim {claim.id}: its test is one of exact cases, not of runs")
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
    """What is looked at one by one; of a trend's arms those that were run."""
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
    """Why nothing can be said of these arms, or ""."""
    if isinstance(test, DoseResponse) and len(arms) < FEWEST_DOSES:
        return f"{len(arms)} of the doses {', '.join(test.arms)} were run; a trend needs {FEWEST_DOSES}"
    if missing := [arm for arm in arms if arm not in table]:
        return f"no finished run of {' or '.join(missing)}"
    if unknown := [arm for arm in arms if table[arm].isna().all()]:
        return f"what is measured is not known of {' or '.join(unknown)} here"
    return ""


def _finding(test: Decision, table: pd.DataFrame, numbers: pd.DataFrame) -> Finding:
    """`table` [seeds, arms of one look], the arm before its baseline."""
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
    """The seeds of these arms that do not enter, and why: "left out: seed 3 (cql failed), seed 5 (cql not there)"."""
    here = runs[runs["arm"].isin(arms)].set_index(["seed", "arm"])["state"]
    parts = []
    for seed in sorted(set(here.index.get_level_values("seed")) - set(whole)):
        states = {arm: here.get((seed, arm), "not there") for arm in arms}
        reasons = [f"{arm} {state}" for arm, state in states.items() if state != "done"]
        parts.append(f"seed {seed} ({', '.join(reasons) or 'no number'})")
    return f"left out: {', '.join(parts)}" if parts else ""
