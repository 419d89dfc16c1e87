"""What a study cost and what it found, arm by arm."""

import pandas as pd

from results.style import label
from results.tables import Table
from results.tables.text import NONE, number
from results.tuning.ledger import SETTING, Ledger

STATES = {"complete": "Complete", "pruned": "Pruned", "fail": "Failed"}


def effort(ledger: Ledger) -> Table:
    """A row per arm. Numbers: arm, trials, complete, pruned, fail, untuned, best, best_trial, "setting.*" of the best,
    runs, updates, core_hours, gpu_hours, wall_hours."""
    numbers = pd.DataFrame([_line(ledger, arm) for arm in ledger.arms])
    settings = [column for column in numbers.columns if column.startswith(SETTING)]
    text = pd.DataFrame(
        {
            "Arm": numbers["arm"].map(label),
            "Trials": numbers["trials"].map(str),
            **{title: numbers[state].map(str) for state, title in STATES.items()},
            "Untuned": numbers["untuned"].map(lambda value: number(value, 3)),
            "Best": numbers["best"].map(lambda value: number(value, 3)),
            **{column.removeprefix(SETTING): numbers[column].map(plain) for column in settings},
            "Run-updates": numbers["updates"].map(lambda value: f"{value:,}"),
            "Core-hours": numbers["core_hours"].map(lambda value: number(value, 2)),
            "GPU-hours": numbers["gpu_hours"].map(lambda value: number(value, 2)),
        }
    )
    given = numbers["trials"].unique()
    equal = f"equal: {given[0]} trials each" if len(given) == 1 else "not equal yet: " + ", ".join(map(str, given))
    notes = (
        f"Objective: {ledger.objective} ({'larger' if ledger.direction == 'maximize' else 'smaller'} is better), mean "
        f"over tasks and the tuning seeds {', '.join(map(str, ledger.seeds))}, which are not reported.",
        f"Effort: {equal}, of a budget of {ledger.budget}. The first trial of every arm is the one without tuning.",
        "Best: the value by which the trial was chosen, so it flatters; what the settings are worth on fresh seeds "
        "stands among the scores.",
        "Cost: all trials count, also pruned and failed ones, with as many gradient steps as their runs made.",
    )
    return Table(f"tuning_{ledger.study}", f"Tuning: {ledger.study}", numbers, text, notes, group="Arm")


def plain(value: object) -> str:
    """A setting in a few digits."""
    if value is None or value != value:
        return NONE
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(ledger: Ledger, arm: str) -> dict:
    own = ledger.trials[ledger.trials["arm"] == arm]
    first, best = own[own["number"] == own["number"].min()], ledger.best_first(ledger.complete(arm)).head(1)
    return {
        "arm": arm,
        "trials": len(own),
        **{state: int((own["state"] == state).sum()) for state in STATES},
        "untuned": first["value"].where(first["state"] == "complete").iloc[0],
        "best": best["value"].iloc[0] if len(best) else float("nan"),
        "best_trial": int(best["number"].iloc[0]) if len(best) else None,
        **{name: best[name].iloc[0] if len(best) else None for name in (SETTING + path for path in ledger.space)},
        **{name: int(own[name].sum()) for name in ("runs", "updates")},
        **{name: float(own[name].sum()) for name in ("core_hours", "gpu_hours", "wall_hours")},
    }
