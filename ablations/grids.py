"""The grids: functions of a scale that return runs."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ablations import fine_tuning
from ablations.arms import (
    ESTIMATOR_ARMS,
    IMPLEMENTATIONS,
    INFLATION_ARMS,
    OPTIONS,
    PROTOCOL_ARMS,
    SWITCH_ARMS,
    VALUE_ARMS,
)
from ablations.axes import grid
from algorithms.settings import AlgorithmSettings
from harness.environments.families import has_exact_values
from harness.errors import UserError
from harness.settings import Run, with_settings
from harness.tasks.hosted import COMPARED
from harness.tasks.ogbench import DEFAULTS
from harness.tasks.registry import base_run

# Tasks on which implementations are compared at paper scale: with and without the Lagrange form, importance sampling
# and a failure rule.
IMPLEMENTATION_TASKS = ("antmaze-umaze-diverse", "antmaze-medium-play", "pen-binary", "kitchen-mixed")


def floors(scale: str) -> list[Run]:
    """The main comparison: no floor, Monte Carlo, learned, and inflated at two doses."""
    arms = ("cql", "monte_carlo", "learned", "inflated_0.25", "inflated_1")
    if scale == "demo":
        return grid(("pointmaze-medium",), arms, range(6), scale)
    return grid(("pointmaze-umaze", "pointmaze-medium", "pointmaze-large", *COMPARED), arms, range(10), scale)


def paper(scale: str) -> list[Run]:
    """CQL and Cal-QL on the tasks of the papers, with the published settings at every scale."""
    return grid(COMPARED, ("cql", "monte_carlo"), range(10), "paper")


def ogbench(scale: str) -> list[Run]:
    """CQL and Cal-QL on the default task of each OGBench dataset, with the settings of its table at every scale.

    Separate from `paper`: OGBench's data must be downloaded by hand, and a grid has the same runs on every machine.
    """
    return grid(DEFAULTS, ("cql", "monte_carlo"), range(10), "paper")


def truth(scale: str) -> list[Run]:
    """The floors, including the exact one, on a task whose values are known."""
    arms = ("cql", "monte_carlo", "learned", "exact", "inflated_0.25", "inflated_1")
    return grid(("winding-road",), arms, range(6 if scale == "demo" else 10), scale)


def doses(scale: str) -> list[Run]:
    """Size of the floor: none, deflated, inflated at three doses, noisy, and constant."""
    arms = (
        "cql", "deflated_0.25", "monte_carlo", "inflated_0.25", "inflated_0.5", "inflated_1", "noisy_0.25",
        "constant_0",
    )  # fmt: skip
    return grid(("winding-road",), arms, range(6 if scale == "demo" else 10), scale)


def estimators(scale: str) -> list[Run]:
    """Estimators of the floor on a task whose values are known, with and without truncated trajectories."""
    arms = ("cql", "monte_carlo", "exact", "learned", *ESTIMATOR_ARMS)
    return grid(("winding-road", "winding-road-short"), arms, range(6 if scale == "demo" else 10), scale)


def inflation_kinds(scale: str) -> list[Run]:
    """Kinds of inflation, values of other policies, and no floor, on a task whose values are known."""
    arms = ("cql", "monte_carlo", "exact", "optimal", "inflated_0.25", *INFLATION_ARMS, *VALUE_ARMS)
    return grid(("winding-road",), arms, range(6 if scale == "demo" else 10), scale)


def switch(scale: str) -> list[Run]:
    """CQL and Cal-QL with what can change at the switch: regulariser, offline data, scale of the critics."""
    arms = ("cql", "monte_carlo", *SWITCH_ARMS)
    return grid(("fetch-pick-and-place",), arms, range(6 if scale == "demo" else 10), scale)


def protocols(scale: str) -> list[Run]:
    """Protocols of fine-tuning: CQL, Cal-QL, SAC after them, WSRL, RLPD's, and SAC without offline data."""
    arms = ("cql", "monte_carlo", "cql_then_sac", "cal_ql_then_sac", *PROTOCOL_ARMS)
    return grid(("fetch-pick-and-place",), arms, range(6 if scale == "demo" else 10), scale)


def truncation(scale: str) -> list[Run]:
    """Returns-to-go of truncated trajectories: the failure rule, the naive sum, and the exact floor."""
    arms = ("cql", "monte_carlo", "naive_truncation", "exact")
    return grid(("winding-road-short",), arms, range(6 if scale == "demo" else 10), scale)


def implementation(scale: str) -> list[Run]:
    """Four implementations, each as Cal-QL and as CQL, and every option on which they disagree.

    ablations/arms.py documents the arms, and the differences without an arm. Arms without effect on a task (options of
    the multiplier without the Lagrange form, for example) are omitted there.
    """
    arms = (*OPTIONS, *IMPLEMENTATIONS)
    if scale != "demo":
        return _distinct(grid(IMPLEMENTATION_TASKS, arms, range(10), scale))
    # Half of the trajectories of this task are truncated, so failure rules matter; so does the multiplier with the
    # Lagrange form. At a success rate of 1 the difference is 2.3. With target gaps of 0.8 to 2.3 the multiplier grows
    # to 12 or more and the success rate stays at or below 0.5; with a gap of 3, and without the Lagrange form, CQL and
    # Cal-QL reach 1 (one seed).
    runs = grid(("winding-road-short",), arms, range(6), scale)
    lagrange = {"algorithm.lagrange": True, "algorithm.target_action_gap": 3.0}
    return _distinct([with_settings(run, lagrange, source="grid implementation") for run in runs])


