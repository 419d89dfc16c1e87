"""Checkpoints of a run: one file per position, with its checksum, read without running any pickled code.

A file is 64 hexadecimal digits, the SHA-256 of what follows them and a newline: an uncompressed npz. Its member
`numbers` is a JSON text with everything that is no array. Equal checkpoints are equal files.
"""

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.files import DamagedFileError, atomic_write, naming, synchronise_folder

# Raise when the meaning of a checkpoint changes: this version then says that it cannot read older ones.
FORMAT = 1

# Checkpoints of a run that stay: the newest, and one to go back to should it be damaged.
KEPT = 2

# End of the name of every checkpoint's file.
SUFFIX = ".ckpt"

# Name of the member that holds the JSON text.
NUMBERS = "numbers"

# Bytes of the checksum and its newline.
HEADER = 65


@dataclass(frozen=True, order=True)
class Position:
    """A point on the way of a run: all updates and environment steps up to it are done, and nothing after it.

    Attributes:
        offline_step: gradient steps of the offline phase.
        online_step: environment steps of the online phase.
        evaluated: whether the evaluation that is due here is done; true where none is due.
    """

    offline_step: int
    online_step: int
    evaluated: bool

    def __str__(self) -> str:
        return f"{self.offline_step:09d}-{self.online_step:09d}-{self.evaluated:d}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position that `str` turns into this text, or None if none does."""
        parts = re.fullmatch("([0-9]{9,})-([0-9]{9,})-([01])", text)
        if parts is None:
            return None
        position = cls(int(parts[1]), int(parts[2]), parts[3] == "1")
        return position if str(position) == text else None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run at a position.

    Attributes:
        position: where the run stands.
        arrays: arrays of numbers by name, of any shape; they come back bit for bit.
        numbers: everything else, as JSON knows it: no NaN, no infinity, no tuples, text as keys.
    """

    position: Position
    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run, in a folder of their own. Every OSError names the file."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def positions(self) -> list[Position]:
        """Where there is a checkpoint, newest first; files whose name is no position's are ignored."""
        found = [Position.parse(name.removesuffix(SUFFIX)) for name in self._names() if name.endswith(SUFFIX)]
        return sorted((position for position in found if position is not None), reverse=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all; when it is safe, all but the two newest go.

        Raises ValueError for an array of objects or numbers that would not come back from JSON as they are.
        """
        content = _encode(checkpoint)
        file = self._file(checkpoint.position)
        self.folder.mkdir(exist_ok=True)
        for name in self._names():
            # What `atomic_write` left when its process was killed.
            if name.startswith(".") and f"{SUFFIX}." in name:
                (self.folder / name).unlink(missing_ok=True)
        with atomic_write(file) as stream:
            stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
            stream.write(content)
        synchronise_folder(self.folder)
        self._discard(self.positions()[KEPT:])

    def load(self, position: Position) -> Checkpoint:
        """Read a checkpoint.

        Raises `DamagedFileError` if it is missing or not what was saved, and UserError if another version of
        floorbench saved it.
        """
        file = self._file(position)
        try:
            with naming(file), open(file, "rb") as stream:
                header, content = stream.read(HEADER), stream.read()
        except FileNotFoundError:
            raise DamagedFileError(f"{file}: is missing") from None
        if header != hashlib.sha256(content).hexdigest().encode() + b"\n":
            raise DamagedFileError(f"{file}: is damaged: its checksum does not fit its content")
        try:
            arrays = _decode(content)
            values = json.loads(arrays.pop(NUMBERS).tobytes())
            format, position_inside, numbers = values["format"], values["position"], values["numbers"]
        except _FOREIGN as error:
            reason = str(error).partition("\n")[0]
            raise DamagedFileError(f"{file}: is no checkpoint: {reason}") from None
        if format != FORMAT:
            raise UserError(f"{file}: is a checkpoint of format {format}; this version of floorbench reads {FORMAT}")
        if position_inside != list(astuple(position)):
            raise DamagedFileError(f"{file}: holds the checkpoint of another position, {position_inside}")
        return Checkpoint(position, arrays, numbers)

    def discard_newer(self, position: Position) -> None:
        """Remove what is newer than the position at which a run goes on.

        That is damaged or counts on rows that were cut off, and must not count as one of the two that are kept.
        """
        self._discard([other for other in self.positions() if other > position])

    def discard_all_but(self, position: Position) -> None:
        """Remove every other checkpoint."""
        self._discard([other for other in self.positions() if other != position])

    def _discard(self, positions: list[Position]) -> None:
        for position in positions:
            self._file(position).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def _file(self, position: Position) -> Path:
        return self.folder / f"{position}{SUFFIX}"


def grouped(positions: Mapping[str, set[Any]]) -> list[tuple[list[str], Any]]:
    """Group runs that share a checkpoint position, each group with the newest shared one; None without checkpoints.

    A run that was killed while its pack was saving is one checkpoint behind the others, and stays in their group.
    """

    def newest(name: str) -> tuple[Any, ...]:
        return (1, max(positions[name])) if positions[name] else (0,)

    groups: list[tuple[list[str], set[Any]]] = []
    for name in sorted(positions, key=newest, reverse=True):
        available = positions[name]
        for names, shared in groups:
            if shared & available or not (shared or available):
                names.append(name)
                shared &= available
                break
        else:
            groups.append(([name], set(available)))
    order = list(positions)
    return [(sorted(names, key=order.index), max(shared, default=None)) for names, shared in groups]


# What reading a file that is sound but no checkpoint can raise.
_FOREIGN = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, RuntimeError, EOFError)


def _encode(checkpoint: Checkpoint) -> memoryview:
    """The npz of a checkpoint; it depends on nothing but the checkpoint, neither on the clock nor on any order."""
    values = {
        "format": FORMAT,
        "position": list(astuple(checkpoint.position)),
        "numbers": dict(checkpoint.numbers),
    }
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    if json.loads(text) != values:
        raise ValueError(f"checkpoint {checkpoint.position}: its numbers hold a tuple or a key that is not text")
    if NUMBERS in checkpoint.arrays:
        raise ValueError(f"checkpoint {checkpoint.position}: no array may be called {NUMBERS!r}")
    members = {**checkpoint.arrays, NUMBERS: np.frombuffer(text.encode(), np.uint8)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            # ZipInfo says 1980 for every file, unless it is told otherwise.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, members[name], allow_pickle=False)
    return buffer.getbuffer()


def _decode(content: bytes) -> dict[str, np.ndarray]:
    """The members of an npz, pickled ones refused with a ValueError."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {}
        for name in archive.namelist():
            with archive.open(name) as stream:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays
