"""What files said when they were last read, so that thousands need not be read again.

A file counts as unchanged while its number, size and times of change are what they were: the file is asked every time,
the memory never stands in for it. It lies in the user's cache folder, not beside the runs, whose folder may be somebody
else's; without it, or if it is damaged, everything is read anew.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from harness.files import atomic_write

# Seconds after its last change in which a file could change again and keep its times: what it said then is not kept.
SETTLED = 2.0

# Where a file's stamp (number, size, times of change of its content and of its entry) begins to hold times (ns).
TIMES = 2


@dataclass(frozen=True)
class Content:
    """What a file said, and when it was last changed (seconds, on the clock of the file system)."""

    value: Any
    changed: float


class FileMemory:
    """Values read from the files of a folder, kept in `place`; without a place nothing is kept.

    `reader` says who made the values: what another one kept is not believed.
    """

    def __init__(self, folder: Path, place: Path | None = None, reader: str = ""):
        self.folder, self.place, self.reader = str(folder), place, reader
        self._known: dict[str, Any] = _load(place, self.folder, reader) if place else {}
        self._asked: dict[str, Any] = {}

    @classmethod
    def of(cls, folder: Path, reader: Path) -> "FileMemory":
        """The memory of a folder in this user's cache folder, for the functions of the module in file `reader`."""
        folder = Path(folder).resolve()
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        return cls(folder, cache_folder() / f"status-{name}.json", hashlib.sha256(reader.read_bytes()).hexdigest())

    def read(self, name: str, take: Callable[[bytes], Any]) -> Content | None:
        """What file `name` of the folder says: a JSON value that `take` makes of its bytes; None if there is no file.

        Whatever `take` raises is passed on, and so is any OSError but that there is no such file.
        """
        return self._recall(name, lambda path: _read(path, take))

    def names(self, name: str) -> list[str]:
        """The names in folder `name` of the folder, in no order; none if there is no such folder."""
        content = self._recall(name, _list)
        return content.value if content else []

    def _recall(self, name: str, look: Callable[[str], list[Any]]) -> Content | None:
        path, known = f"{self.folder}/{name}", self._known.get(name)
        try:
            if known is None or known[0] != _stamp(os.stat(path)):
                known = look(path)
        except FileNotFoundError:
            return None
        self._asked[name] = known
        return Content(known[1], known[0][TIMES] / 1e9)

    def save(self) -> None:
        """Keep what was read. A cache folder that cannot be written is no reason to fail."""
        if self.place is None or self._asked == self._known:
            return
        newest = (time.time() - SETTLED) * 1e9
        settled = {name: known for name, known in self._asked.items() if max(known[0][TIMES:]) < newest}
        with contextlib.suppress(OSError):
            self.place.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.place) as stream:
                stream.write(to_json({"reader": self.reader, "folder": self.folder, "files": settled}))


def cache_folder() -> Path:
    """Where this user's programs keep what they can find out again (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "floorbench"


def _read(path: str, take: Callable[[bytes], Any]) -> list[Any]:
    """The stamp of a file and what `take` makes of its bytes."""
    with open(path, "rb", buffering=0) as stream:
        # Asked before it is read: a file that changes meanwhile will be read again.
        stat = os.fstat(stream.fileno())
        return [_stamp(stat), take(stream.read())]


def _list(path: str) -> list[Any]:
    """The stamp of a folder and the names in it."""
    stat = os.stat(path)
    return [_stamp(stat), os.listdir(path)]


def _stamp(stat: os.stat_result) -> list[int]:
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _load(place: Path, folder: str, reader: str) -> dict[str, Any]:
    """What is kept in a file; nothing if it is damaged, of another reader or about another folder."""
    try:
        kept = from_json(place.read_bytes())
        return kept["files"] if (kept["reader"], kept["folder"]) == (reader, folder) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
