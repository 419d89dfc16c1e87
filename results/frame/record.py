"""What one run folder gives to the frames."""

import time
from dataclasses import dataclass
from typing import Any

from harness.files import DamagedFileError
from harness.folders.reader import RunContents
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import Run, run_to_dict
from results.frame.columns import LEARNED_FLOOR, SUMMARY
from results.frame.costs import cost_columns


@dataclass(frozen=True)
class Record:
    """One run's row among the runs and that of its provenance, in plain values of JSON."""

    folder: RunFolder
    run: dict[str, Any]
    # Empty if the run has never been started.
    provenance: dict[str, Any]

    @property
    def state(self) -> str:
        return self.run["state"]


def record(folder: RunFolder, contents: RunContents) -> Record:
    """The record of a sound folder that holds a run."""
    run, status = contents.run, contents.status
    assert run is not None, "an empty folder has no record"
    state = RunState(status["state"])
    finished = state is RunState.DONE
    summary = (contents.summary or {}) if finished else {}
    learned = summary.get("learned_floor") or {}
    row = {
        **flat(run_to_dict(run)),
        "run": folder.id,
        "task": run.task.name,
        "arm": run.arm,
        "seed": run.seed,
        "state": state.value,
        "reason": "" if finished else status.get("reason") or "",
        **{name: summary.get(name) for name in SUMMARY},
        **{f"learned_floor.{name}": learned.get(name) for name in LEARNED_FLOOR},
        **cost_columns(contents.provenance.get("attempts", []), time.time()),
    }
    return Record(folder, row, provenance_row(folder, contents.provenance))


def evaluation_rows(folder: RunFolder, contents: RunContents) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl` under the run's names, with the steps since the switch.

    Of a run that is not done there are none, so no mean rests on half a run. Raises `DamagedFileError` for rows that
    lack their phase or step, or hold what is no number.
    """
    run = contents.run
    if run is None or contents.status["state"] != RunState.DONE:
        return []
    kinds = {type(value) for row in contents.rows for name, value in row.items() if name != "phase"}
    if wrong := kinds - {int, float, type(None)}:
        kind = ", ".join(sorted(each.__name__ for each in wrong))
        raise DamagedFileError(f"{folder.metrics_file}: is damaged: holds {kind} where numbers should be")
    names = {"run": folder.id, "task": run.task.name, "arm": run.arm, "seed": run.seed}
    try:
        return [{**names, "step": _step(run, row), **row} for row in contents.rows]
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"{folder.metrics_file}: is damaged: a row has no {error}") from None


def _step(run: Run, row: dict[str, Any]) -> int:
    """Gradient steps left until the switch as a negative number, or environment steps since."""
    return row["offline_step"] - run.schedule.offline_steps if row["phase"] == "offline" else row["online_step"]


def provenance_row(folder: RunFolder, values: dict[str, Any]) -> dict[str, Any]:
    """Where a run was computed and how often it was begun, by dotted path."""
    if not values:
        return {}
    attempts = values.get("attempts", [])
    own = {name: value for name, value in values.items() if name != "attempts"}
    launcher = attempts[-1].get("launcher", "") if attempts else ""
    return {"run": folder.id, **flat(own), "launcher": launcher, "attempts": len(attempts)}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted path."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
