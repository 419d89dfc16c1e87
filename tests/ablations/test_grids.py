"""The grids contain the documented runs."""

from collections import Counter
from itertools import product

import pytest

from ablations.arms import BASELINES, IMPLEMENTATIONS, OPTIONS, PUSH_DOWNS
from ablations.grids import GRIDS, IMPLEMENTATION_TASKS, STUDY_TASKS, grid, runs_of
from harness.data.files import dataset_id
from harness.environments.families import exact_values
from harness.errors import UserError
from harness.settings import HostedData, pack_key
from harness.tasks.ogbench import DEFAULTS
from harness.tasks.registry import SCALES, SHORT_HORIZON


@pytest.mark.parametrize(("name", "scale"), product(GRIDS, SCALES))
def test_every_grid_contains_each_run_once(name, scale):
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
def test_paper_is_the_published_comparison_at_every_scale(scale):
    runs = runs_of("paper", scale)
    assert Counter(run.arm for run in runs) == {"cql": 120, "monte_carlo": 120}
    assert Counter(run.task.name.split("-")[0] for run in runs) == {
        "antmaze": 120, "kitchen": 60, "pen": 20, "door": 20, "relocate": 20,
    }  # fmt: skip
    for run in runs:
        assert run.schedule.mixing_ratio == 0.5
        assert (run.algorithm.n_actions, run.algorithm.max_backup) == (10, "min_then_max")
        assert isinstance(run.task.data, HostedData)
    # The two arms of a seed differ only in the floor.
    assert len({(run.task, run.algorithm, run.schedule, run.seed) for run in runs}) == 120


@pytest.mark.parametrize("scale", SCALES)
def test_ogbench_has_the_default_task_of_each_dataset(scale):
    runs = runs_of("ogbench", scale)
    assert Counter((run.task.name, run.arm) for run in runs) == {
        (name, arm): 10 for name in DEFAULTS for arm in ("cql", "monte_carlo")
    }
    assert {run.task.name.split("-")[-2] for run in runs if "-puzzle" in f"-{run.task.name}"} == {"task4"}


def test_truth_adds_the_exact_floor_to_floors_with_six_seeds():
    runs = runs_of("truth")
    assert Counter(run.arm for run in runs) == {**dict.fromkeys((run.arm for run in runs_of("floors")), 6), "exact": 6}
    for scale in SCALES:
        assert all(exact_values(run.task) is not None for run in runs_of("truth", scale))


def test_doses_share_runs_with_truth():
    """Equal runs share a run folder, so each grid reuses the runs of the other."""
    shared = {run.id for run in runs_of("doses")} & {run.id for run in runs_of("truth")}
    assert len(shared) == 4 * 6, "cql, monte_carlo, inflated_0.25 and inflated_1"


def test_truncation_arms_differ_only_in_the_rule():
    naive, rule = (
        [run for run in runs_of("truncation") if run.arm == arm] for arm in ("naive_truncation", "monte_carlo")
    )
    assert {run.floor.truncation for run in naive} == {"sum"}
    assert {run.floor.truncation for run in rule} == {"failure_rule"}
    assert all(run.task.horizon == SHORT_HORIZON for run in naive)


def test_implementation_has_all_implementations_and_options_at_demo_scale():
    """With the Lagrange form and truncated trajectories, every arm has an effect."""
    runs = runs_of("implementation")
    assert Counter(run.arm for run in runs) == dict.fromkeys((*OPTIONS, *IMPLEMENTATIONS), 6)
    assert {run.task.name for run in runs} == {"winding-road-short"}
    assert all(run.algorithm.lagrange for run in runs)


