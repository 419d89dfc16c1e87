"""The grids: a function of a scale that names runs."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

from ablations.arms import IMPLEMENTATIONS, OPTIONS, with_arm
from algorithms.settings import AlgorithmSettings
from harness.environments.exact_values import exact_values
from harness.errors import UserError
from harness.settings import Run, with_settings
from harness.tasks.hosted import COMPARED
from harness.tasks.ogbench import DEFAULTS
from harness.tasks.registry import base_run

# Tasks on which implementations are compared at paper scale: with and without Lagrange form, importance sampling and
# failure rule.
DISPUTED = ("antmaze-umaze-diverse", "antmaze-medium-play", "pen-binary", "kitchen-mixed")


def grid(tasks: Iterable[str], arms: Iterable[str], seeds: Iterable[int], scale: str) -> list[Run]:
    """Every task with every arm and seed."""
    return [with_arm(base_run(task, scale, seed), arm) for task, arm, seed in product(tasks, arms, seeds)]


def floors(scale: str) -> list[Run]:
    """What the floor does: none, exact Monte Carlo, learned, and inflated at two doses."""
    arms = ("cql", "monte_carlo", "learned", "inflated_0.25", "inflated_1")
    if scale == "demo":
        return grid(("pointmaze-medium",), arms, range(6), scale)
    return grid(("pointmaze-umaze", "pointmaze-medium", "pointmaze-large", *COMPARED), arms, range(10), scale)


def paper(scale: str) -> list[Run]:
    """The published comparison: CQL and Cal-QL on the tasks of the papers, with their settings at any scale."""
    return grid(COMPARED, ("cql", "monte_carlo"), range(10), "paper")


def ogbench(scale: str) -> list[Run]:
    """CQL and Cal-QL on the default task of each OGBench dataset, with the settings of its table at any scale.

    Not a part of `paper`: a grid names the same runs on every machine, and OGBench's data must be downloaded by hand.
    """
    return grid(DEFAULTS, ("cql", "monte_carlo"), range(10), "paper")


def truth(scale: str) -> list[Run]:
    """What the floor does where the truth is known: with the exact value as one of the floors."""
    arms = ("cql", "monte_carlo", "learned", "exact", "inflated_0.25", "inflated_1")
    return grid(("winding-road",), arms, range(6 if scale == "demo" else 10), scale)


def doses(scale: str) -> list[Run]:
    """How much floor: from none over deflated to inflated at three doses, noisy, and one number for all states."""
    arms = (
        "cql", "deflated_0.25", "monte_carlo", "inflated_0.25", "inflated_0.5", "inflated_1", "noisy_0.25",
        "constant_0",
    )  # fmt: skip
    return grid(("winding-road",), arms, range(6 if scale == "demo" else 10), scale)


def truncation(scale: str) -> list[Run]:
    """What is made of trajectories that are cut off on the way: the failure rule, the naive sum, and the truth."""
    arms = ("cql", "monte_carlo", "naive_truncation", "exact")
    return grid(("winding-road-short",), arms, range(6 if scale == "demo" else 10), scale)


def implementation(scale: str) -> list[Run]:
    """Where implementations disagree: four whole ones, each as Cal-QL and CQL, and every disagreement alone.

    What an arm means, and which rows of the table have none, is said in ablations/arms.py. An arm that
    changes nothing on a task (of the multiplier where there is no Lagrange form, say) is left out there.
    """
    arms = (*OPTIONS, *IMPLEMENTATIONS)
    if scale != "demo":
        return _distinct(grid(DISPUTED, arms, range(10), scale))
    # Half of this road's trajectories are cut off, so that failure rules matter, as does the multiplier with Lagrange.
    # Where success is 1 the difference is 2.3; with gaps of 0.8 to 2.3 the multiplier grows to 12 and more and success
    # stays at or below 0.5, with 3 and without Lagrange CQL and Cal-QL reach 1 (one seed).
    runs = grid(("winding-road-short",), arms, range(6), scale)
    lagrange = {"algorithm.lagrange": True, "algorithm.target_action_gap": 3.0}
    return _distinct([with_settings(run, lagrange, source="grid implementation") for run in runs])


def _distinct(runs: Iterable[Run]) -> list[Run]:
    """The runs without those that repeat an earlier one of their task and seed under another arm's name."""
    first: dict[Run, Run] = {}
    for run in runs:
        first.setdefault(_meaning(run), run)
    return list(first.values())


def _meaning(run: Run) -> Run:
    """The run without its arm's name, and with settings that nothing looks at as they are by default."""
    algorithm, floor = run.algorithm, run.floor
    if not algorithm.lagrange:
        unused = ("lagrange_alpha", "lagrange_multiplier", "lagrange_initial_log")
        algorithm = replace(algorithm, **{name: getattr(AlgorithmSettings(), name) for name in unused})
    if not algorithm.importance_sampling:
        algorithm = replace(algorithm, floor_after_density=False)
    if run.task.failure_reward is None:
        floor = replace(floor, truncation="failure_rule")
    return replace(run, arm="any", algorithm=algorithm, floor=floor)


# Tasks of the study: mazes with narrow and with wide data, arms, and the road whose values are known; each with its
# updates before the switch, over which it is evaluated five times, untrained included.
STUDIED = {
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


def studied(run: Run) -> Run:
    """The run with the study's schedule: after the switch an evaluation every 500 steps for 5,000."""
    offline = STUDIED[run.task.name]
    schedule = {
        "schedule.offline_steps": offline,
        "schedule.offline_interval": offline // 4,
        "schedule.online_steps": 5_000,
        "schedule.dense_steps": 5_000,
        "schedule.dense_interval": 500,
    }
    return with_settings(run, schedule, source="grid study")


def study(scale: str) -> list[Run]:
    """What the floor does, on every task and with every change of it, 10 seeds each; at any scale the same."""
    arms = (
        "no_push_down", "behaviour_cloning", "cql", "monte_carlo", "learned", "learned_online", "deflated_0.25",
        "inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1", "noisy_0.1", "noisy_0.25", "noisy_0.5",
        "constant_mean", "naive_truncation", "calibrated_offline", "uniform_floor", "expectation",
    )  # fmt: skip
    known = [task for task in STUDIED if exact_values(base_run(task, "demo", seed=0).task) is not None]
    runs = [*grid(STUDIED, arms, range(10), "demo"), *grid(known, ("exact",), range(10), "demo")]
    return [studied(run) for run in runs]


def smoke(scale: str) -> list[Run]:
    """All phases on one tiny task in under a minute: to see that everything works."""
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
    "floors": floors,
    "paper": paper,
    "truth": truth,
    "doses": doses,
    "truncation": truncation,
    "implementation": implementation,
    "study": study,
    "ogbench": ogbench,
    "smoke": smoke,
}


def runs_of(name: str, scale: str = "demo") -> list[Run]:
    """The runs of a grid by name."""
    if name not in GRIDS:
        raise UserError(f"grid {name!r}: there is no such grid; one of {', '.join(GRIDS)}")
    return GRIDS[name](scale)
