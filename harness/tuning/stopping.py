"""Early stopping: while the runs of a batch train, trials that do badly are told as pruned and their runs cancelled.

Two looks at a trial. Over steps, successive halving: at its rungs a trial goes on if it is among the best third of
those that came so far. Over seeds: at equal evaluations its runs are held against those of the best trial, task by task
and seed by seed, and it goes on unless they are worse by Wilcoxon's signed-rank test. A trial of which a run has failed
is told as failed at once. What a cancelled run has computed stays; its place in the pack is given to nobody, but a pack
of which half is gone goes on as a smaller one.
"""

import time
import warnings
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import WilcoxonPruner

from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.tuning.search import MARKS, OpenTrial
from harness.tuning.study import Objective, Study

# Seconds between two looks.
INTERVAL = 5.0

# Trials that reach a rung for each that goes on, and evaluations before a rung for each before the rung below it.
REDUCTION = 3

# The test over seeds: its level, and pairs below which even the clearest difference does not reach it.
LEVEL, FEWEST_PAIRS = 0.1, 4

Rows = list[dict[str, Any]]


class EarlyStopping:
    """Looks at the open trials of a batch whose runs lie in `root`."""

    def __init__(self, study: Study, root: Path, trials: Sequence[OpenTrial]):
        self.study, self.root = study, root
        self.open = list(trials)
        self._next = time.monotonic() + INTERVAL

    def watch(self) -> None:
        """Look, if it is time to."""
        if time.monotonic() >= self._next:
            self.look()
            self._next = time.monotonic() + INTERVAL

    def look(self) -> None:
        """Tell and cancel what should not go on."""
        for trial in list(self.open):
            folders = trial.folders(self.root)
            states = [folder.state for folder in folders]
            if set(states) <= {RunState.DONE}:
                self.open.remove(trial)
            elif RunState.FAILED in states:
                self._end(trial, folders, "a run of its trial failed", pruned=False)
            elif self.study.first_rung is not None:
                rows = [folder.metrics() for folder in folders]
                if self._falls_behind(trial, rows) or self._is_worse_than_the_best(trial, rows):
                    self._end(trial, folders, "pruned", pruned=True)

    def _end(self, trial: OpenTrial, folders: Sequence[RunFolder], reason: str, pruned: bool) -> None:
        trial.search.tell(trial.number, None, pruned)
        for folder in folders:
            if folder.state not in (RunState.DONE, RunState.FAILED):
                folder.cancel(f"study {self.study.name}: {reason}")
        self.open.remove(trial)

    def _falls_behind(self, trial: OpenTrial, rows: Sequence[Rows]) -> bool:
        """Whether successive halving stops the trial at a rung that all of its runs have reached by now."""
        reached = min(map(len, rows)) - 1
        known = trial.search.trial(trial.number).intermediate_values
        for rung in takewhile(lambda rung: rung <= reached, rungs(self.study)):
            if rung not in known:
                values = [self.study.objective.so_far(own[: rung + 1]) for own in rows]
                if trial.search.should_stop(trial.number, rung, sum(values) / len(values)):
                    return True
        return False

    def _is_worse_than_the_best(self, trial: OpenTrial, rows: Sequence[Rows]) -> bool:
        best = trial.search.best()
        if best is None or best.number == trial.number:
            return False
        others = [RunFolder(self.root / id).metrics() for id in best.user_attrs[MARKS]["runs"]]
        return is_worse(self.study.objective, rows, others, self.study.first_rung or 0)


def rungs(study: Study) -> list[int]:
    """Evaluations, beside the first, after which trials of a study are compared."""
    from harness.training.training import offline_marks, online_marks

    schedule = study.runs[0].schedule
    last = len(offline_marks(schedule)) + len(online_marks(schedule)) - 1
    found, rung = [], study.first_rung or last
    while rung < last:
        found.append(rung)
        rung *= REDUCTION
    return found


def is_worse(objective: Objective, rows: Sequence[Rows], best: Sequence[Rows], least: int) -> bool:
    """Whether runs are worse than the best trial's, pair by pair, after the evaluations that both of a pair have.

    Pairs with no more than `least` evaluations beside the first do not count yet.
    """
    pairs = [(own, other, min(len(own), len(other))) for own, other in zip(rows, best, strict=True)]
    ready = [(objective.so_far(own[:count]), objective.so_far(other[:count])) for own, other, count in pairs
             if count > least + 1]  # fmt: skip
    if len(ready) < FEWEST_PAIRS:
        return False
    values, others = zip(*ready, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=objective.direction, pruner=WilcoxonPruner(p_threshold=LEVEL))
    mean = sum(others) / len(others)
    study.add_trial(optuna.trial.create_trial(value=mean, intermediate_values=dict(enumerate(others))))
    trial = study.ask()
    for place, value in enumerate(values):
        trial.report(value, place)
    return trial.should_prune()
