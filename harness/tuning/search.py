"""A search: the trials of one Optuna study, so that none is lost or counted twice when a driver is killed.

A trial counts once it has an assignment: its driver's lease, its batch and its runs. A trial without one was left by a
driver that was killed while it asked; the next driver to ask, under the same lock, marks it failed and asks again with
the same seed. The search therefore continues as if it had not been interrupted.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.settings import Run

optuna.logging.set_verbosity(optuna.logging.WARNING)

# User attribute of a trial that counts. The name is part of stored studies.
ASSIGNMENT = "marks"

# User attribute of an Optuna study: what must not change while it goes on.
DEFINITION = "definition"

# Random trials before the sampler models the objective.
STARTUP_TRIALS = 10

# From the settings of a trial to its assignment.
Assign = Callable[[dict[str, Any]], dict[str, Any]]


class Search:
    """One Optuna study. Callers hold a lock while they `ask` or `discard_unassigned`."""

    def __init__(
        self,
        storage: BaseStorage | None,
        name: str,
        space: Mapping[str, BaseDistribution],
        direction: Literal["maximize", "minimize"],
        seed: int = 0,
        first: Mapping[str, Any] | None = None,
        pruner: BasePruner | None = None,
        definition: Mapping[str, Any] | None = None,
        create: bool = True,
    ):
        """Create or continue the study; `first`: settings of the first trial; without `storage` it is kept in memory.

        Without `create` it must exist. Raises UserError if it was created with another `definition`.
        """
        self.space, self.seed, self.first = dict(space), seed, dict(first or {})
        self.storage = storage or InMemoryStorage()
        sampler, pruner = RandomSampler(seed=0), pruner or NopPruner()
        if create:
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=name,
                direction=direction,
                load_if_exists=True,
                sampler=sampler,
                pruner=pruner,
            )
        else:
            try:
                self.study = optuna.load_study(study_name=name, storage=self.storage, sampler=sampler, pruner=pruner)
            except KeyError:
                raise UserError(f"study {name}: not found in its storage; start it first") from None
        expected, stored = dict(definition or {}), self.study.user_attrs.get(DEFINITION)
        if stored is None and create:
            self.study.set_user_attr(DEFINITION, expected)
        elif stored != expected:
            differing = [key for key, value in expected.items() if (stored or {}).get(key) != value]
            raise UserError(f"study {name}: was created with different {', '.join(differing) or 'settings'}; "
                            "choose another --root, storage or study")  # fmt: skip

    @property
    def name(self) -> str:
        return self.study.study_name

    def trials(self) -> list[FrozenTrial]:
        """The trials that count, in order."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if ASSIGNMENT in trial.user_attrs]

    def open_trials(self) -> list[FrozenTrial]:
        """The trials that count and are not finished."""
        return [trial for trial in self.trials() if not trial.state.is_finished()]

    def trial(self, number: int) -> FrozenTrial:
        """A trial by its number."""
        return self.study.get_trials(deepcopy=False)[number]

    def discard_unassigned(self) -> int:
        """Mark trials without an assignment as failed; returns how many there were. Call it under the lock."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        unassigned = [trial for trial in running if ASSIGNMENT not in trial.user_attrs]
        for trial in unassigned:
            self.tell(trial.number, None)
        return len(unassigned)

    def ask(self, assign: Assign) -> FrozenTrial:
        """A new trial with its assignment. Call it under the lock, after `discard_unassigned`."""
        count = len(self.trials())
        if count == 0 and self.first and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(self.first)
        self.study.sampler = self._sampler(count)
        trial = self.study.ask(self.space)
        trial.set_user_attr(ASSIGNMENT, assign(trial.params))
        return self.trial(trial.number)

    def tell(self, number: int, value: float | None, pruned: bool = False) -> bool:
        """Finish a trial with a value, as `pruned`, or as failed if the value is None.

        Returns False if it was finished before; its first result is kept.
        """
        if self.trial(number).state.is_finished():
            return False
        state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
        with warnings.catch_warnings():
            # Another process may finish the trial after the check above.
            warnings.simplefilter("ignore")
            self.study.tell(number, value, state=state, skip_if_finished=True)
        return True

    def should_stop(self, number: int, evaluations: int, value: float) -> bool:
        """Report the value of an open trial after some evaluations; returns whether the pruner stops it there."""
        # A Trial samples when it is created; this sampler does so at no cost, and the trial has its settings already.
        self.study.sampler = RandomSampler(seed=0)
        study_id = self.storage.get_study_id_from_name(self.name)
        trial = optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))
        if evaluations not in self.trial(number).intermediate_values:
            trial.report(value, evaluations)
        return trial.should_prune()

    def best(self) -> FrozenTrial | None:
        """The completed trial with the best value, the first of equals; None while there is none."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        if not complete:
            return None
        sign = -1 if self.study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    def _sampler(self, count: int) -> BaseSampler:
        """The sampler of the trial after `count` others, with a seed that follows from the study and the count."""
        digest = hashlib.sha256(f"{self.seed} {self.name} {count}".encode()).digest()
        return TPESampler(
            seed=int.from_bytes(digest[:4], "big"), n_startup_trials=STARTUP_TRIALS, multivariate=True,
            constant_liar=True,
        )  # fmt: skip


@dataclass(frozen=True)
class OpenTrial:
    """A trial of an arm's search that is not finished, with its runs."""

    search: Search
    number: int
    runs: tuple[Run, ...]

    def folders(self, root: Path) -> list[RunFolder]:
        """The folders of its runs."""
        return [RunFolder.of(root, run) for run in self.runs]
