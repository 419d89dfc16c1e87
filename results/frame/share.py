"""A share of a root's run folders, read by one process."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.errors import UserError, one_line
from harness.folders.reader import RunReader
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from results.frame.columns import NAMES, TEXT
from results.frame.memory import stamp_of
from results.frame.record import Record, evaluation_rows, record

# Folders in a share. The rows of their evaluations wait together as dictionaries, which take ten times the memory of a
# frame.
SIZE = 500


@dataclass(frozen=True)
class Share:
    """What some run folders say."""

    records: list[Record]
    # Those of `records` that are finished and did not change while they were read, with their stamps.
    settled: list[tuple[Record, str]]
    # A row per finished run and evaluation.
    evaluations: pd.DataFrame
    # What is wrong with a folder, one line each; such a folder has no record.
    faults: list[tuple[RunFolder, str]]


def read_share(folders: Sequence[tuple[RunFolder, str | None]]) -> Share:
    """Read some run folders, each given with the stamp it had before."""
    records: list[Record] = []
    settled: list[tuple[Record, str]] = []
    rows: list[dict] = []
    faults: list[tuple[RunFolder, str]] = []
    for folder, stamp in folders:
        contents = RunReader(folder.path.parent, check_data=False).contents(folder.id)
        faults += [(folder, fault) for fault in contents.faults]
        if contents.faults or contents.run is None:
            continue
        try:
            rows += evaluation_rows(folder, contents)
        except UserError as error:
            faults.append((folder, one_line(error)))
            continue
        records.append(record(folder, contents))
        # What changed while it was read belongs to neither stamp.
        if records[-1].state == RunState.DONE and stamp is not None and stamp_of(folder) == stamp:
            settled.append((records[-1], stamp))
    return Share(records, settled, numeric(rows), faults)


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
