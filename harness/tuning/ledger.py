"""The ledger of a study: its trials as a file of plain values, for whoever looks at them without Optuna."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from harness.files import write_json
from harness.folders import attempts
from harness.folders.run_folder import RunFolder
from harness.folders.usage import Usage, usage
from harness.settings import total_updates
from harness.tuning.search import MARKS, Search
from harness.tuning.storage import RUNS, TRIALS
from harness.tuning.study import Study


def ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> dict[str, Any]:
    """The definition, the budget and a row per trial: settings, state, value, values on the way, runs, cost.

    A run is counted as far as it came, in gradient steps.
    """
    rows = [row(arm, trial, folder / RUNS) for arm, search in searches.items() for trial in search.trials()]
    return {"study": study.name, "budget": budget, **study.definition(), "trials": rows}


def write_ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> None:
    """Write the ledger into the study's folder."""
    write_json(folder / TRIALS, ledger(study, searches, folder, budget))


def row(arm: str, trial: FrozenTrial, runs_root: Path) -> dict[str, Any]:
    """A trial as the ledger has it."""
    marks = trial.user_attrs[MARKS]
    cost, updates = Usage(), 0.0
    for id in marks["runs"]:
        folder = RunFolder(runs_root / id)
        if (folder.path / "config.json").exists():
            cost += usage(attempts.history(folder.path), time.time())
            updates += folder.status().get("progress", 0.0) * total_updates(folder.run().schedule)
    return {
        "arm": arm,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": trial.params,
        "on_the_way": {str(step): value for step, value in trial.intermediate_values.items()},
        "runs": marks["runs"],
        "seat": marks["seat"],
        "batch": marks["batch"],
        "updates": round(updates),
        "core_hours": cost.core_hours,
        "gpu_hours": cost.gpu_hours,
        "wall_hours": cost.wall_hours,
    }
