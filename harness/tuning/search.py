"""A search: the trials of one Optuna study, asked for and told so that nothing is lost or counted twice.

A trial counts from the moment its marks are written: what it computes, and for whom. One without marks was left by a
process that was ended while it asked; whoever asks next, under the same lock, tells it as failed and asks again with
the same seed, so the search goes the same way as if nothing had happened.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna import Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.settings import Run

optuna.logging.set_verbosity(optuna.logging.WARNING)

# User attribute of a trial that counts.
MARKS = "marks"

# User attribute of an Optuna study: what must not change.
DEFINITION = "definition"

# Trials with settings drawn at random before the sampler has something to learn from.
STARTUP_TRIALS = 10

# What a trial is marked with, by its settings.
Mark = Callable[[dict[str, Any]], dict[str, Any]]


class Search:
    """One Optuna study. Whoever asks, or corrects what others left, holds a lock against all who do."""

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: Mapping[str, BaseDistribution],
        direction: Literal["maximize", "minimize"],
        seed: int = 0,
        first: Mapping[str, Any] | None = None,
        pruner: BasePruner | None = None,
        definition: Mapping[str, Any] | None = None,
    ):
        """Begin or continue the study; `first` are the settings of the first trial.

        Raises UserError if it was begun with another `definition`.
        """
        self.space, self.seed, self.first = dict(space), seed, dict(first or {})
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=direction,
            load_if_exists=True,
            sampler=RandomSampler(seed=0),
            pruner=pruner or NopPruner(),
        )
        begun = self.study.user_attrs.get(DEFINITION)
        if begun is None:
            self.study.set_user_attr(DEFINITION, dict(definition or {}))
        elif begun != dict(definition or {}):
            differing = [key for key in (definition or {}) if begun.get(key) != (definition or {})[key]]
            raise UserError(f"study {name}: was begun with other {', '.join(differing) or 'settings'}; "
                            "name another --root or storage, or another study")  # fmt: skip

    @property
    def name(self) -> str:
        return self.study.study_name

    def trials(self) -> list[FrozenTrial]:
        """The trials that count, in their order."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if MARKS in trial.user_attrs]

    def open_trials(self) -> list[FrozenTrial]:
        """Those of them that nobody has told the end of."""
        return [trial for trial in self.trials() if not trial.state.is_finished()]

    def correct(self) -> int:
        """Tell what was left while it was asked for as failed; returns how many those were. Under the lock."""
        left = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if not trial.state.is_finished() and MARKS not in trial.user_attrs
        ]
        for trial in left:
            self.tell(trial.number, None)
        return len(left)

    def ask(self, mark: Mark) -> FrozenTrial:
        """A new trial with its marks. Under the lock, after `correct`."""
        self.study.sampler = self._sampler(len(self.trials()))
        trial = self.study.ask(self.space)
        trial.set_user_attr(MARKS, mark(trial.params))
        return self.trial(trial.number)

    def trial(self, number: int) -> FrozenTrial:
        """A trial by its number."""
        return self.study.get_trials(deepcopy=False)[number]

    def tell(self, number: int, value: float | None, pruned: bool = False) -> bool:
        """Tell a trial's value; None: it failed, or was `pruned`. False if its end was told before, which stays."""
        if self.trial(number).state.is_finished():
            return False
        state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
        with warnings.catch_warnings():
            # Another process may tell it between the look and the word.
            warnings.simplefilter("ignore")
            self.study.tell(number, value, state=state, skip_if_finished=True)
        return True

    def should_stop(self, number: int, evaluations: int, value: float) -> bool:
        """Report the value of an open trial after some evaluations; whether its pruner would stop it there."""
        self.study.sampler = RandomSampler(seed=0)
        trial = Trial(self.study, self.trial(number)._trial_id)
        if evaluations not in self.trial(number).intermediate_values:
            trial.report(value, evaluations)
        return trial.should_prune()

    def best(self) -> FrozenTrial | None:
        """The completed trial with the best value, the first of equal ones; None while there is none."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        if not complete:
            return None
        sign = -1 if self.study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    def _sampler(self, count: int) -> BaseSampler:
        """The sampler of the trial that comes after `count` others: the same one however often it is asked for."""
        digest = hashlib.sha256(f"{self.seed} {self.name} {count}".encode()).digest()
        tpe = TPESampler(
            seed=int.from_bytes(digest[:4], "big"), n_startup_trials=STARTUP_TRIALS, multivariate=True,
            constant_liar=True,
        )  # fmt: skip
        if count or not self.first:
            return tpe
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return PartialFixedSampler(self.first, tpe)


@dataclass(frozen=True)
class OpenTrial:
    """One trial of an arm's search."""

    search: Search
    number: int
    runs: tuple[Run, ...]

    def folders(self, root: Path) -> list[RunFolder]:
        """The folders of its runs."""
        return [RunFolder.of(root, run) for run in self.runs]
