"""One root of run folders: what each says, read only where it has changed since the last time."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness.folders import attempts
from harness.folders.run_folder import RunFolder, run_folders
from harness.folders.usage import known_usage
from results.frame.costs import cost_columns
from results.frame.memory import Memory, stamp_of
from results.frame.record import Record
from results.frame.share import SIZE, joined, read_share
from results.processes import mapped


@dataclass(frozen=True)
class Root:
    """What a folder of run folders says."""

    records: list[Record]
    # A row per finished run and evaluation.
    evaluations: pd.DataFrame
    # What is wrong with a folder, one line each; such a folder has no record.
    faults: list[tuple[RunFolder, str]]


def read_root(path: Path, only: Collection[str] | None = None, workers: int = 1) -> Root:
    """Read every run folder in `path` (of `only` those ids, where given), and keep in memory what is finished.

    `workers`: processes that read, where there are many (see `mapped`).
    """
    memory = Memory.of(path)
    remembered: list[tuple[Record, str]] = []
    others: list[tuple[RunFolder, str | None]] = []
    folders = [folder for folder in run_folders(path) if only is None or folder.id in only]
    for folder in folders:
        stamp = stamp_of(folder)
        known = memory.recall(folder, stamp)
        if known is not None and stamp is not None:
            remembered.append((known, stamp))
        else:
            others.append((folder, stamp))
    shares = mapped(read_share, [others[start : start + SIZE] for start in range(0, len(others), SIZE)], workers)
    fresh = joined([share.evaluations for share in shares])
    settled = [each for share in shares for each in share.settled]
    memory.replace(settled, fresh, gone=memory.runs - {each.id for each in folders} if only is None else ())
    known_rows = memory.evaluations({each.folder.id: stamp for each, stamp in remembered})
    records = [*(each for each, _ in remembered), *(each for share in shares for each in share.records)]
    faults = [each for share in shares for each in share.faults]
    return Root(with_accounting(records, path, time.time()), joined([known_rows, fresh]), faults)


def with_accounting(records: Sequence[Record], root: Path, now: float) -> list[Record]:
    """The records of a root with what its clusters' accounting says; it may be known only after a run was done."""
    known = known_usage(root)
    return [
        replace(each, run=each.run | cost_columns(attempts.history(each.folder.path), now, known[each.folder.id]))
        if each.folder.id in known
        else each
        for each in records
    ]
