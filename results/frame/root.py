"""One root of run folders: what each says, read only where it has changed since the last time."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness.errors import UserError, one_line
from harness.folders import attempts
from harness.folders.run_folder import RunFolder, run_folders
from harness.folders.usage import known_usage
from harness.settings import Task
from harness.watching.integrity import inspect
from results.frame.columns import NAMES, TEXT
from results.frame.costs import cost_columns
from results.frame.memory import Memory, stamp_of
from results.frame.record import Record, evaluation_rows, record

# Rows that wait to become a frame: as dictionaries they take ten times the memory.
WAITING = 20_000


@dataclass(frozen=True)
class Root:
    """What a folder of run folders says."""

    records: list[Record]
    # A row per finished run and evaluation.
    evaluations: pd.DataFrame
    # What is wrong with a folder, one line each; such a folder has no record.
    faults: list[tuple[RunFolder, str]]


def read_root(path: Path, only: Collection[str] | None = None) -> Root:
    """Read every run folder in `path` (of `only` those ids, where given), and keep in memory what is finished."""
    memory = Memory.of(path)
    remembered: list[tuple[Record, str]] = []
    read: list[Record] = []
    new: list[tuple[Record, str]] = []
    faults: list[tuple[RunFolder, str]] = []
    rows: list[dict] = []
    pieces: list[pd.DataFrame] = []
    folders = [folder for folder in run_folders(path) if only is None or folder.id in only]
    for folder in folders:
        stamp = stamp_of(folder)
        known = memory.recall(folder, stamp)
        if known is not None and stamp is not None:
            remembered.append((known, stamp))
            continue
        contents = inspect(folder, no_hash)
        faults += [(folder, fault) for fault in contents.faults]
        if contents.faults or contents.run is None:
            continue
        try:
            rows += evaluation_rows(folder, contents)
        except UserError as error:
            faults.append((folder, one_line(error)))
            continue
        read.append(record(folder, contents))
        # What changed while it was read belongs to neither stamp.
        if read[-1].state == "done" and stamp is not None and stamp_of(folder) == stamp:
            new.append((read[-1], stamp))
        if len(rows) >= WAITING:
            pieces.append(numeric(rows))
            rows = []
    fresh = joined([*pieces, numeric(rows)])
    memory.replace(new, fresh, gone=memory.runs - {each.id for each in folders} if only is None else ())
    recalled = [each for each, _ in remembered]
    known_rows = memory.evaluations({each.folder.id: stamp for each, stamp in remembered})
    return Root(with_accounting([*recalled, *read], path, time.time()), joined([known_rows, fresh]), faults)


def no_hash(task: Task) -> None:
    """What a run found holds whatever data this machine has now; they matter to whoever goes on computing."""


def with_accounting(records: Sequence[Record], root: Path, now: float) -> list[Record]:
    """The records of a root with what its clusters' accounting says; it may be known only after a run was done."""
    known = known_usage(root)
    return [
        replace(each, run=each.run | cost_columns(attempts.history(each.folder.path), now, known[each.folder.id]))
        if each.folder.id in known
        else each
        for each in records
    ]


def numeric(rows: list[dict]) -> pd.DataFrame:
    """Rows of evaluations as a frame; whatever is not a name is a number, and what a row lacks is NaN."""
    frame = pd.DataFrame(rows, columns=None if rows else list(NAMES))
    for column in frame.columns.difference(list(TEXT)):
        frame[column] = pd.to_numeric(frame[column])
        if frame[column].isna().all():
            frame[column] = frame[column].astype(float)
    return frame


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Frames one below the other; an empty one with the columns of names if all are."""
    return pd.concat([each for each in frames if len(each)] or [numeric([])], ignore_index=True)
