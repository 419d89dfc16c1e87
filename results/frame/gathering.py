"""From run folders in any number of roots to frames.

Finished runs come from a cache while no file of their folder has changed; the others are read again. Every damaged
folder is an error: no run is dropped silently.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic_core import from_json, to_json

from harness.errors import UserError, one_line
from harness.files import check_file
from harness.folders import attempts, usage
from harness.folders.cache import Cache, Stamp, folder_stamp, is_settled
from harness.folders.reader import RunReader, refuse
from harness.folders.run_folder import PREFIX, RunFolder, run_folders
from harness.folders.state import RunState
from harness.folders.usage import known_usage
from harness.launching import cost, defaults
from harness.settings import PREFIX_ARM, Run
from results.frame import frames as frames_module
from results.frame import record as record_module
from results.frame.comparison import refuse_mixed_data, refuse_mixed_settings
from results.frame.frames import (
    EXPECTED,
    EXTENSIONS,
    LEARNED_FLOOR,
    PAIRING,
    SECONDS,
    SUMMARY,
    Frames,
    checked,
    is_exported,
    joined,
    load,
    load_foreign,
    numeric,
    ordered,
    write_parquet,
)
from results.frame.record import Record, cost_columns, evaluation_rows, run_record, with_prefix
from results.processes import mapped

# Folders in a batch. The rows of its evaluations wait as dictionaries, which take ten times the memory of a frame.
BATCH_SIZE = 500

# Columns of the cached evaluations: the run, and a hash of its folder's stamp when it was read.
KEYS = ["run", "stamp"]

# One folder of run folders, or several.
Roots = Path | str | Iterable[Path | str]

# A run folder and its stamp before it was read.
Stamped = tuple[RunFolder, Stamp]


def gather(roots: Roots, only: Collection[str] | None = None, workers: int = 1) -> Frames:
    """The frames of all runs in the folders `roots`, or of exported numbers; with `only` just of those ids.

    A run that is in two roots counts once, preferably a finished copy. Many folders are read by `workers` processes.

    Raises UserError if there are no runs, for a damaged folder, and if runs to be averaged differ in more than their
    seed or were trained on different data.
    """
    paths = [Path(root) for root in ([roots] if isinstance(roots, Path | str) else roots)]
    exported = [path for path in paths if is_exported(path)]
    if exported:
        if len(paths) > 1:
            raise UserError(f"{exported[0]}: holds exported numbers, which cannot be read together with other folders")
        return load(exported[0], only)
    read = [read_root(path, only, workers) for path in paths]
    refuse([fault for root in read for fault in root.faults])
    place = chosen_places(read)
    if not place:
        where = ", ".join(map(str, paths)) or "no root"
        which = "no runs" if only is None else "none of the named runs"
        raise UserError(f"{where}: {which} found; start some with: floorbench run GRID --root DIR")
    records = [record for at, root in enumerate(read) for record in root.records if place[record.folder.id] == at]
    rows = joined([root.evaluations[root.evaluations["run"].map(place) == at] for at, root in enumerate(read)])
    frames = Frames(
        runs_frame(records), ordered(rows, [*PAIRING, "step"]), provenance_frame(records), load_foreign(paths)
    )
    refuse_mixed_settings(frames.runs)
    refuse_mixed_data(frames)
    return checked(frames, ", ".join(map(str, paths)))


def runs(roots: Roots, only: Collection[str] | None = None, grids: bool = True) -> pd.DataFrame:
    """One row per run in the folders `roots` or in exported numbers; with `only` just the runs with these ids.

    Columns: run (id), grid (names of the registered grids with the run; without `grids` left out, since creating all
    grids takes about two seconds once), task, arm, data_seed (0 for hosted data), seed, state, reason (of a failure,
    else empty), prefix (its id, else empty), every setting by its dotted path ("algorithm.alpha"), the numbers of
    `SUMMARY` and "learned_floor.*" (NaN for unfinished runs and where they do not apply), and the cost: attempts,
    wall_hours, core_hours, gpu_hours, peak_memory (bytes, NaN if not measured) and cost_source ("runs", "accounting" or
    "both"). Prefixes have no rows: their cost is divided equally among the runs of the root that start from them.
    Sorted by task, arm, data seed and seed. Raises UserError as `gather` does.
    """
    frame = gather(roots, only).runs
    if not grids:
        return frame
    names = grids_of(frame["run"])
    frame.insert(list(frame.columns).index("run") + 1, "grid", [names.get(run, "") for run in frame["run"]])
    return frame


def evaluations(roots: Roots, only: Collection[str] | None = None) -> pd.DataFrame:
    """One row per evaluation of the finished ones among the runs that `runs` lists.

    Columns: run, task, arm, data_seed, seed, the columns of `metrics.jsonl`, and `step`: minus the gradient steps left
    in the offline phase, or the environment steps of the online phase. Step 0 is the last evaluation of the offline
    phase. Raises UserError as `gather` does.
    """
    return gather(roots, only).evaluations


def grids_of(ids: Iterable[str]) -> dict[str, str]:
    """The names of the registered grids that contain runs, by id, separated by spaces; runs in none are left out."""
    from ablations.grids import GRIDS

    names: dict[str, str] = {}
    wanted = set(ids)
    for grid, function in GRIDS.items():
        for run in ids_of_grid(grid, function) & wanted:
            names[run] = f"{names[run]} {grid}" if run in names else grid
    return names


@cache
def ids_of_grid(name: str, function: Callable[[str], list[Run]]) -> frozenset[str]:
    """The ids of the runs of a grid at the scales that its tasks have. `function` is registered under the name."""
    from ablations.grids import runs_of

    ids: set[str] = set()
    for scale in ("demo", "paper"):
        # A user's task may have settings for one scale only.
        with contextlib.suppress(UserError):
            ids.update(run.id for run in runs_of(name, scale))
    return frozenset(ids)


# Roots ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """The contents of some run folders."""

    records: list[Record]
    # Those of `records` that are finished and did not change while they were read, with their stamps.
    unchanged: list[tuple[Record, Stamp]]
    # One row per finished run and evaluation.
    evaluations: pd.DataFrame
    # Folders with faults, one line each; they have no record.
    faults: list[tuple[RunFolder, str]]


def read_root(path: Path, only: Collection[str] | None = None, workers: int = 1) -> Batch:
    """Read all run folders of a root (with `only` those ids), finished and unchanged ones from the cache."""
    cache = FrameCache(path)
    users = prefix_users(path)
    wanted = None if only is None else {*only, *(id for id, runs in users.items() if not runs.isdisjoint(only))}
    known: list[tuple[Record, Stamp]] = []
    others: list[Stamped] = []
    for folder in run_folders(path):
        if wanted is None or folder.id in wanted:
            stamp = stamp_of(folder)
            cached = cache.get(folder, stamp)
            if cached is None:
                others.append((folder, stamp))
            else:
                known.append((cached, stamp))
    chunks = [others[start : start + BATCH_SIZE] for start in range(0, len(others), BATCH_SIZE)]
    batches = mapped(read_batch, chunks, workers)
    unchanged = [entry for batch in batches for entry in batch.unchanged]
    fresh = joined([batch.evaluations for batch in batches])
    rows = joined([cache.evaluations({record.folder.id: stamp for record, stamp in known}), fresh])
    cache.add(unchanged, fresh, forget_unused=only is None)
    records = [*(record for record, _ in known), *(record for batch in batches for record in batch.records)]
    faults = [fault for batch in batches for fault in batch.faults]
    records = without_prefixes(with_accounting(records, path, time.time()), users)
    return Batch([record for record in records if only is None or record.folder.id in only],
                 [*known, *unchanged], rows, faults)  # fmt: skip


def read_batch(folders: Sequence[Stamped]) -> Batch:
    """Read some run folders of one root. The data on this machine need not be those the runs were trained on."""
    records: list[Record] = []
    unchanged: list[tuple[Record, Stamp]] = []
    rows: list[dict[str, Any]] = []
    faults: list[tuple[RunFolder, str]] = []
    reader = RunReader(folders[0][0].path.parent, check_data=False)
    for folder, stamp in folders:
        contents = reader.contents(folder)
        faults += [(folder, fault) for fault in contents.faults]
        if contents.faults or contents.run is None:
            continue
        try:
            rows += evaluation_rows(folder, contents)
        except UserError as error:
            faults.append((folder, one_line(error)))
            continue
        records.append(run_record(folder, contents))
        if records[-1].state == RunState.DONE and is_settled(stamp) and stamp_of(folder) == stamp:
            unchanged.append((records[-1], stamp))
    return Batch(records, unchanged, numeric(rows), faults)


def with_accounting(records: Sequence[Record], root: Path, now: float) -> list[Record]:
    """The records with the costs that the cluster's accounting reports, possibly only after a run has finished."""
    known = known_usage(root)
    return [
        replace(
            record,
            run=record.run | cost_columns(attempts.history(record.folder.path), now, known[record.folder.id]),
        )
        if record.folder.id in known
        else record
        for record in records
    ]


