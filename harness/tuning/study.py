"""A study: which settings of which arms are searched, for what, on which seeds, and with how much effort."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from harness.errors import UserError
from harness.settings import Run, run_to_dict, with_settings
from harness.tuning.objective import OBJECTIVES, Objective

# What the tuned variant of an arm is called.
TUNED = "_tuned"

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A search for every arm on its own, each with the same space and the same number of trials."""

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

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, in the order of the runs."""
        return tuple(dict.fromkeys(run.arm for run in self.runs))

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
        for arm in self.arms:
            default = self.defaults(arm)
            for path, distribution in self.space.items():
                if not distribution._contains(distribution.to_internal_repr(default[path])):
                    raise UserError(f"study {self.name}: {path} = {default[path]!r} of arm {arm}, without tuning, is "
                                    f"not in the searched {described(distribution)}")  # fmt: skip
                for end in ends(distribution):
                    with_settings(self.of_arm(arm)[0], {path: end}, source=f"study {self.name}")

    def of_arm(self, arm: str) -> list[Run]:
        """The runs of an arm without tuning, one per task."""
        return list({run.task: run for run in self.runs if run.arm == arm}.values())

    def defaults(self, arm: str) -> dict[str, Any]:
        """The searched settings as the arm has them without tuning; UserError where its tasks differ in them."""
        found: dict[str, Any] = {}
        for path in self.space:
            values = [setting(run, path, f"study {self.name}") for run in self.of_arm(arm)]
            if any(value != values[0] for value in values):
                raise UserError(f"study {self.name}: {path} of arm {arm} differs between its tasks; tune them apart")
            found[path] = values[0]
        return found

    def runs_of_trial(self, arm: str, settings: Settings) -> list[Run]:
        """The runs of a trial: every task with every tuning seed."""
        return [
            with_settings(run, {**settings, "seed": seed}, source=f"study {self.name}")
            for run in self.of_arm(arm)
            for seed in self.seeds
        ]

    def tuned_runs(self, arm: str, settings: Settings) -> list[Run]:
        """The arm's reported runs with other settings, under a name of their own."""
        return [
            with_settings(run, {**settings, "arm": arm + TUNED}, source=f"study {self.name}")
            for run in self.runs
            if run.arm == arm
        ]

    def definition(self) -> dict[str, Any]:
        """What must not change while a study goes on, in plain values; more trials are welcome."""
        return {
            "arms": {arm: [run.id for run in self.runs_of_trial(arm, {})] for arm in self.arms},
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