def _distinct(runs: Iterable[Run]) -> list[Run]:
    """Drop runs that repeat an earlier run under the name of another arm."""
    first: dict[Run, Run] = {}
    for run in runs:
        first.setdefault(_effective_settings(run), run)
    return list(first.values())


def _effective_settings(run: Run) -> Run:
    """Return the run without its arm's name, with unused settings reset to their defaults."""
    algorithm, floor = run.algorithm, run.floor
    if not algorithm.lagrange:
        unused = ("lagrange_alpha", "lagrange_multiplier", "lagrange_initial_log")
        algorithm = replace(algorithm, **{name: getattr(AlgorithmSettings(), name) for name in unused})
    if not algorithm.importance_sampling:
        algorithm = replace(algorithm, floor_after_density=False)
    if run.task.failure_reward is None:
        floor = replace(floor, truncation="failure_rule")
    return replace(run, arm="any", algorithm=algorithm, floor=floor)


# Offline updates by task of the grid `study`: mazes with narrow and wide data, robot arms, and the winding road, whose
# values are known. Each is evaluated five times offline, including before training.
STUDY_TASKS = {
    "pointmaze-umaze-narrow": 6_000,
    "pointmaze-umaze-wide": 6_000,
    "pointmaze-medium-narrow": 12_000,
    "pointmaze-medium-wide": 12_000,
    "pointmaze-large-narrow": 12_000,
    "pointmaze-large-wide": 12_000,
    "fetch-reach": 6_000,
    "fetch-push": 12_000,
    "winding-road": 2_500,
}


def study(scale: str) -> list[Run]:
    """All floors on nine tasks with 10 seeds; the same runs at every scale."""
    arms = (
        "no_push_down", "behaviour_cloning", "cql", "monte_carlo", "learned", "learned_online", "deflated_0.25",
        "inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1", "noisy_0.1", "noisy_0.25", "noisy_0.5",
        "constant_mean", "naive_truncation", "calibrated_offline", "uniform_floor", "expectation",
    )  # fmt: skip
    known_values = [task for task in STUDY_TASKS if has_exact_values(base_run(task, "demo", seed=0).task)]
    return [*_study_runs(STUDY_TASKS, arms), *_study_runs(known_values, ("exact",))]


def _study_runs(tasks: Iterable[str], arms: Iterable[str]) -> list[Run]:
    runs = []
    for task in tasks:
        runs += grid((task,), arms, range(10), "demo", settings=study_schedule(task))
    return runs


def study_schedule(task: str) -> dict[str, int]:
    """The schedule of the grid `study` as settings: 5,000 online steps, evaluated every 500."""
    offline_steps = STUDY_TASKS[task]
    return {
        "schedule.offline_steps": offline_steps,
        "schedule.offline_interval": offline_steps // 4,
        "schedule.online_steps": 5_000,
        "schedule.dense_steps": 5_000,
        "schedule.dense_interval": 500,
    }


def best_value(scale: str) -> list[Run]:
    """Floors up to the value of the best policy and above, where it is known: where does inflation begin to hurt?

    Ten datasets with two seeds each; the same runs at every scale.
    """
    arms = (
        "cql", "exact", "value_gap_0.25", "value_gap_0.5", "optimal", "value_gap_2", "inflated_0.1", "inflated_0.25",
    )  # fmt: skip
    seeds = (fine_tuning.FIRST_SEED, fine_tuning.FIRST_SEED + 1)
    task = "winding-road"
    return grid((task,), arms, seeds, "demo", fine_tuning.DATA_SEEDS, study_schedule(task))


def smoke(scale: str) -> list[Run]:
    """All phases on a tiny task in under a minute, to check that everything works."""
    tiny = {
        "task.data.transitions": 600,
        "algorithm.policy_hidden": (32, 32),
        "algorithm.critic_hidden": (32, 32),
        "algorithm.batch_size": 32,
        "algorithm.n_actions": 2,
        "behaviour_value.hidden": (32, 32),
        "behaviour_value.max_steps": 200,
        "schedule.offline_steps": 400,
        "schedule.online_steps": 600,
        "schedule.updates_per_step": 1,
        "schedule.evaluation_episodes": 2,
        "schedule.offline_interval": 200,
        "schedule.online_interval": 300,
        "schedule.dense_interval": 150,
        "schedule.dense_steps": 300,
        "schedule.probe_states": 64,
    }
    runs = grid(("pointmaze-umaze",), ("cql", "monte_carlo"), range(2), scale)
    return [with_settings(run, tiny, source="grid smoke") for run in runs]


GRIDS: dict[str, Callable[[str], list[Run]]] = {
    "demo": fine_tuning.demo,
    "floors": floors,
    "paper": paper,
    "truth": truth,
    "doses": doses,
    "truncation": truncation,
    "implementation": implementation,
    "study": study,
    "ogbench": ogbench,
    "estimators": estimators,
    "inflation_kinds": inflation_kinds,
    "best_value": best_value,
    "dip": fine_tuning.dip,
    "cause": fine_tuning.cause,
    "remedies": fine_tuning.remedies,
    "mixed_data": fine_tuning.mixed_data,
    "mixed_data_long": fine_tuning.mixed_data_long,
    "alphas": fine_tuning.alphas,
    "floor_error": fine_tuning.floor_error,
    "switch": switch,
    "protocols": protocols,
    "smoke": smoke,
}


def runs_of(name: str, scale: str = "demo") -> list[Run]:
    """Return the runs of a grid.

    Raises UserError for an unknown grid.
    """
    if name not in GRIDS:
        raise UserError(f"grid {name!r}: unknown grid; choose one of {', '.join(GRIDS)}")
    return GRIDS[name](scale)
