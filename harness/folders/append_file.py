"""Append-only files that can be truncated to the length and hash that a checkpoint recorded."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

from harness.files import DamagedFileError, atomic_write, naming, open_file, synchronise_folder

# Bytes read at a time.
BLOCK = 2**20


class Mark(TypedDict):
    """The length of a file at some time, and the SHA-256 of its bytes then, in hexadecimal digits."""

    bytes: int
    sha256: str


class AppendFile:
    """A file that only this process appends to; other processes may read it.

    It always replaces an existing file: a former owner that wakes up then writes to an unlinked file. Every OSError
    names the file.
    """

    def __init__(self, path: Path, stream: BinaryIO):
        """Duplicate the handle of an empty stream. Use `create` or `restore`."""
        self.path = path
        self._file = open(os.dup(stream.fileno()), "wb", buffering=0)  # noqa: SIM115 (`close` closes it)
        self._bytes = 0
        self._hash = hashlib.sha256()

    @classmethod
    def create(cls, path: Path, check: Callable[[], None] = lambda: None) -> "AppendFile":
        """Create an empty file, replacing an existing one unless `check` raises."""
        with atomic_write(path, check) as stream:
            file = cls(path, stream)
        synchronise_folder(path.parent)
        return file

    @classmethod
    def restore(cls, path: Path, mark: Mark, check: Callable[[], None] = lambda: None) -> "AppendFile":
        """Truncate a file to a mark. Raises `DamagedFileError`, and leaves the file unchanged, if its bytes differ.

        The same holds if `check` raises.
        """
        with atomic_write(path, check) as stream:
            file = cls(path, stream)
            for block in _prefix(path, mark):
                file.append(block)
        synchronise_folder(path.parent)
        return file

    def append(self, data: bytes) -> None:
        """Append bytes, which others can read at once; after an error the file is unchanged."""
        with naming(self.path):
            try:
                written = 0
                while written < len(data):
                    # At the offset that this object counts, so that an incomplete write is overwritten.
                    written += os.pwrite(self._file.fileno(), memoryview(data)[written:], self._bytes + written)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file.fileno(), self._bytes)
                raise
        self._hash.update(data)
        self._bytes += len(data)

    def mark(self) -> Mark:
        """Make the file durable and return its mark.

        Raises `DamagedFileError` if the file was removed or replaced.
        """
        with naming(self.path):
            os.fsync(self._file.fileno())
            try:
                in_place = os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
            except FileNotFoundError:
                in_place = False
        if not in_place:
            raise DamagedFileError(f"{self.path}: was removed or replaced while this process wrote to it")
        return Mark(bytes=self._bytes, sha256=self._hash.hexdigest())

    def close(self) -> None:
        """Close the file; bytes after the last mark are not durable."""
        with naming(self.path):
            self._file.close()


def contents(path: Path, mark: Mark) -> bytes:
    """The bytes up to a mark. Raises `DamagedFileError` if the file is missing, shorter or has other bytes."""
    return b"".join(_prefix(path, mark))


def _prefix(path: Path, mark: Mark) -> Iterator[bytes]:
    """The bytes up to a mark, in blocks; they are verified after the last one."""
    hash, left = hashlib.sha256(), mark["bytes"]
    try:
        with naming(path), open_file(path) as stream:
            while left and (block := stream.read(min(left, BLOCK))):
                hash.update(block)
                left -= len(block)
                yield block
    except FileNotFoundError:
        raise DamagedFileError(f"{path}: is missing; expected at least {mark['bytes']} bytes") from None
    if left:
        present = mark["bytes"] - left
        raise DamagedFileError(f"{path}: is truncated: has {present} of the {mark['bytes']} bytes of the checkpoint")
    if hash.hexdigest() != mark["sha256"]:
        raise DamagedFileError(f"{path}: is damaged: its first {mark['bytes']} bytes do not match the checkpoint")
