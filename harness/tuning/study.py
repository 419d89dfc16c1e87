"""A study: which settings of which arms are searched, for what, on which seeds, and with how much effort."""

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

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Objective:
    """A number of `done.json` by which trials are compared, as a mean over tasks and seeds."""

    # Name in the summary.
    name: str
    direction: Literal["maximize", "minimize"]
    # The number that the rows of metrics so far give, on the same scale.
    so_far: Callable[[Rows], float]
    # Whether it needs an online phase.
    online: bool = True


def last_score(rows: Rows) -> float:
    """Score of the last evaluation."""
    return float(rows[-1]["score"])


def last_offline_score(rows: Rows) -> float:
    """Score of the last evaluation before the switch."""
    return last_score([row for row in rows if row["phase"] == "offline"])


def mean_regret(rows: Rows) -> float:
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


# What the tuned variant of an arm is called.
TUNED = "_tuned"

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A search for every group of arms, each with the same space and the same number of trials."""

    name: str
    # The runs that will be reported, with the settings that the arms have without tuning.
    runs: tuple[Run, ...]
    # What is searched, by dotted path.
    space: Mapping[str, BaseDistribution]
    # Name of the number that is optimised, see `OBJECTIVES`.
    goal: str = "final_score"
    # Seeds of every trial's runs; none of them is reported.
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    # Trials of every arm; the first has the settings without tuning.
    trials: int = 32
    # Evaluations after which a trial may be stopped early, and again after 3, 9, ... times as many; none: never.
    first_rung: int | None = None
    # Seed of the samplers.
    seed: int = 0
    # Whether all arms share the settings of a trial, which then counts by their mean; otherwise each is searched alone.
    together: bool = False

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Names of groups of arms that share their settings, and those arms, in the order of the runs."""
        arms = tuple(dict.fromkeys(run.arm for run in self.runs))
        return {"+".join(arms): arms} if self.together else {arm: (arm,) for arm in arms}

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.goal]

    def check(self) -> None:
        """Raise UserError for what cannot be searched, or would not be fair."""
        if self.goal not in OBJECTIVES:
            raise UserError(f"study {self.name}: objective {self.goal!r}: there is no such objective; "
                            f"one of {', '.join(OBJECTIVES)}")  # fmt: skip
        if self.objective.online and not all(run.schedule.online_steps for run in self.runs):
            raise UserError(f"study {self.name}: objective {self.goal!r} needs an online phase; "
                            "schedule.online_steps = 0")  # fmt: skip
        both = sorted(set(self.seeds) & {run.seed for run in self.runs})
        if both:
            raise UserError(f"study {self.name}: seed {both[0]} is for tuning and for reporting; they must differ")
        for group in self.groups:
            default = self.defaults(group)
            for path, distribution in self.space.items():
                if not distribution._contains(distribution.to_internal_repr(default[path])):
                    raise UserError(f"study {self.name}: {path} = {default[path]!r} of arm {group}, without tuning, is "
                                    f"not in the searched {described(distribution)}")  # fmt: skip
                for end in ends(distribution):
                    with_settings(self.of_group(group)[0], {path: end}, source=f"study {self.name}")

    def of_group(self, group: str) -> list[Run]:
        """The runs of a group without tuning, one per task and arm."""
        arms = self.groups[group]
        return list({(run.task, run.arm): run for run in self.runs if run.arm in arms}.values())

    def defaults(self, group: str) -> dict[str, Any]:
        """The searched settings as the group has them without tuning; UserError where its runs differ in them."""
        found: dict[str, Any] = {}
        for path in self.space:
            values = [setting(run, path, f"study {self.name}") for run in self.of_group(group)]
            if any(value != values[0] for value in values):
                raise UserError(
                    f"study {self.name}: {path} of {group} differs between its tasks or arms; tune them apart"
                )
            found[path] = values[0]
        return found

    def runs_of_trial(self, group: str, settings: Settings) -> list[Run]:
        """The runs of a trial: every task and arm with every tuning seed."""
        return [
            with_settings(run, {**settings, "seed": seed}, source=f"study {self.name}")
            for run in self.of_group(group)
            for seed in self.seeds
        ]

    def tuned_runs(self, group: str, settings: Settings) -> list[Run]:
        """The group's reported runs with other settings, its arms under names of their own."""
        return [
            with_settings(run, {**settings, "arm": run.arm + TUNED}, source=f"study {self.name}")
            for run in self.runs
            if run.arm in self.groups[group]
        ]

    def definition(self) -> dict[str, Any]:
        """What must not change while a study goes on, in plain values; more trials are welcome."""
        return {
            "arms": {group: [run.id for run in self.runs_of_trial(group, {})] for group in self.groups},
            "space": {path: json.loads(distribution_to_json(each)) for path, each in self.space.items()},
            "objective": self.goal,
            "direction": self.objective.direction,
            "seeds": list(self.seeds),
            "first_rung": self.first_rung,
            "seed": self.seed,
        }


def setting(run: Run, path: str, source: str) -> Any:
    """A setting by dotted path; UserError that names a similar one if there is none."""
    value: Any = run_to_dict(with_settings(run, {}, source))
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            # Says which there is.
            with_settings(run, {path: None}, source)
        value = value[part]
    return value


def ends(distribution: BaseDistribution) -> Sequence[Any]:
    """The smallest and the largest value, or all choices."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return distribution.low, distribution.high
        case CategoricalDistribution():
            return distribution.choices
    return ()


def described(distribution: BaseDistribution) -> str:
    """A range or some choices in words."""
    values = ends(distribution)
    if isinstance(distribution, CategoricalDistribution):
        return f"choices {', '.join(map(repr, values))}"
    scale = ", logarithmic" if getattr(distribution, "log", False) else ""
    return f"range {values[0]:g} to {values[1]:g}{scale}"
