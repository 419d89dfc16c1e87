"""The studies: a function of a scale that says what is tuned."""

from collections.abc import Callable
from functools import partial
from itertools import product

from optuna.distributions import CategoricalDistribution, FloatDistribution

from ablations.arms import with_arm
from ablations.grids import STUDIED, runs_of, studied
from harness.errors import UserError
from harness.settings import Run
from harness.tasks.registry import base_run
from harness.tuning.study import Study


def arms_of(grid: str, scale: str, *arms: str) -> tuple[Run, ...]:
    """The runs of some arms of a grid."""
    return tuple(run for run in runs_of(grid, scale) if run.arm in arms)


def smoke(scale: str) -> Study:
    """Everything that a study does, in minutes."""
    return Study(
        name="smoke",
        runs=arms_of("smoke", scale, "cql", "monte_carlo"),
        space={
            "algorithm.alpha": FloatDistribution(0.1, 100.0, log=True),
            "algorithm.critic_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        },
        goal="regret_eval",
    )


def floors(scale: str) -> Study:
    """CQL and Cal-QL on the maze of the demo: the weight of the regulariser, learning rates, entropy, temperature."""
    return Study(
        name="floors",
        runs=tuple(
            run for run in arms_of("floors", scale, "cql", "monte_carlo") if run.task.name == "pointmaze-medium"
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
    """How much floor is best on the road, and whether it stays on in the online phase."""
    return Study(
        name="doses",
        runs=arms_of("doses", scale, "monte_carlo"),
        space={
            "floor.inflation": FloatDistribution(-0.5, 0.5),
            "floor.active_online": CategoricalDistribution([True, False]),
        },
        goal="regret_eval",
        seeds=tuple(range(1000, 1006)),
        first_rung=2,
    )


def of_task(task: str, scale: str) -> Study:
    """The settings that all arms of grid `study` share on one of its tasks, for CQL and Cal-QL together; one scale."""
    return Study(
        name=f"study-{task}",
        runs=tuple(
            studied(with_arm(base_run(task, "demo", seed, tuned=False), arm))
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
    **{f"study-{task}": partial(of_task, task) for task in STUDIED},
}


def study_of(name: str, scale: str = "demo") -> Study:
    """A study by name."""
    if name not in STUDIES:
        raise UserError(f"study {name!r}: there is no such study; one of {', '.join(STUDIES)}")
    return STUDIES[name](scale)