def test_implementation_omits_arms_without_effect_on_a_task():
    arms = {name: set() for name in IMPLEMENTATION_TASKS}
    for run in runs_of("implementation", "paper"):
        arms[run.task.name].add(run.arm)
    everything = {*OPTIONS, *IMPLEMENTATIONS}
    multiplier_options = {"multiplier_from_one", "multiplier_softplus", "multiplier_for_alpha", "gap_without_alpha"}
    assert arms["antmaze-medium-play"] == arms["antmaze-umaze-diverse"] == everything
    # WSRL's Cal-QL differs from the reference only in the Lagrange form, its CQL also in the online batches.
    without_lagrange = everything - multiplier_options - {"wsrl_like", "wsrl_like_cql"}
    assert arms["pen-binary"] == without_lagrange
    # Without importance sampling and failure rule.
    assert arms["kitchen-mixed"] == without_lagrange - {"floor_after_density", "no_failure_rule"}


@pytest.mark.parametrize("scale", SCALES)
def test_study_crosses_tasks_arms_and_ten_seeds(scale):
    runs = runs_of("study", scale)
    arms = Counter((run.task.name, run.arm) for run in runs)
    assert set(arms.values()) == {10}
    assert {task for task, _ in arms} == set(STUDY_TASKS)
    assert Counter(task for task, _ in arms) == {**dict.fromkeys(STUDY_TASKS, 19), "winding-road": 20}
    assert {(run.schedule.online_steps, run.schedule.dense_interval, run.schedule.dense_steps) for run in runs} == {
        (5_000, 500, 5_000)
    }


def test_arms_of_study_share_task_and_settings():
    """All arms except the push-down variants and the baselines differ only in the floor."""
    others = {*PUSH_DOWNS, *BASELINES}
    runs = [run for run in runs_of("study") if run.arm not in others]
    assert len({(run.task, run.algorithm, run.schedule) for run in runs}) == len(STUDY_TASKS)


def test_smoke_is_two_arms_with_two_seeds_on_one_task():
    runs = runs_of("smoke")
    assert [(run.arm, run.seed) for run in runs] == [("cql", 0), ("cql", 1), ("monte_carlo", 0), ("monte_carlo", 1)]
    assert {run.task.name for run in runs} == {"pointmaze-umaze"}
    assert all(run.schedule.offline_steps and run.schedule.online_steps for run in runs)


def test_arms_of_floors_differ_only_in_the_floor():
    """Paired comparisons need the same task, data, schedule and algorithm in every arm."""
    runs = runs_of("floors")
    assert len({(run.task, run.schedule, run.algorithm) for run in runs}) == 1


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        UserError,
        match="grid 'flors': unknown grid; choose one of demo, floors, paper, truth, doses, truncation, impl",
    ):
        runs_of("flors")
    with pytest.raises(UserError, match="scale 'huge': unknown scale; choose one of demo, paper"):
        runs_of("smoke", "huge")


def test_a_grid_crosses_data_seeds_with_seeds():
    runs = grid(("winding-road",), ("cql", "monte_carlo"), range(4), "demo", data_seeds=range(5))
    assert Counter((run.task.data_seed, run.arm) for run in runs) == {
        (data_seed, arm): 4 for data_seed in range(5) for arm in ("cql", "monte_carlo")
    }
    assert len({run.id for run in runs}) == 40
    assert len({dataset_id(run.task) for run in runs}) == 5
    # Runs on other data cannot share a pack.
    assert len({pack_key(run) for run in runs}) == 5


def test_data_seed_0_leaves_runs_unchanged():
    first = grid(("winding-road",), ("cql",), range(2), "demo", data_seeds=(0, 1))[:2]
    assert first == grid(("winding-road",), ("cql",), range(2), "demo")
    hosted = grid(("antmaze-umaze",), ("cql",), (0,), "paper", data_seeds=(0,))
    assert hosted == grid(("antmaze-umaze",), ("cql",), (0,), "paper")


def test_hosted_data_have_no_other_seed():
    with pytest.raises(UserError, match="data seed 1: the data of antmaze-umaze are hosted, not collected; use data"):
        grid(("antmaze-umaze",), ("cql",), (0,), "paper", data_seeds=(0, 1))