def prefix_users(root: Path) -> dict[str, set[str]]:
    """Ids of the runs of a root that start from a prefix, by the id of the prefix."""
    users: dict[str, set[str]] = {}
    for file in Path(root).glob(f"*/{PREFIX}"):
        # A damaged record is a fault of its run.
        with contextlib.suppress(UserError):
            if prefix := RunFolder(file.parent).prefix:
                users.setdefault(prefix.id, set()).add(file.parent.name)
    return users


def without_prefixes(records: Sequence[Record], users: Mapping[str, Collection[str]]) -> list[Record]:
    """The records without those of prefixes, whose cost is divided among their users."""
    prefixes = {record.folder.id: record for record in records if record.run["arm"] == PREFIX_ARM}
    return [
        with_prefix(record, prefixes[prefix], len(users[prefix]))
        if (prefix := record.run["prefix"]) in prefixes and prefix in users
        else record
        for record in records
        if record.folder.id not in prefixes
    ]


# Cache ----------------------------------------------------------------------------------------------------------------


class FrameCache:
    """The finished runs of one root: records in a `Cache`, their evaluations in a parquet file beside it."""

    def __init__(self, root: Path):
        modules = [sys.modules[__name__], record_module, frames_module, usage, cost, defaults]
        self.records = Cache.of(root, "frames", modules)
        assert self.records.file is not None
        self.file = self.records.file.with_suffix(".parquet")
        self._evaluations = _read_evaluations(self.file, self.records.version)
        self._counts = self._evaluations.groupby(KEYS).size().to_dict()

    def get(self, folder: RunFolder, stamp: Stamp) -> Record | None:
        """The record of a folder, or None if it is not known for this stamp."""
        value = self.records.get(folder.id, stamp)
        # A crash may have kept the evaluations from being written.
        if value is None or value["evaluations"] != self._counts.get((folder.id, _text(stamp)), 0):
            return None
        content = from_json(value["record"])
        return Record(folder, content["run"], content["provenance"])

    def evaluations(self, stamps: Mapping[str, Stamp]) -> pd.DataFrame:
        """The evaluations of runs by their stamps."""
        texts = {run: _text(stamp) for run, stamp in stamps.items()}
        wanted = self._evaluations["run"].map(texts) == self._evaluations["stamp"]
        return self._evaluations[wanted].drop(columns="stamp")

    def add(
        self, records: Sequence[tuple[Record, Stamp]], evaluations: pd.DataFrame, forget_unused: bool = False
    ) -> None:
        """Keep records with their evaluations, and with `forget_unused` no others but those that `get` returned."""
        stamps = {record.folder.id: _text(stamp) for record, stamp in records}
        counts = evaluations["run"].value_counts()
        for record, stamp in records:
            text = to_json({"run": record.run, "provenance": record.provenance}).decode()
            count = int(counts.get(record.folder.id, 0))
            self.records.put(record.folder.id, stamp, {"evaluations": count, "record": text})
        if not self.records.save(forget_unused):
            return
        rows = evaluations[evaluations["run"].isin(stamps)]
        kept = self._evaluations
        kept = kept[kept["run"].isin(self.records.keys) & ~kept["run"].isin(stamps)]
        frame = pd.concat([part for part in (kept, rows.assign(stamp=rows["run"].map(stamps))) if len(part)] or [kept])
        frame.attrs = {"version": self.records.version}
        write_parquet(self.file, frame)


