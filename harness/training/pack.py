"""The runs of a pack: what checkpoints hold, how a run fails or is cancelled alone, and what status files say."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from algorithms.behaviour_value import FitReport
from algorithms.learner import Learner
from harness.errors import UserError, is_of_place, one_line
from harness.folders.attempts import TakenOver
from harness.folders.checkpoint import LEARNER, Checkpoint
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import total_updates
from harness.training.floor_columns import FloorColumns
from harness.training.learned_floors import FloorState
from harness.training.online import Actors
from harness.training.recording import Recorder, StartingPoint, hash_of, transitions_of
from harness.training.transitions import Transitions

# Seconds between two updates of the status files.
STATUS_INTERVAL = 5.0

# Prefix of the names of a floor's arrays in a checkpoint.
FLOOR = "floor."


class Pack:
    """The runs of a pack and where they stand. An error of one run fails that run alone.

    Attributes:
        position: steps that are done.
        updates: gradient steps that are done.
        live: numbers of the runs that still train, in order; the others have failed, are cancelled or have another
            owner.
    """

    def __init__(self, point: StartingPoint):
        self.folders, self.position, self.checkpoints = point.folders, point.position, point.checkpoints
        self.runs = [folder.run() for folder in point.folders]
        self.recorders: list[Recorder] = []
        self.live = list(range(len(self.runs)))
        self.updates = 0
        self._started_at = 0
        self._started = time.monotonic()
        self._reported = ("", 0.0)
        # Updates and time when the first update of this attempt had been made.
        self._first: tuple[int, float] | None = None

    def open_files(self) -> None:
        """Open the files of every run, cut back to its checkpoint."""
        pairs = zip(self.folders, self.checkpoints, strict=True)
        self.recorders = [Recorder(folder, checkpoint) for folder, checkpoint in pairs]

    def start_at(self, updates: int) -> None:
        """Set the number of updates that earlier attempts have made."""
        self.updates = self._started_at = updates

    @property
    def is_worthwhile(self) -> bool:
        """Whether more than half of the runs are live; the others are computed in vain."""
        return 2 * len(self.live) > len(self.runs)

    @property
    def phase(self) -> str:
        return "online" if self.position.online_step else "offline"

    @property
    def place(self) -> dict[str, Any]:
        """Where the pack stands, as status files have it: phase, steps of the phase, fraction of all updates."""
        step = self.position.online_step or self.position.offline_step
        progress = self.updates / max(total_updates(self.runs[0]), 1)
        return {"phase": self.phase, "step": step, "progress": progress}

    def guard(self, number: int, action: Callable[..., None], *arguments: Any, **named: Any) -> None:
        """Do something for one run. An error fails that run; an error of the disk or machine is raised."""
        try:
            action(*arguments, **named)
        except TakenOver:
            self.live.remove(number)
        except Exception as error:
            if is_of_place(error):
                raise
            self.fail(number, error)

    def fail(self, number: int, error: Exception) -> None:
        """Mark a run failed; the others continue."""
        if number not in self.live:
            return
        self.live.remove(number)
        folder = self.folders[number]
        folder.append_log("".join(traceback.format_exception(error)))
        folder.write_status(RunState.FAILED, **self.place, reason=one_line(error))

    def fail_diverged(self, finite: Sequence[bool], last_finite: int) -> None:
        """Fail the live runs whose parameters are not `finite`; `last_finite`: the update at which all still were."""
        for number in [number for number in self.live if not finite[number]]:
            seen = f"the last finite ones were seen at update {last_finite}"
            self.fail(number, UserError(f"parameters not finite at update {self.updates}; {seen}"))

    def cancelled(self) -> list[int]:
        """Live runs that somebody has cancelled."""
        return [number for number in self.live if self.folders[number].is_cancelled]

    def leave(self, number: int) -> None:
        """Mark a cancelled run, which was saved, as interrupted and end its attempt."""
        folder = self.folders[number]
        folder.write_status(RunState.INTERRUPTED, **self.place, reason="cancelled")
        folder.end_attempt("interrupted: cancelled")
        self.live.remove(number)

    def report(self, phase: str) -> bool:
        """Write the status of the live runs if a phase begins or `STATUS_INTERVAL` is over; returns whether it was."""
        now = time.monotonic()
        if self._first is None and self.updates > self._started_at:
            self._first = self.updates, now
        if phase == self._reported[0] and now - self._reported[1] < STATUS_INTERVAL:
            return False
        self._reported = (phase, now)
        for number in list(self.live):
            place = {**self.place, "phase": phase}
            self.guard(number, self.folders[number].write_status, RunState.RUNNING, **place, **self.current_speed())
        return True

    def current_speed(self) -> dict[str, float]:
        """As `speed`, but without the start of the attempt; no speed until it has been measured for a while."""
        speed, now = self.speed(), time.monotonic()
        del speed["updates_per_second"]
        if self._first is None or now - self._first[1] < STATUS_INTERVAL:
            return speed
        return {**speed, "updates_per_second": (self.updates - self._first[0]) / (now - self._first[1])}

    def speed(self) -> dict[str, float]:
        """Updates of this attempt, updates per second of wall-clock time, and the size of the pack."""
        updates = self.updates - self._started_at
        seconds = max(time.monotonic() - self._started, 1e-9)
        return {"updates_per_second": updates / seconds, "updates": updates, "pack": len(self.runs)}


class PackState:
    """Captures and restores the state of single runs between two steps. `actors` is set at the switch."""

    def __init__(self, learner: Learner, floors: FloorColumns, transitions: Transitions):
        self.learner, self.floors, self.transitions = learner, floors, transitions
        self.actors: Actors | None = None

    def capture(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers of one run. Random streams are not saved: their position follows from the step counts."""
        arrays = self._parameters(number)
        numbers: dict[str, Any] = {"learner": self.learner.counters}
        floor = self.floors.state(number)
        if floor is not None:
            arrays |= {f"{FLOOR}{name}": tensor.numpy() for name, tensor in floor.learning.items()}
            arrays[f"{FLOOR}fitted"] = floor.fitted.numpy()
            numbers["floor"] = {"steps": floor.steps, "report": asdict(floor.report)}
        if self.actors is not None:
            arrays["episode.actions"], arrays["episode.observation"] = self.actors.in_progress(number)
            counts = {"episodes": self.actors.episodes[number], "successes": self.actors.successes[number]}
            numbers["actor"] = counts
        return arrays, numbers

    def copied(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As `capture`, but nothing that changes later."""
        arrays, numbers = self.capture(number)
        return {name: array.copy() for name, array in arrays.items()}, numbers

    def restore(self, number: int, folder: RunFolder, checkpoint: Checkpoint) -> None:
        """Restore one run from its checkpoint; its floor was restored with the floor columns (`floor_of`)."""
        arrays, numbers = checkpoint.arrays, checkpoint.numbers
        self.learner.restore(number, _with_prefix(arrays, LEARNER))
        self.learner.counters = numbers["learner"]
        rows = transitions_of(folder, checkpoint, self.transitions.table.shape[1] + 2)
        self.transitions.restore_online(number, torch.from_numpy(rows))
        self.floors.skip_online(number, len(rows))
        if self.actors is not None:
            counts = numbers["actor"]
            self.actors.resume(number, counts["episodes"], counts["successes"], arrays["episode.actions"],
                               arrays["episode.observation"])  # fmt: skip

    def hash_of_parameters(self, number: int) -> str:
        """SHA-256 of all that updates change: parameters, targets, moments of the optimisers."""
        return hash_of(self._parameters(number))

    def _parameters(self, number: int) -> dict[str, np.ndarray]:
        return {f"{LEARNER}{name}": tensor.numpy() for name, tensor in self.learner.state(number).items()}


def floor_of(checkpoint: Checkpoint) -> FloorState | None:
    """The state of a run's learned floor; None for any other floor."""
    tensors = _with_prefix(checkpoint.arrays, FLOOR)
    if not tensors:
        return None
    numbers = checkpoint.numbers["floor"]
    return FloorState(tensors.pop("fitted"), tensors, numbers["steps"], FitReport(**numbers["report"]))


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """The arrays whose names begin with a prefix, without it, as tensors."""
    return {name.removeprefix(prefix): torch.from_numpy(array) for name, array in arrays.items()
            if name.startswith(prefix)}  # fmt: skip
