"""Early stopping of trials while their runs train: unpromising trials are pruned and their runs cancelled.

Two rules. Over steps, successive halving: at a rung a trial continues if it is among the best third of the trials that
have reached the rung. Over seeds: the runs of a trial are compared at equal evaluations with those of the best trial,
task by task and seed by seed, and the trial is pruned if they are worse by Wilcoxon's signed-rank test. A trial with a
failed run fails at once. The results of cancelled runs are kept; no other run takes their place in the pack, but a pack
that has lost half of its runs continues as a smaller one.
"""

import time
import warnings
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import optuna
from optuna.pruners import WilcoxonPruner

from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.training.timing import offline_marks, online_marks
from harness.tuning.search import ASSIGNMENT, OpenTrial
from harness.tuning.study import MetricRows, Objective, Study

# Seconds between two checks.
INTERVAL = 5.0

# One of this many trials survives a rung, and a rung has this many times the evaluations of the one before.
REDUCTION = 3

# The test over seeds: its level, and the number of pairs below which no difference can reach that level.
LEVEL, FEWEST_PAIRS = 0.1, 4


class EarlyStopping:
    """Checks the open trials of a batch, whose runs are in `root`."""

    def __init__(self, study: Study, root: Path, trials: Sequence[OpenTrial]):
        self.study, self.root = study, root
        self.open = list(trials)
        self._next = time.monotonic() + INTERVAL

    def watch(self) -> None:
        """Check if `INTERVAL` has passed since the last check."""
        if time.monotonic() >= self._next:
            self.check()
            self._next = time.monotonic() + INTERVAL

    def check(self) -> None:
        """Finish and cancel the trials that should stop."""
        for trial in list(self.open):
            folders = trial.folders(self.root)
            states = {folder.state for folder in folders}
            if states <= {RunState.DONE}:
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

    def _falls_behind(self, trial: OpenTrial, rows: Sequence[MetricRows]) -> bool:
        """Whether successive halving stops the trial at a rung that all its runs have reached."""
        reached = min(map(len, rows)) - 1
        reported = trial.search.trial(trial.number).intermediate_values
        for rung in takewhile(lambda rung: rung <= reached, rungs(self.study)):
            if rung not in reported:
                values = [self.study.objective.so_far(run_rows[: rung + 1]) for run_rows in rows]
                if trial.search.should_stop(trial.number, rung, sum(values) / len(values)):
                    return True
        return False

    def _is_worse_than_the_best(self, trial: OpenTrial, rows: Sequence[MetricRows]) -> bool:
        best = trial.search.best()
        if best is None or best.number == trial.number:
            return False
        best_rows = [RunFolder(self.root / id).metrics() for id in best.user_attrs[ASSIGNMENT]["runs"]]
        return is_worse(self.study.objective, rows, best_rows, self.study.first_rung or 0)


def rungs(study: Study) -> list[int]:
    """Numbers of evaluations, not counting the first, at which the trials of a study are compared."""
    schedule = study.runs[0].schedule
    last = len(offline_marks(schedule)) + len(online_marks(schedule)) - 1
    numbers, rung = [], study.first_rung or last
    while rung < last:
        numbers.append(rung)
        rung *= REDUCTION
    return numbers


def is_worse(objective: Objective, rows: Sequence[MetricRows], best: Sequence[MetricRows], least: int) -> bool:
    """Whether runs are significantly worse than those of the best trial, each pair at the evaluations both have.

    Pairs with no more than `least` evaluations, not counting the first, are left out.
    """
    ready = []
    for run_rows, best_rows in zip(rows, best, strict=True):
        count = min(len(run_rows), len(best_rows))
        if count > least + 1:
            ready.append((objective.so_far(run_rows[:count]), objective.so_far(best_rows[:count])))
    if len(ready) < FEWEST_PAIRS:
        return False
    values, best_values = zip(*ready, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=objective.direction, pruner=WilcoxonPruner(p_threshold=LEVEL))
    mean = sum(best_values) / len(best_values)
    study.add_trial(optuna.trial.create_trial(value=mean, intermediate_values=dict(enumerate(best_values))))
    trial = study.ask()
    for pair, value in enumerate(values):
        trial.report(value, pair)
    return trial.should_prune()
