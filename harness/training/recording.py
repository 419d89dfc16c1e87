"""What a run writes while it trains, and how it resumes from that."""

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
    """Keeps a run's files in step with each other: a checkpoint holds how long the others were when it was taken.

    Attributes:
        folder: the run's.
        rows: every row of metrics so far.
    """

    def __init__(self, folder: RunFolder, checkpoint: Checkpoint | None):
        """Begin the files anew, or cut them back to a checkpoint whose marks they are known to fulfil."""
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._checkpoints = Checkpoints(folder.checkpoints)
        folder.check_owner()
        if checkpoint is not None:
            self._checkpoints.discard_newer(checkpoint.position)
        folder.replay.parent.mkdir(exist_ok=True)
        if checkpoint is None:
            self._metrics, self._replay = AppendFile.create(folder.metrics_file), AppendFile.create(folder.replay)
        else:
            self.rows = metrics_of(folder, checkpoint)
            self._metrics = AppendFile.restore(folder.metrics_file, checkpoint.numbers[METRICS])
            self._replay = AppendFile.restore(folder.replay, checkpoint.numbers[REPLAY])

    def append_row(self, row: dict[str, Any]) -> None:
        """Add a row of metrics; NaN and infinity are refused, so a row always is JSON."""
        text = json.dumps(row, allow_nan=False) + "\n"
        self.folder.check_owner()
        self._metrics.append(text.encode())
        self.rows.append(row)

    def append_transitions(self, rows: np.ndarray) -> None:
        """Add online transitions with their columns, float32 [K, W + 2]."""
        self.folder.check_owner()
        self._replay.append(rows.astype("<f4").tobytes())

    def save(self, position: Position, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> None:
        """Save a checkpoint; the two newest are kept."""
        self.folder.check_owner()
        marks = {METRICS: self._metrics.mark(), REPLAY: self._replay.mark()}
        self._checkpoints.save(Checkpoint(position, dict(arrays), {**numbers, **marks}))

    def finish(self, summary: Mapping[str, Any], final: Position) -> None:
        """Write `done.json`; of the rest only the last checkpoint is kept, for its parameters."""
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
    """The rows of metrics that were there when a checkpoint was taken; damage raises a UserError."""
    text = contents(folder.metrics_file, checkpoint.numbers[METRICS])
    return [json.loads(line) for line in text.splitlines()]


def transitions_of(folder: RunFolder, checkpoint: Checkpoint, width: int) -> np.ndarray:
    """The online transitions [K, `width`] that were there when a checkpoint was taken; damage raises a UserError."""
    data = contents(folder.replay, checkpoint.numbers[REPLAY])
    return np.frombuffer(data, "<f4").reshape(-1, width).astype(np.float32)


def hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays by name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode() + arrays[name].tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class StartingPoint:
    """Runs that stand at one position, with a checkpoint each; at the first step without."""

    folders: list[RunFolder]
    position: Position
    checkpoints: list[Checkpoint] | list[None]


def starting_points(folders: Sequence[RunFolder]) -> list[StartingPoint]:
    """The runs grouped by the position at which they go on together, in one group wherever that is possible.

    A damaged checkpoint is told in the run's log and the one before it is taken. Raises UserError for a run none of
    whose checkpoints is whole: to begin it anew would throw away what it computed.
    """
    whole = {folder.id: _whole_checkpoints(folder) for folder in folders}
    groups = grouped({id: set(own) for id, own in whole.items()})
    by_id = {folder.id: folder for folder in folders}
    points = []
    for ids, position in groups:
        own = [by_id[id] for id in ids]
        if position is None:
            points.append(StartingPoint(own, Position(0, 0, False), [None] * len(ids)))
        else:
            points.append(StartingPoint(own, position, [whole[id][position] for id in ids]))
    return points


def _whole_checkpoints(folder: RunFolder) -> dict[Position, Checkpoint]:
    """Every checkpoint of a run that is whole and whose files go at least as far, newest first."""
    whole, faults = {}, []
    for position in Checkpoints(folder.checkpoints).positions():
        try:
            whole[position] = folder.load_checkpoint(position)
        except DamagedFileError as error:
            faults.append(str(error))
            folder.append_log(f"not used: {error}")
    if faults and not whole:
        raise UserError(f"{faults[0]}; no other checkpoint is whole: remove {folder.path} to begin the run anew")
    return whole
