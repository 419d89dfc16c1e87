"""What a floor changes: every arm against the one without, within seed."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from results.frame import done
from results.statistics.estimate import CONFIDENCE
from results.statistics.multiplicity import holm
from results.statistics.pairs import paired_difference
from results.style import label
from results.tables.metrics import METRICS
from results.tables.table import Table
from results.tables.text import interval_text, number

# The arm against which the others are held, within seed; and where it has no runs, as among implementations, which.
BASELINE = "cql"
BASELINES = (BASELINE, "reference")


# At which a difference is marked.
ALPHA = 0.05


def differences(runs: pd.DataFrame) -> Table | None:
    """Every other arm minus the first of `BASELINES` that was run within seed; None where nothing can be compared.

    Numbers: task, arm, baseline (the other arm), metric, mean, low, high, n, method, correlation, p_value (sign flip),
    p_holm (the same adjusted for the arms of the task).
    """
    finished = done(runs)
    present = set(finished["arm"])
    baseline = next((arm for arm in BASELINES if arm in present), BASELINE)
    found = [_of_task(str(task), group, baseline) for task, group in finished.groupby("task", sort=False)]
    numbers = [row for rows, _ in found for row in rows]
    if not numbers:
        return None
    notes = (
        f"Mean difference within seed [{CONFIDENCE:.0%} paired t interval]; n pairs. *: p < {ALPHA} in the exact "
        "sign-flip test, adjusted for the arms of the task after Holm (fewer than 6 pairs cannot reach it). r is the "
        "correlation of regret_eval between the two arms over the seeds.",
    )
    text = pd.DataFrame([line for _, lines in found for line in lines])
    return Table("differences", f"Difference to {label(baseline)} within seed", pd.DataFrame(numbers), text, notes)


def _of_task(task: str, finished: pd.DataFrame, baseline: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Numbers and lines of text of one task."""
    held_against = finished[finished["arm"] == baseline].set_index("seed")
    pairs = {}
    for arm, other in finished[finished["arm"] != baseline].groupby("arm", sort=False):
        theirs = other.set_index("seed")
        seeds = held_against.index.intersection(theirs.index)
        if len(seeds):
            pairs[arm] = theirs.loc[seeds], held_against.loc[seeds]
    numbers: list[dict[str, Any]] = []
    lines = {arm: {"Task": task, "Arm": label(arm)} for arm in pairs}
    for metric in METRICS:
        estimates = {
            arm: paired_difference(metric.of(ours), metric.of(theirs)) for arm, (ours, theirs) in pairs.items()
        }
        adjusted = holm([estimate.p_value for estimate in estimates.values()])
        for (arm, estimate), p_holm in zip(estimates.items(), adjusted, strict=True):
            names = {"task": task, "arm": arm, "baseline": baseline, "metric": metric.name}
            own = {**names, **asdict(estimate), "p_holm": p_holm}
            numbers.append(own)
            text = interval_text(estimate, metric.decimals, sign=True, of=len(pairs[arm][0]))
            lines[arm][metric.heading] = text + ("*" if p_holm < ALPHA else "")
            if metric.name == "regret_eval":
                lines[arm]["r"] = number(estimate.correlation, 2)
    last = [{"r": line.pop("r"), "n": str(len(pairs[arm][0]))} for arm, line in lines.items()]
    return numbers, [line | end for line, end in zip(lines.values(), last, strict=True)]