def stamp_of(folder: RunFolder) -> Stamp:
    """The stamp of the files on which the frames depend."""
    return folder_stamp(folder.path, subfolders=["attempts"], ignored=["log.txt"])


def _text(stamp: Stamp) -> str:
    return f"{stamp[0]:013x}"


def _read_evaluations(file: Path, version: str) -> pd.DataFrame:
    """Cached evaluations; an empty frame if the file is missing, damaged or of another version."""
    empty = pd.DataFrame({column: pd.Series(dtype=object) for column in KEYS})
    try:
        check_file(file)
        frame = pd.read_parquet(file)
    except (OSError, UserError, ValueError, KeyError):
        # Arrow's errors are of these types.
        return empty
    return frame if frame.attrs == {"version": version} and set(KEYS) <= set(frame.columns) else empty


# Frames ---------------------------------------------------------------------------------------------------------------


def chosen_places(roots: Sequence[Batch]) -> dict[str, int]:
    """The root that counts for each run: the first in which it is finished, else the first in which it is."""
    place: dict[str, int] = {}
    finished: set[str] = set()
    for at, root in enumerate(roots):
        for record in root.records:
            run = record.folder.id
            if run not in place or (record.state == RunState.DONE and run not in finished):
                place[run] = at
            if record.state == RunState.DONE:
                finished.add(run)
    return place


def runs_frame(records: Sequence[Record]) -> pd.DataFrame:
    """The frame of runs, in the order of the tables."""
    frame = pd.DataFrame([{name: _comparable(value) for name, value in record.run.items()} for record in records])
    numbers = [*SUMMARY, *(f"learned_floor.{name}" for name in LEARNED_FLOOR), "peak_memory", *SECONDS, EXPECTED]
    if EXTENSIONS in frame:
        frame[EXTENSIONS] = frame[EXTENSIONS].fillna("")
    frame[numbers] = frame[numbers].apply(pd.to_numeric).astype(float)
    return ordered(frame, PAIRING)


def provenance_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run that has been started: its provenance by dotted path, and its number of attempts."""
    rows = [record.provenance for record in sorted(records, key=lambda record: record.folder.id) if record.provenance]
    return pd.DataFrame([{name: _comparable(value) for name, value in row.items()} for row in rows] or {"run": []})


def _comparable(value: Any) -> Any:
    """Turn lists into tuples, which can be hashed."""
    return tuple(value) if isinstance(value, list) else value
