"""The sentences with which a report begins: what the score does after the switch, without a floor and with one."""

from collections.abc import Sequence

import pandas as pd

from results.frame import PAIRING
from results.frame.per_run import replicates
from results.statistics.intervals import Estimate, mean_interval
from results.tables.table import interval_text, number
from results.verdicts.decisions import Outcome, Verdict

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
    "supported": "Cal-QL's changes for the better beside it",
    "contradicted": "Cal-QL's changes for the worse beside it",
    "inconclusive": "Cal-QL's change does not differ significantly",
}


def headlines(verdicts: Sequence[Verdict], measures: pd.DataFrame) -> list[str]:
    """A sentence per task on which both claims were decided or inconclusive, and the numbers behind it.

    `measures`: the frame of `results.frame.per_run.per_run`. Words follow from the verdicts, and "does not" means: not
    significantly, by the interval of the change.
    """
    outcome = {(verdict.claim.id, verdict.task): verdict.outcome for verdict in verdicts if verdict.n}
    tasks = list(dict.fromkeys(task for claim, task in outcome if claim == FALLS))
    return [
        f"On {task}, {_seen(outcome[FALLS, task], outcome[FALLS_LESS, task], changes[WITH])} {_numbers(changes, table)}"
        for task in tasks
        if (FALLS_LESS, task) in outcome and {outcome[FALLS, task], outcome[FALLS_LESS, task]} <= set(CHANGES)
        for table in [_changes_of(measures[measures["task"] == task])]
        for changes in [{arm: mean_interval(table["online_change", arm]) for arm in (WITHOUT, WITH)}]
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
