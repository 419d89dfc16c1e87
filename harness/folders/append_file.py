"""Files that only grow, whose length and hash a checkpoint remembers, so that they can be cut back to it."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

from harness.files import DamagedFileError, atomic_write, naming, synchronise_folder

# Bytes read at a time.
PIECE = 2**20


class Mark(TypedDict):
    """How far a file went at some time: its length, and the SHA-256 of all its bytes in hexadecimal digits."""

    bytes: int
    sha256: str


class AppendFile:
    """A file that this process alone adds to; others may read it at any time.

    It is always a new file, put in the place of the old one: a former owner that wakes up writes into a file without a
    name. Every OSError names the file.
    """

    def __init__(self, path: Path, stream: BinaryIO):
        """Use `create` or `restore`; this takes a handle of its own on an empty stream."""
        self.path = path
        self._file = open(os.dup(stream.fileno()), "wb", buffering=0)  # noqa: SIM115 (`close` closes it)
        self._bytes = 0
        self._hash = hashlib.sha256()

    @classmethod
    def create(cls, path: Path) -> "AppendFile":
        """An empty file in the place of whatever was there."""
        with atomic_write(path) as stream:
            file = cls(path, stream)
        synchronise_folder(path.parent)
        return file

    @classmethod
    def restore(cls, path: Path, mark: Mark) -> "AppendFile":
        """The file as it was at a mark. Raises `DamagedFileError`, and leaves the file alone, if it never was that."""
        with atomic_write(path) as stream:
            file = cls(path, stream)
            for piece in _prefix(path, mark):
                file.append(piece)
        synchronise_folder(path.parent)
        return file

    def append(self, data: bytes) -> None:
        """Add to the end, for others to read at once; after an error the file is what it was before."""
        with naming(self.path):
            try:
                written = 0
                while written < len(data):
                    # At the end as this object counts it, so nothing half-written is ever built upon.
                    written += os.pwrite(self._file.fileno(), memoryview(data)[written:], self._bytes + written)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file.fileno(), self._bytes)
                raise
        self._hash.update(data)
        self._bytes += len(data)

    def mark(self) -> Mark:
        """How far the file goes now; that much survives a power failure.

        Raises `DamagedFileError` if the name leads to another file by now, since nobody will find this one again.
        """
        with naming(self.path):
            os.fsync(self._file.fileno())
            try:
                in_place = os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
            except FileNotFoundError:
                in_place = False
        if not in_place:
            raise DamagedFileError(f"{self.path}: was removed or replaced by another process while this one wrote it")
        return Mark(bytes=self._bytes, sha256=self._hash.hexdigest())

    def close(self) -> None:
        """Close the file; what was appended after the last mark may be lost in a power failure."""
        with naming(self.path):
            self._file.close()


def contents(path: Path, mark: Mark) -> bytes:
    """What the file held at a mark. Raises `DamagedFileError` if it is missing, shorter or has other bytes."""
    return b"".join(_prefix(path, mark))


def _prefix(path: Path, mark: Mark) -> Iterator[bytes]:
    """The bytes before a mark, piece by piece; only after the last one it is known whether they are the right ones."""
    hash, left = hashlib.sha256(), mark["bytes"]
    try:
        with naming(path), open(path, "rb") as stream:
            while left and (piece := stream.read(min(left, PIECE))):
                hash.update(piece)
                left -= len(piece)
                yield piece
    except FileNotFoundError:
        raise DamagedFileError(f"{path}: is missing; it should hold at least {mark['bytes']} bytes") from None
    if left:
        held = mark["bytes"] - left
        raise DamagedFileError(f"{path}: is truncated: holds {held} of the {mark['bytes']} bytes of the checkpoint")
    if hash.hexdigest() != mark["sha256"]:
        raise DamagedFileError(f"{path}: is damaged: its first {mark['bytes']} bytes are not those of the checkpoint")
