"""From run folders in any number of roots to frames; nothing is dropped in silence."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.folders.reader import refuse
from harness.folders.state import RunState
from results.frame.columns import LEARNED_FLOOR, SUMMARY, ordered
from results.frame.mixture import refuse_mixed_data, refuse_mixed_settings
from results.frame.record import Record
from results.frame.root import Root, read_root
from results.frame.share import joined
from results.frame.store import Frames

# One folder of run folders, or several.
Roots = Path | str | Iterable[Path | str]


def gather(roots: Roots, only: Collection[str] | None = None, workers: int = 1) -> Frames:
    """The frames of every run in the folders `roots` (of `only` those ids, where given).

    A run that lies in two roots counts once, the finished copy first. Finished folders that have not changed since they
    were last gathered are not read again; the others are read by so many `workers` (see `mapped`), if there are many.

    Raises UserError if there is no run, for a damaged folder, and if runs that would be averaged differ in more than
    their seed or were computed on different data.
    """
    paths = [Path(root) for root in ([roots] if isinstance(roots, Path | str) else roots)]
    read = [read_root(path, only, workers) for path in paths]
    refuse([fault for root in read for fault in root.faults])
    place = chosen_places(read)
    if not place:
        where = ", ".join(map(str, paths)) or "no folder named"
        which = "run here to report" if only is None else "run here to report of those named"
        raise UserError(f"{where}: there is no {which}; start some with `floorbench run GRID --root DIR`")
    records = [each for at, root in enumerate(read) for each in root.records if place[each.folder.id] == at]
    rows = joined([root.evaluations[root.evaluations["run"].map(place) == at] for at, root in enumerate(read)])
    frames = Frames(runs_frame(records), ordered(rows, ["seed", "step"]), provenance_frame(records))
    refuse_mixed_settings(frames.runs)
    refuse_mixed_data(frames)
    return frames


def runs(roots: Roots, only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per run in the folders `roots` (of `only` those ids, where given), whatever its state.

    Columns: run (id), task, arm, seed, state, reason (of a failure, else empty), every setting by its dotted path
    ("algorithm.alpha"), the numbers of `SUMMARY` and "learned_floor.*" (NaN while the run is not done or where they do
    not apply), and what it cost: attempts, wall_hours, core_hours, gpu_hours, peak_memory (bytes, NaN where nobody
    measured) and cost_source, "runs", "accounting" or "both". Ordered by task, arm and seed. Raises UserError as
    `gather` does.
    """
    return gather(roots, only).runs


def evaluations(roots: Roots, only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per finished run and evaluation, of the runs that `runs` lists.

    Columns: run, task, arm, seed, the keys of a row of `metrics.jsonl` and `step`: gradient steps left until the switch
    as a negative number in the offline phase, environment steps since the switch in the online phase. The row with step
    0 is the last of the offline phase. Runs that are not done have no rows here; `runs` tells of them. Raises UserError
    as `gather` does.
    """
    return gather(roots, only).evaluations


def chosen_places(roots: Sequence[Root]) -> dict[str, int]:
    """Which of the roots counts for each run: the first in which it is done, else the first."""
    place: dict[str, int] = {}
    finished: set[str] = set()
    for at, root in enumerate(roots):
        for each in root.records:
            run = each.folder.id
            if run not in place or (each.state == RunState.DONE and run not in finished):
                place[run] = at
            if each.state == RunState.DONE:
                finished.add(run)
    return place


def runs_frame(records: Sequence[Record]) -> pd.DataFrame:
    """The rows of runs in the order of tables, their numbers as such."""
    frame = pd.DataFrame([{name: _comparable(value) for name, value in each.run.items()} for each in records])
    numbers = [*SUMMARY, *(f"learned_floor.{name}" for name in LEARNED_FLOOR), "peak_memory"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric).astype(float)
    return ordered(frame, ["seed"])


def provenance_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run that has been started: run, and by dotted path where it was computed and how often begun."""
    rows = [each.provenance for each in sorted(records, key=lambda each: each.folder.id) if each.provenance]
    return pd.DataFrame([{name: _comparable(value) for name, value in row.items()} for row in rows] or {"run": []})


def _comparable(value: Any) -> Any:
    """Lists become tuples, so that every value can be compared and counted."""
    return tuple(value) if isinstance(value, list) else value
