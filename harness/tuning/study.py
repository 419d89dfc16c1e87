"""A study: which settings of which arms are searched, for which objective, on which seeds, with how many trials."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from harness.errors import UserError
from harness.settings import Run, run_to_dict, with_settings

# The metrics of one run, a dictionary per evaluation.
MetricRows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Objective:
    """A metric by which trials are compared, averaged over their runs."""

    # Name in `done.json`.
    name: str
    direction: Literal["maximize", "minimize"]
    # Its value for an unfinished run, from the evaluations so far.
    so_far: Callable[[MetricRows], float]
    # Whether it needs an online phase.
    online: bool = True


def last_score(rows: MetricRows) -> float:
    """Score of the last evaluation."""
    return float(rows[-1]["score"])


def last_offline_score(rows: MetricRows) -> float:
    """Score of the last evaluation before the switch."""
    return last_score([row for row in rows if row["phase"] == "offline"])


def mean_regret(rows: MetricRows) -> float:
    """1 - mean score over the evaluations so far."""
    return 1.0 - float(np.mean([row["score"] for row in rows]))


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("final_score", "maximize", last_score, online=False),
        Objective("offline_score", "maximize", last_offline_score, online=False),
        Objective("regret_eval", "minimize", mean_regret),
    )
}


# Suffix of the name of an arm with tuned settings.
TUNED = "_tuned"

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A search for each group of arms, with the same space and the same number of trials for all."""

    name: str
    # The runs that are reported, with the default settings of their arms.
    runs: tuple[Run, ...]
    # Search space by dotted path of the setting.
    space: Mapping[str, BaseDistribution]
    # Name of the objective, see `OBJECTIVES`.
    goal: str = "final_score"
    # Seeds of the runs of every trial; no reported run may have one of them.
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    # Trials of every arm; the first has the default settings.
    trials: int = 32
    # Evaluations before a trial may be pruned, and again after 3, 9, ... times as many; None: trials are never pruned.
    first_rung: int | None = None
    # Seed of the samplers.
    seed: int = 0
    # Whether all arms share the settings of a trial, whose value is their mean; otherwise each arm is searched alone.
    together: bool = False

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Arms that share their settings, by the name of the group, in the order of the runs."""
        arms = tuple(dict.fromkeys(run.arm for run in self.runs))
        return {"+".join(arms): arms} if self.together else {arm: (arm,) for arm in arms}

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.goal]

    def check(self) -> None:
        """Raise UserError if the study cannot be searched or its comparison would not be fair."""
        if self.goal not in OBJECTIVES:
            raise UserError(f"study {self.name}: unknown objective {self.goal!r}; "
                            f"choose one of {', '.join(OBJECTIVES)}")  # fmt: skip
        if self.objective.online and not all(run.schedule.online_steps for run in self.runs):
            raise UserError(f"study {self.name}: objective {self.goal!r} needs an online phase; "
                            "schedule.online_steps = 0")  # fmt: skip
        shared = sorted(set(self.seeds) & {run.seed for run in self.runs})
        if shared:
            raise UserError(
                f"study {self.name}: seed {shared[0]} is used for tuning and for reporting; use different seeds"
            )
        for group in self.groups:
            default = self.defaults(group)
            for path, distribution in self.space.items():
                if not contains(distribution, default[path]):
                    raise UserError(f"study {self.name}: default {path} = {default[path]!r} of arm {group} is "
                                    f"outside the search space: {described(distribution)}")  # fmt: skip
                for end in ends(distribution):
                    with_settings(self.of_group(group)[0], {path: end}, source=f"study {self.name}")

    def of_group(self, group: str) -> list[Run]:
        """The runs of a group with default settings, one per task and arm."""
        arms = self.groups[group]
        return list({(run.task, run.arm): run for run in self.runs if run.arm in arms}.values())

    def defaults(self, group: str) -> dict[str, Any]:
        """The default values of the searched settings; raises UserError if the runs of the group differ in them."""
        defaults: dict[str, Any] = {}
        for path in self.space:
            values = [setting(run, path, f"study {self.name}") for run in self.of_group(group)]
            if any(value != values[0] for value in values):
                raise UserError(
                    f"study {self.name}: {path} of {group} differs between its tasks or arms; tune them separately"
                )
            defaults[path] = values[0]
        return defaults

    def runs_of_trial(self, group: str, settings: Settings) -> list[Run]:
        """The runs of a trial: every task and arm with every tuning seed."""
        return [
            with_settings(run, {**settings, "seed": seed}, source=f"study {self.name}")
            for run in self.of_group(group)
            for seed in self.seeds
        ]

    def tuned_runs(self, group: str, settings: Settings) -> list[Run]:
        """The reported runs of a group with tuned settings, their arms renamed with the suffix `_tuned`."""
        return [
            with_settings(run, {**settings, "arm": run.arm + TUNED}, source=f"study {self.name}")
            for run in self.runs
            if run.arm in self.groups[group]
        ]

    def definition(self) -> dict[str, Any]:
        """What must not change while a study goes on, in plain values. The number of trials may grow."""
        return {
            "arms": {group: [run.id for run in self.runs_of_trial(group, {})] for group in self.groups},
            "space": {
                path: json.loads(distribution_to_json(distribution)) for path, distribution in self.space.items()
            },
            "objective": self.goal,
            "direction": self.objective.direction,
            "seeds": list(self.seeds),
            "first_rung": self.first_rung,
            "seed": self.seed,
        }


def setting(run: Run, path: str, source: str) -> Any:
    """A setting by dotted path; raises UserError with the most similar one if it does not exist."""
    value: Any = run_to_dict(with_settings(run, {}, source))
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            # Raises the error.
            with_settings(run, {path: None}, source)
        value = value[part]
    return value


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can draw a value."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
                return False
            steps = (value - distribution.low) / (distribution.step or 1.0)
            return distribution.step is None or abs(steps - round(steps)) < 1e-8
        case CategoricalDistribution():
            return value in distribution.choices
    return False


def ends(distribution: BaseDistribution) -> Sequence[Any]:
    """The smallest and largest value, or all choices."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return distribution.low, distribution.high
        case CategoricalDistribution():
            return distribution.choices
    return ()


def described(distribution: BaseDistribution) -> str:
    """A distribution in words."""
    values = ends(distribution)
    if isinstance(distribution, CategoricalDistribution):
        return f"choices {', '.join(map(repr, values))}"
    scale = ", logarithmic" if getattr(distribution, "log", False) else ""
    return f"range {values[0]:g} to {values[1]:g}{scale}"
