"""Where the runs of a pack can go on: the newest position of which every one has a whole checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.files import DamagedFileError
from harness.folders.append_file import contents
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position, grouped
from harness.folders.run_folder import RunFolder
from harness.training.recorder import METRICS, REPLAY


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


def load_whole(folder: RunFolder, position: Position) -> Checkpoint:
    """A checkpoint that is whole and as far as which the run's files go; damage to any of them raises a UserError."""
    checkpoint = Checkpoints(folder.checkpoints).load(position)
    contents(folder.metrics_file, checkpoint.numbers[METRICS])
    contents(folder.replay, checkpoint.numbers[REPLAY])
    return checkpoint


def _whole_checkpoints(folder: RunFolder) -> dict[Position, Checkpoint]:
    """Every checkpoint of a run that is whole and whose files go at least as far, newest first."""
    whole, faults = {}, []
    for position in Checkpoints(folder.checkpoints).positions():
        try:
            whole[position] = load_whole(folder, position)
        except DamagedFileError as error:
            faults.append(str(error))
            folder.append_log(f"not used: {error}")
    if faults and not whole:
        raise UserError(f"{faults[0]}; no other checkpoint is whole: remove {folder.path} to begin the run anew")
    return whole
