"""Checkpoints of a run: one file per position, with a checksum and without pickled objects, and an index of them.

A file is 64 hexadecimal digits, a newline and an uncompressed npz, of which the digits are the SHA-256. Its member
`numbers` is a JSON text with everything but the arrays. Equal checkpoints are byte-identical files.
"""

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UserError, reason
from harness.files import DamagedFileError, atomic_write, naming, open_file, read_json, synchronise_folder, write_json

# Increase when the meaning of a checkpoint changes; older checkpoints are then refused.
FORMAT = 1

# Checkpoints that are kept: the newest, and one to fall back to if it is damaged.
KEPT = 2

# Suffix of checkpoint files.
SUFFIX = ".ckpt"

# File in the folder that names the checkpoints, for file servers whose listings of folders are out of date.
INDEX = "index.json"

# Prefix of the names of the learner's arrays.
LEARNER = "learner."

# Name of the member with the JSON text.
NUMBERS = "numbers"

# Length of the checksum and its newline in bytes.
HEADER = 65


@dataclass(frozen=True, order=True)
class Position:
    """A point in a run up to which all updates and environment steps are done.

    Attributes:
        offline_step: gradient steps of the offline phase.
        online_step: environment steps of the online phase.
        evaluated: whether the evaluation at this point is done; true if there is none.
    """

    offline_step: int
    online_step: int
    evaluated: bool

    def __str__(self) -> str:
        return f"{self.offline_step:09d}-{self.online_step:09d}-{self.evaluated:d}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position with this text, or None."""
        parts = re.fullmatch("([0-9]{9,})-([0-9]{9,})-([01])", text)
        if parts is None:
            return None
        position = cls(int(parts[1]), int(parts[2]), parts[3] == "1")
        return position if str(position) == text else None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run at a position.

    Attributes:
        position: the position of the run.
        arrays: numeric arrays of any shape, by name; they are restored exactly.
        numbers: everything else as JSON values, without NaN, infinity and tuples.
    """

    position: Position
    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]


class Checkpoints:
    """The folder with the checkpoints of one run. Every OSError names the file.

    The listing of a folder that a file server caches can miss new checkpoints, while a file that is opened by its name
    is looked up at the server. So an index of fixed name says which checkpoints to look for.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def positions(self) -> list[Position]:
        """The positions of all checkpoints, newest first; files with other names are ignored.

        If no checkpoint is visible, those that the index says were saved, so that loading them fails.
        """
        saved, saving = self._index()
        visible = {position for position in saved | saving if self.file(position).exists()}
        return sorted(_positions(self._names()) | visible or saved, reverse=True)

    def save(self, checkpoint: Checkpoint, check: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint atomically, then remove all but the two newest.

        `check` is called ahead of each of the two; if it raises, the checkpoints are as before.
        Raises ValueError for arrays of objects and for numbers that JSON would change.
        """
        content = _encode(checkpoint)
        file = self.file(checkpoint.position)
        self.folder.mkdir(exist_ok=True)
        for name in self._names():
            # Left by `atomic_write` when its process was killed.
            if name.startswith(".") and (f"{SUFFIX}." in name or f"{INDEX}." in name):
                (self.folder / name).unlink(missing_ok=True)
        positions = sorted({*self.positions(), checkpoint.position}, reverse=True)
        saved = [self.file(position).name for position in positions[:KEPT] if position != checkpoint.position]
        # Ahead of the checkpoint, so that the index names every one that is kept.
        write_json(self.folder / INDEX, {"saved": saved, "saving": [file.name]}, check)
        with atomic_write(file, check) as stream:
            stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
            stream.write(content)
        synchronise_folder(self.folder)
        check()
        self._discard(positions[KEPT:])

    def load(self, position: Position) -> Checkpoint:
        """Read a checkpoint.

        Raises `DamagedFileError` if it is missing or damaged, and UserError if another version of floorbench wrote it.
        """
        checkpoint = read_checkpoint(self.file(position))
        if checkpoint.position != position:
            inside = list(astuple(checkpoint.position))
            raise DamagedFileError(f"{self.file(position)}: is the checkpoint of another position, {inside}")
        return checkpoint

    def discard_newer(self, position: Position) -> None:
        """Remove checkpoints newer than the position from which a run is resumed.

        They are damaged, or belong to rows of metrics that were truncated.
        """
        self._discard([other for other in self.positions() if other > position])

    def discard_all_but(self, position: Position) -> None:
        """Remove every other checkpoint."""
        self._discard([other for other in self.positions() if other != position])

    def _discard(self, positions: list[Position]) -> None:
        for position in positions:
            self.file(position).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def _index(self) -> tuple[set[Position], set[Position]]:
        """The checkpoints that the index names: saved ones, and the one that was being saved when it was written.

        No checkpoints if there is no index, or if it is damaged: the listing is usually up to date.
        """
        try:
            index = read_json(self.folder / INDEX) or {}
        except DamagedFileError:
            return set(), set()
        return _positions(index.get("saved")), _positions(index.get("saving"))

    def file(self, position: Position) -> Path:
        """The file of a checkpoint."""
        return self.folder / f"{position}{SUFFIX}"


def _positions(names: Any) -> set[Position]:
    """The positions of the checkpoints among the names of files; none if the names are not a list of texts."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return set()
    positions = (Position.parse(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX))
    return {position for position in positions if position is not None}


def read_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint from a file of any name; errors as in `Checkpoints.load`."""
    try:
        with naming(file), open_file(file) as stream:
            header, content = stream.read(HEADER), stream.read()
    except FileNotFoundError:
        raise DamagedFileError(f"{file}: is missing") from None
    if header != hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise DamagedFileError(f"{file}: is damaged: its checksum does not match")
    try:
        arrays = _decode(content)
        values = json.loads(arrays.pop(NUMBERS).tobytes())
        format, numbers = values["format"], values["numbers"]
        offline_step, online_step, evaluated = values["position"]
    except _FOREIGN as error:
        raise DamagedFileError(f"{file}: is not a checkpoint: {reason(error)}") from None
    if format != FORMAT:
        raise UserError(f"{file}: has checkpoint format {format}; this version of floorbench reads {FORMAT}")
    return Checkpoint(Position(offline_step, online_step, evaluated), arrays, numbers)


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


# Errors from reading an intact file that is not a checkpoint.
_FOREIGN = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, RuntimeError, EOFError)


def _encode(checkpoint: Checkpoint) -> memoryview:
    """The npz of a checkpoint, independent of the time and of the order of its members."""
    values = {
        "format": FORMAT,
        "position": list(astuple(checkpoint.position)),
        "numbers": dict(checkpoint.numbers),
    }
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    if json.loads(text) != values:
        raise ValueError(f"checkpoint {checkpoint.position}: its numbers contain a tuple or a key that is not text")
    if NUMBERS in checkpoint.arrays:
        raise ValueError(f"checkpoint {checkpoint.position}: the array name {NUMBERS!r} is reserved")
    members = {**checkpoint.arrays, NUMBERS: np.frombuffer(text.encode(), np.uint8)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            # The default time of a ZipInfo is fixed.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, members[name], allow_pickle=False)
    return buffer.getbuffer()


def _decode(content: bytes) -> dict[str, np.ndarray]:
    """The members of an npz; pickled ones raise ValueError."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {}
        for name in archive.namelist():
            with archive.open(name) as stream:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays
