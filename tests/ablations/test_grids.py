"""The grids name the runs they say they name."""

from collections import Counter
from itertools import product

import pytest

from ablations.arms import BASELINES, IMPLEMENTATIONS, OPTIONS, PUSH_DOWNS
from ablations.grids import DISPUTED, GRIDS, STUDIED, runs_of
from harness.environments.exact_values import exact_values
from harness.errors import UserError
from harness.settings import HostedData
from harness.tasks.ogbench import DEFAULTS
from harness.tasks.registry import SCALES, SHORT_HORIZON


@pytest.mark.parametrize(("name", "scale"), product(GRIDS, SCALES))
def test_every_grid_names_each_run_once(name, scale):
    runs = runs_of(name, scale)
    assert runs
    assert len({run.id for run in runs}) == len(runs)


def test_floors_crosses_five_arms_with_six_seeds():
    runs = runs_of("floors")
    arms = ("cql", "monte_carlo", "learned", "inflated_0.25", "inflated_1")
    assert Counter(run.arm for run in runs) == dict.fromkeys(arms, 6)
    assert {run.seed for run in runs} == set(range(6))


def test_floors_at_paper_scale_has_the_published_sizes():
    runs = runs_of("floors", "paper")
    assert len(runs) == (3 + 12) * 5 * 10
    mazes = [run for run in runs if "maze" in run.task.name]
    assert {run.schedule.offline_steps for run in mazes} == {1_000_000}
    assert {run.algorithm.critic_hidden for run in mazes} == {(256, 256, 256, 256)}


@pytest.mark.parametrize("scale", SCALES)
def test_paper_is_the_published_comparison_at_any_scale(scale):
    runs = runs_of("paper", scale)
    assert Counter(run.arm for run in runs) == {"cql": 120, "monte_carlo": 120}
    assert Counter(run.task.name.split("-")[0] for run in runs) == {
        "antmaze": 120, "kitchen": 60, "pen": 20, "door": 20, "relocate": 20,
    }  # fmt: skip
    for run in runs:
        assert run.schedule.mixing_ratio == 0.5
        assert (run.algorithm.n_actions, run.algorithm.max_backup) == (10, "min_then_max")
        assert isinstance(run.task.data, HostedData)
    # The two arms of a seed differ in the floor alone.
    assert len({(run.task, run.algorithm, run.schedule, run.seed) for run in runs}) == 120


@pytest.mark.parametrize("scale", SCALES)
def test_ogbench_has_the_default_task_of_each_dataset(scale):
    runs = runs_of("ogbench", scale)
    assert Counter((run.task.name, run.arm) for run in runs) == {
        (name, arm): 10 for name in DEFAULTS for arm in ("cql", "monte_carlo")
    }
    assert {run.task.name.split("-")[-2] for run in runs if "-puzzle" in f"-{run.task.name}"} == {"task4"}


def test_truth_crosses_the_floors_and_the_exact_one_with_six_seeds():
    runs = runs_of("truth")
    assert Counter(run.arm for run in runs) == {**dict.fromkeys((run.arm for run in runs_of("floors")), 6), "exact": 6}
    for scale in SCALES:
        assert all(exact_values(run.task) is not None for run in runs_of("truth", scale))


def test_doses_share_runs_with_truth():
    """The same run is the same folder, so either grid continues the other."""
    shared = {run.id for run in runs_of("doses")} & {run.id for run in runs_of("truth")}
    assert len(shared) == 4 * 6, "cql, monte_carlo, inflated_0.25 and inflated_1"


def test_truncation_differs_in_the_rule_alone():
    naive, rule = (
        [run for run in runs_of("truncation") if run.arm == arm] for arm in ("naive_truncation", "monte_carlo")
    )
    assert {run.floor.truncation for run in naive} == {"sum"}
    assert {run.floor.truncation for run in rule} == {"failure_rule"}
    assert all(run.task.horizon == SHORT_HORIZON for run in naive)


def test_implementation_has_four_whole_ones_and_single_switches_at_demo_scale():
    """With the Lagrange form and cut trajectories every arm changes something."""
    runs = runs_of("implementation")
    assert Counter(run.arm for run in runs) == dict.fromkeys((*OPTIONS, *IMPLEMENTATIONS), 6)
    assert {run.task.name for run in runs} == {"winding-road-short"}
    assert all(run.algorithm.lagrange for run in runs)


def test_implementation_leaves_out_arms_that_change_nothing_on_a_task():
    arms = {name: set() for name in DISPUTED}
    for run in runs_of("implementation", "paper"):
        arms[run.task.name].add(run.arm)
    everything = {*OPTIONS, *IMPLEMENTATIONS}
    of_multiplier = {"multiplier_from_one", "multiplier_softplus", "multiplier_for_alpha", "gap_without_alpha"}
    assert arms["antmaze-medium-play"] == arms["antmaze-umaze-diverse"] == everything
    # WSRL's Cal-QL differs from the reference in the Lagrange form alone, its CQL in that and the online batches.
    without_lagrange = everything - of_multiplier - {"wsrl_like", "wsrl_like_cql"}
    assert arms["pen-binary"] == without_lagrange
    # Neither densities nor a failure rule.
    assert arms["kitchen-mixed"] == without_lagrange - {"floor_after_density", "no_failure_rule"}


@pytest.mark.parametrize("scale", SCALES)
def test_study_crosses_tasks_arms_and_ten_seeds(scale):
    runs = runs_of("study", scale)
    arms = Counter((run.task.name, run.arm) for run in runs)
    assert set(arms.values()) == {10}
    assert {task for task, _ in arms} == set(STUDIED)
    assert Counter(task for task, _ in arms) == {**dict.fromkeys(STUDIED, 19), "winding-road": 20}
    assert {(run.schedule.online_steps, run.schedule.dense_interval, run.schedule.dense_steps) for run in runs} == {
        (5_000, 500, 5_000)
    }


def test_arms_of_the_study_share_task_and_settings():
    """All but the arms of the push-down and the reference lines differ in the floor alone."""
    others = {*PUSH_DOWNS, *BASELINES}
    runs = [run for run in runs_of("study") if run.arm not in others]
    assert len({(run.task, run.algorithm, run.schedule) for run in runs}) == len(STUDIED)


def test_smoke_is_two_arms_with_two_seeds_on_one_task():
    runs = runs_of("smoke")
    assert [(run.arm, run.seed) for run in runs] == [("cql", 0), ("cql", 1), ("monte_carlo", 0), ("monte_carlo", 1)]
    assert {run.task.name for run in runs} == {"pointmaze-umaze"}
    assert all(run.schedule.offline_steps and run.schedule.online_steps for run in runs)


def test_arms_share_everything_but_the_floor():
    """Paired comparisons need the same task, data, schedule and algorithm in every arm."""
    runs = runs_of("floors")
    assert len({(run.task, run.schedule, run.algorithm) for run in runs}) == 1


def test_unknown_names_are_one_line():
    with pytest.raises(
        UserError,
        match="grid 'flors': there is no such grid; one of floors, paper, truth, doses, truncation, impl",
    ):
        runs_of("flors")
    with pytest.raises(UserError, match="scale 'huge': unknown scale; choose one of demo, paper"):
        runs_of("smoke", "huge")
