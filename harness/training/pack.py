"""The state of a pack between two steps, run by run: what a checkpoint holds, and how training stands there again."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from algorithms.behaviour_value import FitReport
from algorithms.learner import Learner
from harness.folders.checkpoint import Checkpoint
from harness.folders.run_folder import RunFolder
from harness.training.floor_columns import FloorColumns, FloorState
from harness.training.online import Actors
from harness.training.recording import hash_of, transitions_of
from harness.training.transitions import Transitions

# First words of the names of a checkpoint's arrays.
LEARNER, FLOOR = "learner.", "floor."


class PackState:
    """Captures and restores single runs of a pack. `actors` is set when the online phase begins."""

    def __init__(self, learner: Learner, floors: FloorColumns, transitions: Transitions):
        self.learner, self.floors, self.transitions = learner, floors, transitions
        self.actors: Actors | None = None

    def capture(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers of one run. The streams need none: where a run stands in them follows from its steps."""
        arrays = self._parameters(number)
        numbers: dict[str, Any] = {"learner": self.learner.counters}
        floor = self.floors.state(number)
        if floor is not None:
            arrays |= {f"{FLOOR}{name}": tensor.numpy() for name, tensor in floor.learning.items()}
            arrays[f"{FLOOR}fitted"] = floor.fitted.numpy()
            numbers["floor"] = {"steps": floor.steps, "report": asdict(floor.report)}
        if self.actors is not None:
            actor = self.actors.actors[number]
            no_actions = np.zeros((0, self.transitions.action_dim), np.float32)
            arrays["episode.actions"] = np.stack(actor.actions) if actor.actions else no_actions
            arrays["episode.observation"] = actor.observations[-1]
            numbers["actor"] = {"episodes": actor.episodes, "successes": actor.successes}
        return arrays, numbers

    def restore(self, number: int, folder: RunFolder, checkpoint: Checkpoint) -> None:
        """Put one run where its checkpoint says. Floors were put back when the columns were filled (`floor_of`)."""
        arrays, numbers = checkpoint.arrays, checkpoint.numbers
        own = {name.removeprefix(LEARNER): torch.from_numpy(array) for name, array in arrays.items()
               if name.startswith(LEARNER)}  # fmt: skip
        self.learner.restore(number, own)
        self.learner.counters = numbers["learner"]
        rows = transitions_of(folder, checkpoint, self.transitions.table.shape[1] + 2)
        self.transitions.restore_online(number, torch.from_numpy(rows))
        self.floors.skip_online(number, len(rows))
        if self.actors is not None:
            actor, at = self.actors.actors[number], numbers["actor"]
            actor.resume(at["episodes"], at["successes"], arrays["episode.actions"], arrays["episode.observation"])

    def hash_of_parameters(self, number: int) -> str:
        """SHA-256 of everything that updates moved."""
        return hash_of(self._parameters(number))

    def _parameters(self, number: int) -> dict[str, np.ndarray]:
        return {f"{LEARNER}{name}": tensor.numpy() for name, tensor in self.learner.state(number).items()}


def floor_of(checkpoint: Checkpoint) -> FloorState | None:
    """Where the learned floor of a run stood; None for any other floor."""
    own = {name.removeprefix(FLOOR): torch.from_numpy(array) for name, array in checkpoint.arrays.items()
           if name.startswith(FLOOR)}  # fmt: skip
    if not own:
        return None
    numbers = checkpoint.numbers["floor"]
    return FloorState(own.pop("fitted"), own, numbers["steps"], FitReport(**numbers["report"]))
