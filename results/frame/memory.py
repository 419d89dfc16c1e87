"""What finished run folders gave when they were last read, so that thousands need not be read again.

Every file of a folder is asked each time, and what is kept counts only while none has another number, size or time of
change: it never stands in for the folders. It lies in the user's cache folder, not beside the runs, whose folder may be
somebody else's. Without it, or if it is damaged, everything is read anew.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd
from pydantic_core import from_json, to_json

from harness.files import atomic_write
from harness.folders import usage
from harness.folders.cache import SETTLED, cache_folder
from harness.folders.run_folder import RunFolder
from results.frame import columns, costs
from results.frame import record as record_module
from results.frame.record import Record

# What is kept is only good for the code that made it.
_MAKERS = [Path(module.__file__ or "") for module in (columns, costs, record_module, usage)]
FORMAT = hashlib.sha256(b"".join(file.read_bytes() for file in _MAKERS)).hexdigest()

# Columns of both files: the run, and the stamp of its folder when it was read.
KEYS = ["run", "stamp"]


class Memory:
    """What is kept of the finished runs of one root, in two files of the folder `place`."""

    def __init__(self, place: Path):
        self.place = place
        self._records = _read(place / "runs.parquet", [*KEYS, "rows", "values"])
        self._evaluations = _read(place / "evaluations.parquet", KEYS)
        rows = self._evaluations.groupby(KEYS).size().to_dict()
        # A record whose evaluations a crash kept from being written is as good as none.
        self._known = {
            (run, stamp): values
            for run, stamp, count, values in self._records.itertuples(index=False)
            if rows.get((run, stamp), 0) == count
        }

    @classmethod
    def of(cls, root: Path) -> "Memory":
        """The memory of a root in this user's cache folder."""
        name = hashlib.sha256(os.fsencode(Path(root).resolve())).hexdigest()[:16]
        return cls(cache_folder() / f"frames-{name}")

    @property
    def runs(self) -> set[str]:
        """The ids of all runs of which something is kept."""
        return set(self._records["run"])

    def recall(self, folder: RunFolder, stamp: str | None) -> Record | None:
        """The record of a folder that has this stamp now, or None if it is not known."""
        values = self._known.get((folder.id, stamp))
        if values is None:
            return None
        kept = from_json(values)
        return Record(folder, kept["run"], kept["provenance"])

    def evaluations(self, stamps: Mapping[str, str]) -> pd.DataFrame:
        """The evaluations of runs that were recalled, by their stamps."""
        wanted = self._evaluations["run"].map(stamps) == self._evaluations["stamp"]
        return self._evaluations[wanted].drop(columns="stamp")

    def replace(self, records: Sequence[tuple[Record, str]], evaluations: pd.DataFrame, gone: Collection[str]) -> None:
        """Keep newly read records with their stamps, and their evaluations, instead of what was known of these runs.

        On the occasion the runs `gone` are forgotten. A cache folder that cannot be written is no reason to fail.
        """
        if not records:
            return
        stamps = {record.folder.id: stamp for record, stamp in records}
        new_rows = evaluations[evaluations["run"].isin(stamps)]
        new_rows = new_rows.assign(stamp=new_rows["run"].map(stamps))
        counts = new_rows["run"].value_counts()
        new = pd.DataFrame(
            [(record.folder.id, stamp, int(counts.get(record.folder.id, 0)), _text(record))
             for record, stamp in records],
            columns=[*KEYS, "rows", "values"],
        )  # fmt: skip
        with contextlib.suppress(OSError):
            self.place.mkdir(parents=True, exist_ok=True)
            for name, old, added in (("evaluations", self._evaluations, new_rows), ("runs", self._records, new)):
                kept = old[~old["run"].isin({*stamps, *gone})]
                _write(self.place / f"{name}.parquet", pd.concat([kept, added]) if len(kept) else added)


def stamp_of(folder: RunFolder) -> str | None:
    """What changes whenever a file that frames rest on is written, appears or goes; None if that was just now.

    For so long a file could change again and keep its times.
    """
    files = [_stat(path) for place in (folder.path, folder.path / "attempts") for path in _files(place)]
    if max((max(times) for _, _, _, *times in files), default=0) > (time.time() - SETTLED) * 1e9:
        return None
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()[:16]


def _files(folder: Path) -> list[os.DirEntry]:
    """The files in a folder but temporary ones and the log; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return [each for each in entries if each.name[0] != "." and each.name != "log.txt" and each.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stat(entry: os.DirEntry) -> tuple[str, int, int, int, int]:
    """Name, number, size, and when content and entry last changed (ns)."""
    stat = os.stat(entry.path)
    return entry.path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _text(record: Record) -> str:
    return to_json({"run": record.run, "provenance": record.provenance}).decode()


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    """What was kept in a file, or an empty frame."""
    nothing = pd.DataFrame({column: pd.Series(dtype=object) for column in columns})
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError, KeyError):
        # Arrow's errors are of these kinds. A damaged memory is none.
        return nothing
    return frame if frame.attrs == {"format": FORMAT} and set(columns) <= set(frame.columns) else nothing


def _write(file: Path, frame: pd.DataFrame) -> None:
    frame.attrs = {"format": FORMAT}
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    with atomic_write(file) as stream:
        stream.write(buffer.getbuffer())
