"""Run folders become two tidy frames: one row per run, and one row per run and evaluation."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.run_folder import RunFolder, run_folders
from harness.settings import run_to_dict
from results.style import in_order

# The numbers of `done.json`.
SUMMARY = (
    "offline_score", "final_score", "regret_eval", "regret_train", "dip", "recovery_steps", "dip_window",
    "offline_q_data", "offline_q_policy", "offline_return_to_go",
)  # fmt: skip
LEARNED_FLOOR = ("held_out_rmse", "held_out_r2", "steps")


def runs(roots: Iterable[Path], only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per run in the folders `roots` (of `only` those ids, where given), whatever its state.

    Columns: run (id), task, arm, seed, state, reason (of a failure, else empty), every setting by its dotted path
    ("algorithm.alpha"), the numbers of `SUMMARY` and "learned_floor.*" (NaN while the run is not done or where they do
    not apply). Ordered by task, arm and seed; a run that lies in two roots counts once.

    Raises UserError if there is no run, or if runs that would be averaged differ in more than their seed.
    """
    folders = _folders(roots, only)
    frame = pd.DataFrame([_run_row(folder) for folder in folders])
    numbers = [*SUMMARY, *(f"learned_floor.{name}" for name in LEARNED_FLOOR)]
    frame[numbers] = frame[numbers].apply(pd.to_numeric).astype(float)
    frame = _ordered(frame, ["seed"])
    _refuse_mixed_settings(frame)
    return frame


def evaluations(roots: Iterable[Path], only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per finished run and evaluation, of the runs that `runs` lists.

    Columns: run, task, arm, seed, the keys of a row of `metrics.jsonl` and `step`: gradient steps left until the switch
    as a negative number in the offline phase, environment steps since the switch in the online phase. The row with step
    0 is the last of the offline phase. Runs that are not done have no rows here, so no mean rests on half a run; `runs`
    tells of them.

    Raises UserError as `runs` does, and for a damaged file.
    """
    rows = []
    for folder in _folders(roots, only):
        if _state(folder)[0] != "done":
            continue
        run = folder.run()
        name = {"run": run.id, "task": run.task.name, "arm": run.arm, "seed": run.seed}
        for row in folder.metrics():
            offline = row["phase"] == "offline"
            step = row["offline_step"] - run.schedule.offline_steps if offline else row["online_step"]
            rows.append({**name, "step": step, **row})
    if not rows:
        return pd.DataFrame(columns=["run", "task", "arm", "seed", "step", "phase"])
    frame = pd.DataFrame(rows)
    numbers = frame.columns.difference(["run", "task", "arm", "phase"])
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return _ordered(frame, ["seed", "step"])


def provenance(roots: Iterable[Path], only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per run that has started: run, and by dotted path where it was computed and how often it was begun."""
    rows = []
    for folder in _folders(roots, only):
        if values := folder.provenance():
            attempts = values.pop("attempts", [])
            launcher = attempts[-1].get("launcher", "") if attempts else ""
            rows.append({"run": folder.id, **_flat(values), "launcher": launcher, "attempts": len(attempts)})
    return pd.DataFrame(rows)


def settings_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of `runs` that hold settings, the seed and the names apart."""
    groups = ("task.", "floor.", "behaviour_value.", "algorithm.", "schedule.")
    return [column for column in frame.columns if column.startswith(groups)]


def done(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs` that are finished: the only ones that enter an estimate."""
    return frame[frame["state"] == "done"].reset_index(drop=True)


def _folders(roots: Iterable[Path], only: Collection[str] | None) -> list[RunFolder]:
    """The run folders by id; of two copies of one run the finished one counts."""
    roots = [Path(root) for root in roots]
    folders: dict[str, RunFolder] = {}
    for root in roots:
        for folder in run_folders(root):
            if only is not None and folder.id not in only:
                continue
            if folder.id not in folders or folders[folder.id].summary() is None:
                folders[folder.id] = folder
    if not folders:
        where = ", ".join(map(str, roots)) or "no folder named"
        which = "run here to report" if only is None else "run here to report of those named"
        raise UserError(f"{where}: there is no {which}; start some with `floorbench run GRID --root DIR`")
    return list(folders.values())


def _run_row(folder: RunFolder) -> dict[str, Any]:
    run = folder.run()
    state, reason = _state(folder)
    summary = folder.summary() if state == "done" else None
    summary = summary or {}
    learned = summary.get("learned_floor") or {}
    return {
        **_flat(run_to_dict(run)),
        "run": run.id,
        "task": run.task.name,
        "arm": run.arm,
        "seed": run.seed,
        "state": state,
        "reason": reason,
        **{name: summary.get(name) for name in SUMMARY},
        **{f"learned_floor.{name}": learned.get(name) for name in LEARNED_FLOOR},
    }


def _state(folder: RunFolder) -> tuple[str, str]:
    """State and, of a run that is not done, the reason."""
    status = folder.status()
    return status["state"], (status.get("reason") or "") if status["state"] != "done" else ""


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted path; lists become tuples, so that every value can be compared and counted."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


def _ordered(frame: pd.DataFrame, then: list[str]) -> pd.DataFrame:
    rank = {arm: place for place, arm in enumerate(in_order(frame["arm"]))}
    order = frame.assign(_arm=frame["arm"].map(rank)).sort_values(["task", "_arm", *then], kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _refuse_mixed_settings(frame: pd.DataFrame) -> None:
    """Runs of one task and arm may differ in their seed only, else their mean means nothing."""
    for (task, arm), group in frame.groupby(["task", "arm"], sort=False):
        for column in settings_columns(frame):
            values = group[column].map(repr)
            if values.nunique() > 1:
                first, other = group.loc[values.drop_duplicates().index[:2], ["run", column]].to_numpy().tolist()
                raise UserError(
                    f"runs {first[0]} and {other[0]} are both {task} / {arm} but differ in {column} ({first[1]} and "
                    f"{other[1]}): keep them in separate roots and report them apart"
                )
