"""The files a run writes while it trains, and the checkpoints from which it resumes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shutil import rmtree
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.files import DamagedFileError
from harness.folders.append_file import AppendFile, contents
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position, grouped
from harness.folders.run_folder import METRICS, REPLAY, RunFolder


class Recorder:
    """Writes the files of a run. A checkpoint records the lengths of the other files, so that all agree on resume.

    Attributes:
        folder: the run folder.
        rows: all rows of metrics so far.
    """

    def __init__(self, folder: RunFolder, checkpoint: Checkpoint | None):
        """Create the files, or truncate them to the lengths recorded in a checkpoint, which was verified."""
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._checkpoints = Checkpoints(folder.checkpoints)
        folder.check_owner()
        if checkpoint is not None:
            self._checkpoints.discard_newer(checkpoint.position)
        folder.replay.parent.mkdir(exist_ok=True)
        if checkpoint is None:
            self._metrics = AppendFile.create(folder.metrics_file, folder.check_owner)
            self._replay = AppendFile.create(folder.replay, folder.check_owner)
        else:
            self.rows = metrics_of(folder, checkpoint)
            self._metrics = AppendFile.restore(folder.metrics_file, checkpoint.numbers[METRICS], folder.check_owner)
            self._replay = AppendFile.restore(folder.replay, checkpoint.numbers[REPLAY], folder.check_owner)

    def append_row(self, row: dict[str, Any]) -> None:
        """Append a row of metrics; NaN and infinity raise a ValueError, so that a row is always valid JSON."""
        text = json.dumps(row, allow_nan=False) + "\n"
        self.folder.check_owner()
        self._metrics.append(text.encode())
        self.rows.append(row)

    def append_transitions(self, rows: np.ndarray) -> None:
        """Append online transitions with their columns, float32 [K, W + 2]."""
        self.folder.check_owner()
        self._replay.append(rows.astype("<f4").tobytes())

    def save(self, position: Position, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> None:
        """Save a checkpoint; the two newest are kept."""
        self.folder.check_owner()
        marks = {METRICS: self._metrics.mark(), REPLAY: self._replay.mark()}
        checkpoint = Checkpoint(position, dict(arrays), {**numbers, **marks})
        self._checkpoints.save(checkpoint, self.folder.check_owner)

    def finish(self, summary: Mapping[str, Any], final: Position) -> None:
        """Write `done.json`; delete the replay file and all checkpoints but the last, which holds the parameters."""
        self._metrics.mark()
        self.close()
        self.folder.finish(dict(summary))
        self._checkpoints.discard_all_but(final)
        rmtree(self.folder.replay.parent, ignore_errors=True)

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()
        self._replay.close()


def metrics_of(folder: RunFolder, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The rows of metrics at a checkpoint; damaged files raise a UserError."""
    text = contents(folder.metrics_file, checkpoint.numbers[METRICS])
    return [json.loads(line) for line in text.splitlines()]


def transitions_of(folder: RunFolder, checkpoint: Checkpoint, width: int) -> np.ndarray:
    """The online transitions [K, `width`] at a checkpoint; damaged files raise a UserError."""
    data = contents(folder.replay, checkpoint.numbers[REPLAY])
    return np.frombuffer(data, "<f4").reshape(-1, width).astype(np.float32)


def hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode() + arrays[name].tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class StartingPoint:
    """Runs at one position, with their checkpoints; at the start without."""

    folders: list[RunFolder]
    position: Position
    checkpoints: list[Checkpoint] | list[None]


def starting_points(folders: Sequence[RunFolder]) -> list[StartingPoint]:
    """Group runs by the newest position from which they can resume together, in as few groups as possible.

    A damaged checkpoint is reported in the run's log and the one before it is used. Raises UserError for a run whose
    checkpoints are all damaged or not visible, because starting again would discard its results.
    """
    intact = {folder.id: _intact_checkpoints(folder) for folder in folders}
    groups = grouped({id: set(checkpoints) for id, checkpoints in intact.items()})
    by_id = {folder.id: folder for folder in folders}
    points = []
    for ids, position in groups:
        group = [by_id[id] for id in ids]
        if position is None:
            points.append(StartingPoint(group, Position(0, 0, False), [None] * len(ids)))
        else:
            points.append(StartingPoint(group, position, [intact[id][position] for id in ids]))
    return points


def _intact_checkpoints(folder: RunFolder) -> dict[Position, Checkpoint]:
    """The checkpoints of a run that are intact, together with the files up to their lengths, newest first."""
    intact, faults = {}, []
    checkpoints = Checkpoints(folder.checkpoints)
    positions = checkpoints.positions()
    for position in positions:
        try:
            intact[position] = folder.load_checkpoint(position)
        except DamagedFileError as error:
            faults.append(str(error))
            folder.append_log(f"checkpoint skipped: {error}")
    if faults and not intact:
        if not any(checkpoints.file(position).exists() for position in positions):
            raise UserError(f"{folder.checkpoints}: the saved checkpoints are not visible on this machine: try again "
                            f"in some minutes, or delete {folder.path} to start the run again")  # fmt: skip
        raise UserError(f"{faults[0]}; no intact checkpoint is left: delete {folder.path} to start the run again")
    return intact
