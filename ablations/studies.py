"""The studies: functions of a scale that return an Optuna search over settings of runs."""

from collections.abc import Callable
from functools import partial
from itertools import product

from optuna.distributions import CategoricalDistribution, FloatDistribution

from ablations.arms import with_arm
from ablations.grids import STUDY_TASKS, runs_of, study_schedule
from harness.errors import UserError
from harness.settings import Run, with_settings
from harness.tasks.registry import base_run
from harness.tuning.study import Study


def runs_of_arms(grid: str, scale: str, *arms: str) -> tuple[Run, ...]:
    """Return the runs of a grid that belong to some of its arms."""
    return tuple(run for run in runs_of(grid, scale) if run.arm in arms)


def smoke(scale: str) -> Study:
    """Every step of a study, in minutes."""
    return Study(
        name="smoke",
        runs=runs_of_arms("smoke", scale, "cql", "monte_carlo"),
        space={
            "algorithm.alpha": FloatDistribution(0.1, 100.0, log=True),
            "algorithm.critic_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        },
        goal="regret_eval",
    )


def floors(scale: str) -> Study:
    """Regulariser weight, learning rates, entropy and CQL temperature of CQL and Cal-QL on the demo maze."""
    return Study(
        name="floors",
        runs=tuple(
            run for run in runs_of_arms("floors", scale, "cql", "monte_carlo") if run.task.name == "pointmaze-medium"
        ),
        space={
            "algorithm.alpha": FloatDistribution(0.5, 100.0, log=True),
            "algorithm.policy_learning_rate": FloatDistribution(3e-5, 3e-3, log=True),
            "algorithm.critic_learning_rate": FloatDistribution(1e-4, 3e-3, log=True),
            "algorithm.entropy_temperature_initial": FloatDistribution(0.03, 1.0, log=True),
            "algorithm.temperature": FloatDistribution(0.3, 3.0, log=True),
        },
        goal="regret_eval",
        seeds=tuple(range(1000, 1005)),
        trials=64,
        first_rung=2,
    )


def doses(scale: str) -> Study:
    """Inflation of the floor on the winding road, and whether the floor stays active online."""
    return Study(
        name="doses",
        runs=runs_of_arms("doses", scale, "monte_carlo"),
        space={
            "floor.inflation": FloatDistribution(-0.5, 0.5),
            "floor.active_online": CategoricalDistribution([True, False]),
        },
        goal="regret_eval",
        seeds=tuple(range(1000, 1006)),
        first_rung=2,
    )


def shared_settings(task: str, scale: str) -> Study:
    """The settings that all arms of the grid `study` share on a task, searched for CQL and Cal-QL together.

    The same at every scale.
    """
    return Study(
        name=f"study-{task}",
        runs=tuple(
            with_settings(with_arm(base_run(task, "demo", seed, tuned=False), arm), study_schedule(task))
            for arm, seed in product(("cql", "monte_carlo"), range(10))
        ),
        space={
            "algorithm.alpha": FloatDistribution(0.3, 100.0, log=True),
            "algorithm.policy_learning_rate": FloatDistribution(2e-4, 4e-3, log=True),
            "algorithm.critic_learning_rate": FloatDistribution(3e-4, 3e-3, log=True),
            "algorithm.entropy_temperature_initial": FloatDistribution(0.01, 0.5, log=True),
        },
        goal="regret_eval",
        seeds=(1000, 1001),
        trials=8,
        first_rung=4,
        together=True,
    )


STUDIES: dict[str, Callable[[str], Study]] = {
    "smoke": smoke,
    "floors": floors,
    "doses": doses,
    **{f"study-{task}": partial(shared_settings, task) for task in STUDY_TASKS},
}


def study_of(name: str, scale: str = "demo") -> Study:
    """Return a study by name.

    Raises UserError for an unknown study.
    """
    if name not in STUDIES:
        raise UserError(f"study {name!r}: unknown study; choose one of {', '.join(STUDIES)}")
    return STUDIES[name](scale)
