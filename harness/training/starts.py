"""How a run starts that does not train its offline phase: from the end of its prefix, or from `online.start`.

Such a run gets a first checkpoint, from which it is resumed like any other run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np

from harness.errors import UserError
from harness.files import DamagedFileError, atomic_write, read_bytes
from harness.folders.append_file import AppendFile, contents
from harness.folders.checkpoint import LEARNER, SUFFIX, Checkpoint, Checkpoints, Position, read_checkpoint
from harness.folders.run_folder import METRICS, REPLAY, RunFolder
from harness.folders.state import RunState
from harness.settings import ID_LENGTH, Run

# Folder in a root with the checkpoints that `online.start` names by their hash.
STARTS = "starts"

# Entries of the provenance and of attempts that say where the offline phase was computed.
ORIGIN = ("machine", "packages", "commit", "difference")


def provide_start(folder: RunFolder) -> None:
    """Write the first checkpoint of a run that has none, if it has a prefix or `online.start`.

    The checkpoint is written last, so that a run is never resumed from half a start. Raises UserError if the start is
    missing, damaged or has other shapes.
    """
    if folder.newest_checkpoint:
        return
    run, prefix = folder.run(), folder.prefix
    if prefix is not None:
        start_from_prefix(folder, run, prefix)
    elif run.online.start is not None:
        start_from_checkpoint(folder, run)


def start_from_prefix(folder: RunFolder, run: Run, prefix: RunFolder) -> None:
    """Copy the metrics and the last checkpoint of a finished prefix, and record where they were computed."""
    if prefix.state is not RunState.DONE:
        raise UserError(f"{prefix.path}: this prefix is {prefix.state}, not done; retry it first")
    checkpoints = Checkpoints(prefix.checkpoints)
    checkpoint = checkpoints.load(Position(run.schedule.offline_steps, 0, evaluated=True))
    _write(folder, checkpoint, contents(prefix.metrics_file, checkpoint.numbers[METRICS]))
    provenance = prefix.provenance()
    records = [provenance, *(attempt for attempt in provenance.get("attempts", []) if "machine" in attempt)]
    origins = [{name: record[name] for name in ORIGIN if name in record} for record in records]
    distinct = [origin for number, origin in enumerate(origins) if origin not in origins[:number]]
    folder.write_prefix({"prefix": prefix.id, "records": distinct})


def start_from_checkpoint(folder: RunFolder, run: Run) -> None:
    """Write a checkpoint at the switch with the networks of another run, before the evaluation at the switch."""
    source = read_start(run, folder.path.parent)
    learner = {name: array for name, array in source.arrays.items() if name.startswith(LEARNER)}
    # What was logged since the last evaluation of the other run does not belong to this one.
    learner[f"{LEARNER}sums"] = np.zeros_like(learner[f"{LEARNER}sums"])
    folder.metrics_file.unlink(missing_ok=True)
    metrics = AppendFile.create(folder.metrics_file)
    mark = metrics.mark()
    metrics.close()
    counters = {**source.numbers["learner"], "summed": 0, "policy_summed": 0}
    numbers = {"learner": counters, METRICS: mark, REPLAY: mark}
    position = Position(run.schedule.offline_steps, 0, evaluated=False)
    _write(folder, Checkpoint(position, learner, numbers), b"")


def _write(folder: RunFolder, checkpoint: Checkpoint, metrics: bytes) -> None:
    """Write the files of a run as they were when a checkpoint was saved, without online transitions."""
    folder.check_owner()
    folder.replay.parent.mkdir(exist_ok=True)
    for file, data in ((folder.metrics_file, metrics), (folder.replay, b"")):
        with atomic_write(file) as stream:
            stream.write(data)
    Checkpoints(folder.checkpoints).save(checkpoint)


# Starts by online.start ----------------------------------------------------------------------------------------------


def start_file(root: Path, start: str) -> Path:
    """The checkpoint file that `online.start` names; UserError if there is none."""
    file = Path(root) / STARTS / f"{start}{SUFFIX}"
    if file.exists():
        return file
    name = f"setting online.start = {start!r}"
    if len(start) != ID_LENGTH:
        raise UserError(f"{name}: not found; copy the checkpoint whose first line this is to {file}")
    folder = RunFolder(Path(root) / start)
    if not folder.path.is_dir():
        raise UserError(f"{name}: no run of this id in {root}; copy its last checkpoint to {file}")
    if folder.state is not RunState.DONE:
        raise UserError(f"{name}: this run is {folder.state}, not done; finish it first")
    checkpoints = Checkpoints(folder.checkpoints)
    positions = checkpoints.positions()
    if not positions:
        raise UserError(f"{name}: {folder.checkpoints} is empty; repeat the run in another root and copy its last "
                        f"checkpoint to {file}")  # fmt: skip
    return checkpoints.file(positions[0])


def read_start(run: Run, root: Path) -> Checkpoint:
    """The checkpoint that `online.start` names; UserError if its hash, number of updates or shapes are not right."""
    start = run.online.start
    assert start is not None
    file, name = start_file(root, start), f"setting online.start = {start!r}"
    checkpoint = read_checkpoint(file)
    if len(start) != ID_LENGTH and not read_bytes(file).startswith(start.encode()):
        raise DamagedFileError(f"{name}: {file} is another checkpoint; its first line must be this hash")
    updates = checkpoint.numbers["learner"]["updates"]
    if updates != run.schedule.offline_steps:
        raise UserError(f"{name}: has {updates:,} updates, but schedule.offline_steps is "
                        f"{run.schedule.offline_steps:,}; set it to {updates}")  # fmt: skip
    if problem := _misfit(checkpoint.arrays, run):
        raise UserError(f"{name}: {problem}; the task's dimensions and the networks must be those of the start")
    return checkpoint


def check_starts(runs: Sequence[Run], root: Path) -> None:
    """Check that the starts of some runs are in a root and fit the runs; UserError for the first that does not."""
    first: dict[tuple[object, ...], Run] = {}
    for run in runs:
        if run.online.start is not None:
            first.setdefault((run.online.start, run.schedule.offline_steps, run.task, run.algorithm), run)
    for run in first.values():
        read_start(run, root)


def copy_starts(runs: Sequence[Run], source: Path, root: Path) -> None:
    """Copy the starts of some runs from one root to another."""
    for start in dict.fromkeys(run.online.start for run in runs if run.online.start is not None):
        file = Path(root) / STARTS / f"{start}{SUFFIX}"
        file.parent.mkdir(parents=True, exist_ok=True)
        copyfile(start_file(source, start), file)


def _misfit(arrays: Mapping[str, np.ndarray], run: Run) -> str:
    """The first difference between the networks in a checkpoint and those of a run, in words; empty without any."""
    expected = learner_shapes(run)
    present = {name: array.shape for name, array in arrays.items() if name.startswith(LEARNER)}
    for name in sorted({*expected, *present}):
        if expected.get(name) != present.get(name):
            part = name.removeprefix(LEARNER)
            return f"{part} has shape {present.get(name, 'none')} there and {expected.get(name, 'none')} in the run"
    return ""


def learner_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of a run's learner in a checkpoint: almost all of its size, float32."""
    # Imported when a start is checked: the command line needs neither torch nor an environment before.
    from algorithms.learner import Learner
    from harness.environments.environment import Environment
    from harness.training.streams import generator, normal_source

    environment = Environment(run.task)
    algorithm = replace(run.algorithm, kernel="torch")
    source = normal_source(generator(run.seed, "init"))
    learner = Learner([algorithm], environment.observation_dim, environment.action_dim, [run.task.discount], [source])
    return {f"{LEARNER}{name}": tuple(tensor.shape) for name, tensor in learner.state(0).items()}
