"""The trials of a study as a frame, from the ledger that its driver keeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from harness.errors import UserError
from harness.files import DamagedFileError, atomic_write, read_json

# Where ledgers lie in a root of run folders.
LEDGERS = "studies/*/trials.json"

# In front of a searched setting's path in the frame.
SETTING = "setting."


@dataclass(frozen=True)
class Ledger:
    """A study and its trials."""

    study: str
    # Name of the number that was optimised, and "maximize" or "minimize".
    objective: str
    direction: Literal["maximize", "minimize"]
    # Trials that every arm was given.
    budget: int
    seeds: tuple[int, ...]
    # Searched settings by path: the distribution's name and attributes, as Optuna writes them.
    space: dict[str, dict[str, Any]]
    # A row per trial: arm, number, state (complete, pruned, fail, running), value (NaN without), "setting.*", runs (how
    # many), updates (gradient steps), core_hours, gpu_hours, wall_hours.
    trials: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        return list(self.trials["arm"].unique())

    def is_logarithmic(self, path: str) -> bool:
        """Whether a setting was searched by its logarithm."""
        return bool(self.space[path]["attributes"].get("log"))

    def complete(self, arm: str | None = None) -> pd.DataFrame:
        """The complete trials, of one arm or of all."""
        return self.trials[(self.trials["state"] == "complete") & ((self.trials["arm"] == arm) | (arm is None))]

    def best_first(self, complete: pd.DataFrame) -> pd.DataFrame:
        """Complete trials in the order of their values, the earlier of equals first."""
        return complete.sort_values(["value", "number"], ascending=[self.direction == "minimize", True])


def read_ledger(file: Path) -> Ledger:
    """The ledger in a file; damage raises a UserError."""
    values = read_json(file)
    try:
        assert values is not None
        trials = pd.DataFrame([_row(trial) for trial in values["trials"]])
        return Ledger(
            values["study"], values["objective"], values["direction"], values["budget"], tuple(values["seeds"]),
            values["space"], trials.assign(value=pd.to_numeric(trials["value"]).astype(float)),
        )  # fmt: skip
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{file}: is damaged ({error}); floorbench tune writes it again") from None


def ledgers_in(roots: Iterable[Path]) -> list[Ledger]:
    """The ledgers of every study that was begun in some roots."""
    return [read_ledger(file) for root in roots for file in sorted(Path(root).glob(LEDGERS))]


def export_ledgers(roots: Iterable[Path], folder: Path) -> list[Path]:
    """Copy the ledgers of every study in some roots to where `ledgers_in` finds them in a folder; returns the copies.

    Raises UserError if one is damaged, if two are of one study, or if the folder cannot be written.
    """
    files = [file for root in roots for file in sorted(Path(root).glob(LEDGERS))]
    copies = [Path(folder) / LEDGERS.replace("*", read_ledger(file).study) for file in files]
    twice = [copy for copy in copies if copies.count(copy) > 1]
    if twice:
        raise UserError(f"study {twice[0].parent.name}: was searched in more than one root; name one of them")
    for file, copy in zip(files, copies, strict=True):
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(copy) as stream:
                stream.write(file.read_bytes())
        except OSError as error:
            raise UserError(f"{copy}: cannot be written ({error.strerror}); name another folder") from None
    return copies


def _row(trial: dict[str, Any]) -> dict[str, Any]:
    kept = ("arm", "number", "state", "value", "updates", "core_hours", "gpu_hours", "wall_hours")
    settings = {f"{SETTING}{path}": value for path, value in trial["settings"].items()}
    return {**{name: trial[name] for name in kept}, "runs": len(trial["runs"]), **settings}
