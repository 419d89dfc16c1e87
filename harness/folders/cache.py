"""Values computed from files, kept between commands so that thousands of files need not be read again.

An entry is valid while its file has the same inode, size and times of change, which are checked on every use. Caches
are in the user's cache folder, because the root may belong to another user. A missing or damaged cache only means that
everything is read again.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic_core import from_json, to_json

from harness.errors import UserError
from harness.files import absolute, atomic_write, open_file, read_bytes

# Seconds after a change during which a file could change again without a new time stamp; such files are not cached.
SETTLED = 2.0

# Inode, size, and the times of the last change of the content and of the inode in nanoseconds.
Stamp = list[int]


@dataclass(frozen=True)
class CachedValue:
    """A value computed from a file, and when the file was last modified (seconds, on the clock of its file system)."""

    value: Any
    modified: float


class Cache:
    """JSON values by key, each with the stamp of the files from which it was computed.

    Values of files and folders (`read`, `names`) have their paths below `source` as keys.

    Args:
        source: the folder from whose files the values are computed.
        file: where the cache is kept; None keeps it in memory only.
        version: the version of the code that computes the values; values of another version are ignored.
    """

    def __init__(self, source: Path, file: Path | None = None, version: str = ""):
        self.source, self.file, self.version = str(source), file, version
        self._kept: dict[str, list[Any]] = _load(file, self.source, version) if file else {}
        self._used: dict[str, list[Any]] = {}
        self._changed = False

    @classmethod
    def of(cls, source: Path, kind: str, modules: Iterable[ModuleType]) -> "Cache":
        """The cache of a folder in the user's cache folder, for values that functions of these modules compute."""
        source = absolute(source)
        name = hashlib.sha256(os.fsencode(source)).hexdigest()[:16]
        code = b"".join(Path(module.__file__ or "").read_bytes() for module in modules)
        return cls(source, cache_folder() / f"{kind}-{name}.json", hashlib.sha256(code).hexdigest())

    @property
    def keys(self) -> set[str]:
        """The keys of all entries."""
        return {*self._kept, *self._used}

    def get(self, key: str, stamp: Stamp) -> Any | None:
        """The value of a key, or None if there is none for this stamp."""
        entry = self._entry(key, stamp)
        return entry[1] if entry else None

    def put(self, key: str, stamp: Stamp, value: Any) -> None:
        """Keep a value, unless its files changed a moment ago."""
        if is_settled(stamp):
            self._kept[key] = self._used[key] = [stamp, value]
            self._changed = True

    def read(self, name: str, parse: Callable[[bytes], Any]) -> CachedValue | None:
        """The value that `parse` computes from the bytes of a file; None if the file does not exist.

        Errors of `parse` and any other OSError are passed on.
        """
        return self._recall(name, lambda path: _read(path, parse))

    def names(self, name: str) -> list[str]:
        """The names in a folder, in no particular order; none if it does not exist."""
        content = self._recall(name, _list)
        return content.value if content else []

    def _recall(self, name: str, read: Callable[[str], list[Any]]) -> CachedValue | None:
        path = f"{self.source}/{name}"
        try:
            entry = self._entry(name, file_stamp(os.stat(path))) if name in self._kept else None
            if entry is None:
                entry = read(path)
                self.put(name, *entry)
        except FileNotFoundError:
            return None
        return CachedValue(entry[1], entry[0][2] / 1e9)

    def _entry(self, key: str, stamp: Stamp) -> list[Any] | None:
        entry = self._kept.get(key)
        if entry is None or entry[0] != stamp:
            return None
        self._used[key] = entry
        return entry

    def save(self, forget_unused: bool = False) -> bool:
        """Write the cache, with `forget_unused` only the entries that were used; returns whether it was written.

        A cache folder that cannot be written is ignored.
        """
        entries = self._used if forget_unused else self._kept
        if self.file is None or not (self._changed or len(entries) < len(self._kept)):
            return False
        content = {"version": self.version, "source": self.source, "entries": entries}
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.file) as stream:
                stream.write(to_json(content))
            return True
        return False


def cache_folder() -> Path:
    """The user's cache folder for this program (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "floorbench"


def file_stamp(stat: os.stat_result) -> Stamp:
    """The stamp of one file or folder."""
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def folder_stamp(folder: Path, subfolders: Iterable[str] = (), ignored: Iterable[str] = ()) -> Stamp:
    """One stamp for the files in a folder and some of its subfolders, hidden and ignored files left out.

    Its first number is a hash of all names and stamps; the others are the total size and the newest times.
    """
    ignored = set(ignored)
    stats: list[tuple[str, Stamp]] = []
    for place in (folder, *(folder / name for name in subfolders)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            names = [entry for entry in entries if entry.name[0] != "." and entry.name not in ignored]
            # `DirEntry.stat` may be out of date on network file systems.
            stats += [(entry.path, file_stamp(os.stat(entry.path))) for entry in names if entry.is_file()]
    # 52 bits are exact in every reader of JSON.
    digest = int(hashlib.sha256(repr(sorted(stats)).encode()).hexdigest()[:13], 16)
    newest = [max((stamp[index] for _, stamp in stats), default=0) for index in (2, 3)]
    return [digest, sum(stamp[1] for _, stamp in stats), *newest]


def is_settled(stamp: Stamp) -> bool:
    """Whether the last change is long enough ago that another one would change the stamp."""
    return max(stamp[2:]) < (time.time() - SETTLED) * 1e9


def _read(path: str, parse: Callable[[bytes], Any]) -> list[Any]:
    """The stamp of a file and what `parse` computes from its bytes."""
    with open_file(path) as stream:
        # Before reading: a file that changes meanwhile is read again the next time.
        stat = os.fstat(stream.fileno())
        return [file_stamp(stat), parse(stream.read())]


def _list(path: str) -> list[Any]:
    """The stamp of a folder and the names in it."""
    stat = os.stat(path)
    return [file_stamp(stat), os.listdir(path)]


def _load(file: Path, source: str, version: str) -> dict[str, list[Any]]:
    """The entries in a file; none if it is damaged, of another version or of another source."""
    try:
        content = from_json(read_bytes(file))
        entries = content["entries"] if (content["version"], content["source"]) == (version, source) else {}
        return entries if isinstance(entries, dict) else {}
    except (OSError, UserError, ValueError, KeyError, TypeError):
        return {}
