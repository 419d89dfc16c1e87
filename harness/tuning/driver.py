"""The driver: asks for a batch of trials, has their runs computed, tells what came out.

Everything that matters is written before it is needed: a trial's marks (seat, batch, ids of its runs) before its runs
begin, its value after they are done. A driver that comes after one that was killed finds the seat's open trials, fills
up the batch that was being asked for, and goes on; nothing is computed or told twice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from harness.errors import UserError
from harness.files import write_json
from harness.folders import attempts
from harness.folders.attempts import Attempt, Heartbeat
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import Usage, usage
from harness.settings import Run, total_updates
from harness.tuning.search import MARKS, OpenTrial, Search
from harness.tuning.stopping import REDUCTION, EarlyStopping
from harness.tuning.storage import RUNS, TRIALS, asking, folder_of, identity, number_of, take_seats
from harness.tuning.study import Study

# Computes runs in a root until each has come to an end or cannot go on now. Calls the watch again and again meanwhile.
Compute = Callable[[Sequence[Run], Path, Callable[[], None]], None]


class Driver:
    """One of a study's drivers."""

    def __init__(self, study: Study, root: Path, storage: BaseStorage, trials: int | None, batch: int):
        """`trials`: budget of every arm, the study's own if None; `batch`: trials asked for at a time, of all arms.

        Raises UserError if the study cannot be searched, or was begun with another definition.
        """
        study.check()
        self.study, self.storage = study, storage
        self.folder = folder_of(root, study.name)
        self.runs_root = self.folder / RUNS
        self.runs_root.mkdir(parents=True, exist_ok=True)
        self.budget = study.trials if trials is None else trials
        self.per_arm = -(-batch // len(study.groups))
        self.searches = searches(study, self.folder, storage)

    def run(self, compute: Compute, after_batch: Callable[[], None] = lambda: None) -> bool:
        """Search until every arm has its budget; False if some runs cannot go on now: calling it again is right then.

        What `compute` raises, Ctrl-C for example, leaves everything where the next driver finds it.
        """
        seats = take_seats(self.folder)
        try:
            with Heartbeat(seats):
                while trials := self.next_batch(seats):
                    stopping = EarlyStopping(self.study, self.runs_root, trials)
                    compute([run for trial in trials for run in trial.runs], self.runs_root, stopping.watch)
                    for trial in trials:
                        self.settle(trial)
                    write_ledger(self.study, self.searches, self.folder, self.budget)
                    after_batch()
                    if any(not each.search.trial(each.number).state.is_finished() for each in trials):
                        return False
        finally:
            for seat in seats:
                seat.end("left")
        return True

    def next_batch(self, seats: Sequence[Attempt]) -> list[OpenTrial]:
        """The open trials of the seats, and new ones until the batch is full or the budget spent."""
        own = [number_of(seat) for seat in seats]
        with asking(self.folder):
            batch = self._batch_number(own)
            for arm, search in self.searches.items():
                search.correct()
                counted = search.trials()
                begun = sum(self._is_of(trial, own[0], batch) for trial in counted)
                for _ in range(min(self.per_arm - begun, self.budget - len(counted))):
                    search.ask(partial(self._marks, own[0], batch, arm))
        return [
            OpenTrial(search, trial.number, self._runs(search, arm, trial))
            for arm, search in self.searches.items()
            for trial in search.open_trials()
            if trial.user_attrs[MARKS]["seat"] in own
        ]

    def settle(self, trial: OpenTrial) -> None:
        """Tell the end of a trial whose runs have all come to one: their mean, or that one of them failed."""
        folders = trial.folders(self.runs_root)
        states = {folder.state for folder in folders}
        if states & {RunState.FAILED, RunState.CANCELLED}:
            trial.search.tell(trial.number, None)
        elif states == {RunState.DONE}:
            values = [(folder.summary() or {})[self.study.goal] for folder in folders]
            trial.search.tell(trial.number, sum(values) / len(values))

    def _batch_number(self, own: Sequence[int]) -> int:
        """The batch that the first seat is at: the newest while it has open trials, else the next."""
        trials = [trial for search in self.searches.values() for trial in search.trials()
                  if trial.user_attrs[MARKS]["seat"] == own[0]]  # fmt: skip
        newest = max((trial.user_attrs[MARKS]["batch"] for trial in trials), default=0)
        is_open = any(self._is_of(trial, own[0], newest) and not trial.state.is_finished() for trial in trials)
        return newest if is_open else newest + 1

    @staticmethod
    def _is_of(trial: FrozenTrial, seat: int, batch: int) -> bool:
        marks = trial.user_attrs[MARKS]
        return marks["seat"] == seat and marks["batch"] == batch

    def _marks(self, seat: int, batch: int, arm: str, settings: dict[str, Any]) -> dict[str, Any]:
        runs = [run.id for run in self.study.runs_of_trial(arm, settings)]
        return {"seat": seat, "batch": batch, "runs": runs}

    def _runs(self, search: Search, arm: str, trial: FrozenTrial) -> tuple[Run, ...]:
        runs = tuple(self.study.runs_of_trial(arm, trial.params))
        if [run.id for run in runs] != trial.user_attrs[MARKS]["runs"]:
            raise UserError(f"study {search.name}: trial {trial.number} was begun by another version of floorbench; "
                            "name another --root or storage")  # fmt: skip
        return runs


def searches(study: Study, folder: Path, storage: BaseStorage) -> dict[str, Search]:
    """The search of every arm; UserError if they were begun with another definition, or in another folder."""
    with asking(folder):
        definition = {**study.definition(), "folder": identity(folder)}
        return {
            arm: Search(
                storage, f"{study.name}/{arm}", study.space, study.objective.direction, study.seed,
                study.defaults(arm), pruner(study), definition,
            )
            for arm in study.groups
        }  # fmt: skip


def pruner(study: Study) -> optuna.pruners.BasePruner | None:
    """Asynchronous successive halving over evaluations; None if the study stops no trial early."""
    if study.first_rung is None:
        return None
    return SuccessiveHalvingPruner(min_resource=study.first_rung, reduction_factor=REDUCTION)


def ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> dict[str, Any]:
    """The definition, the budget and a row per trial: settings, state, value, values on the way, runs, cost.

    A run is counted as far as it came, in gradient steps.
    """
    rows = [row(arm, trial, folder / RUNS) for arm, search in searches.items() for trial in search.trials()]
    return {"study": study.name, "budget": budget, **study.definition(), "trials": rows}


def write_ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> None:
    """Write the ledger into the study's folder."""
    write_json(folder / TRIALS, ledger(study, searches, folder, budget))


def row(arm: str, trial: FrozenTrial, runs_root: Path) -> dict[str, Any]:
    """A trial as the ledger has it."""
    marks = trial.user_attrs[MARKS]
    cost, updates = Usage(), 0.0
    for id in marks["runs"]:
        folder = RunFolder(runs_root / id)
        if (folder.path / "config.json").exists():
            cost += usage(attempts.history(folder.path), time.time())
            updates += folder.status().get("progress", 0.0) * total_updates(folder.run().schedule)
    return {
        "arm": arm,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": trial.params,
        "on_the_way": {str(step): value for step, value in trial.intermediate_values.items()},
        "runs": marks["runs"],
        "seat": marks["seat"],
        "batch": marks["batch"],
        "updates": round(updates),
        "core_hours": cost.core_hours,
        "gpu_hours": cost.gpu_hours,
        "wall_hours": cost.wall_hours,
    }
