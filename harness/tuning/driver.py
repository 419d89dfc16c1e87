"""The driver of a study: asks for a batch of trials, has their runs computed, reports their values.

Every step is recorded before the next one relies on it: a trial's assignment (lease, batch, ids of its runs) before its
runs start, its value after they are done. A driver that follows one that was killed takes over the open trials of its
lease, completes the batch it was asking for, and continues; nothing is computed or counted twice.
"""

import contextlib
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
from harness.tuning.search import ASSIGNMENT, OpenTrial, Search
from harness.tuning.stopping import REDUCTION, EarlyStopping
from harness.tuning.storage import RUNS, TRIALS, acquire_leases, asking, folder_of, identity, lease_number
from harness.tuning.study import Study

# Computes runs in a root until each is finished or cannot continue now. Meanwhile it calls the third argument often.
Compute = Callable[[Sequence[Run], Path, Callable[[], None]], None]

# Key of the lease in assignments and ledgers. The name is part of stored studies.
LEASE = "seat"


class Driver:
    """One of the drivers of a study."""

    def __init__(self, study: Study, root: Path, storage: BaseStorage, trials: int | None, batch: int):
        """`trials`: budget of every arm, None for the study's; `batch`: trials asked for at a time, over all arms.

        Raises UserError if the study is invalid or was created with another definition.
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
        """Search until the budget of every arm is spent; False if some runs cannot continue now: call it again then.

        If `compute` raises, for example KeyboardInterrupt, the next driver continues from there.
        """
        leases = acquire_leases(self.folder)
        try:
            with Heartbeat(leases):
                while trials := self.next_batch(leases):
                    stopping = EarlyStopping(self.study, self.runs_root, trials)
                    compute([run for trial in trials for run in trial.runs], self.runs_root, stopping.watch)
                    for trial in trials:
                        self.record_result(trial)
                    write_ledger(self.study, self.searches, self.folder, self.budget)
                    after_batch()
                    if any(not trial.search.trial(trial.number).state.is_finished() for trial in trials):
                        return False
        finally:
            for lease in leases:
                lease.end("left")
        return True

    def next_batch(self, leases: Sequence[Attempt]) -> list[OpenTrial]:
        """The open trials of the leases, with new ones until the batch is full or the budget is spent."""
        numbers = [lease_number(lease) for lease in leases]
        with asking(self.folder):
            batch = self._batch_number(numbers[0])
            for arm, search in self.searches.items():
                search.discard_unassigned()
                counted = search.trials()
                in_batch = sum(_is_of(trial, numbers[0], batch) for trial in counted)
                for _ in range(min(self.per_arm - in_batch, self.budget - len(counted))):
                    search.ask(partial(self._assignment, numbers[0], batch, arm))
        return [
            OpenTrial(search, trial.number, self._runs(search, arm, trial))
            for arm, search in self.searches.items()
            for trial in search.open_trials()
            if trial.user_attrs[ASSIGNMENT][LEASE] in numbers
        ]

    def record_result(self, trial: OpenTrial) -> None:
        """Finish a trial whose runs are finished, with their mean, or as failed if one failed or was cancelled."""
        folders = trial.folders(self.runs_root)
        states = {folder.state for folder in folders}
        if states & {RunState.FAILED, RunState.CANCELLED}:
            trial.search.tell(trial.number, None)
        elif states == {RunState.DONE}:
            values = [(folder.summary() or {})[self.study.goal] for folder in folders]
            trial.search.tell(trial.number, sum(values) / len(values))

    def _batch_number(self, lease: int) -> int:
        """The batch a lease works on: its newest while that has open trials, else the next."""
        trials = [trial for search in self.searches.values() for trial in search.trials()
                  if trial.user_attrs[ASSIGNMENT][LEASE] == lease]  # fmt: skip
        newest = max((trial.user_attrs[ASSIGNMENT]["batch"] for trial in trials), default=0)
        is_open = any(_is_of(trial, lease, newest) and not trial.state.is_finished() for trial in trials)
        return newest if is_open else newest + 1

    def _assignment(self, lease: int, batch: int, arm: str, settings: dict[str, Any]) -> dict[str, Any]:
        runs = [run.id for run in self.study.runs_of_trial(arm, settings)]
        return {LEASE: lease, "batch": batch, "runs": runs}

    def _runs(self, search: Search, arm: str, trial: FrozenTrial) -> tuple[Run, ...]:
        runs = tuple(self.study.runs_of_trial(arm, trial.params))
        if [run.id for run in runs] != trial.user_attrs[ASSIGNMENT]["runs"]:
            raise UserError(f"study {search.name}: trial {trial.number} was started by another version of floorbench; "
                            "choose another --root or storage")  # fmt: skip
        return runs


def _is_of(trial: FrozenTrial, lease: int, batch: int) -> bool:
    assignment = trial.user_attrs[ASSIGNMENT]
    return assignment[LEASE] == lease and assignment["batch"] == batch


def searches(study: Study, folder: Path, storage: BaseStorage, create: bool = True) -> dict[str, Search]:
    """The search of every arm; without `create` nothing is written, and it must exist.

    Raises UserError if it was created with another definition or in another folder.
    """
    with asking(folder) if create else contextlib.nullcontext():
        definition = {**study.definition(), "folder": identity(folder)}
        return {
            arm: Search(
                storage, f"{study.name}/{arm}", study.space, study.objective.direction, study.seed,
                study.defaults(arm), pruner(study), definition, create,
            )
            for arm in study.groups
        }  # fmt: skip


def pruner(study: Study) -> optuna.pruners.BasePruner | None:
    """Asynchronous successive halving over evaluations; None if the study stops no trial early."""
    if study.first_rung is None:
        return None
    return SuccessiveHalvingPruner(min_resource=study.first_rung, reduction_factor=REDUCTION)


def ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> dict[str, Any]:
    """The study as plain values, readable without Optuna: definition, budget and a row per trial."""
    rows = [ledger_row(arm, trial, folder / RUNS) for arm, search in searches.items() for trial in search.trials()]
    return {"study": study.name, "budget": budget, **study.definition(), "trials": rows}


def write_ledger(study: Study, searches: Mapping[str, Search], folder: Path, budget: int) -> None:
    """Write the ledger into the study's folder."""
    write_json(folder / TRIALS, ledger(study, searches, folder, budget))


def ledger_row(arm: str, trial: FrozenTrial, runs_root: Path) -> dict[str, Any]:
    """Settings, state, values and cost of a trial; `updates` are gradient steps that were made, of unfinished runs too.

    The keys are part of stored studies.
    """
    assignment = trial.user_attrs[ASSIGNMENT]
    cost, updates = Usage(), 0.0
    for id in assignment["runs"]:
        folder = RunFolder(runs_root / id)
        if (folder.path / "config.json").exists():
            cost += usage(attempts.history(folder.path), time.time())
            updates += folder.status().get("progress", 0.0) * total_updates(folder.run())
    return {
        "arm": arm,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": trial.params,
        "on_the_way": {str(step): value for step, value in trial.intermediate_values.items()},
        "runs": assignment["runs"],
        "seat": assignment[LEASE],
        "batch": assignment["batch"],
        "updates": round(updates),
        "core_hours": cost.core_hours,
        "gpu_hours": cost.gpu_hours,
        "wall_hours": cost.wall_hours,
    }
