"""Which trajectories the networks of a learned floor see, and how their estimates are combined."""

import numpy as np
import pytest
import torch

from algorithms.behaviour_value import FitReport
from harness.data.dataset import ensure_dataset
from harness.environments.families import exact_values
from harness.errors import UserError
from harness.settings import Run, Task, with_settings
from harness.training.floor_columns import FloorColumns
from harness.training.learned_floors import Split
from harness.training.transitions import Transitions
from tests.support.trajectories import dataset, trajectory

TASK = Task(name="hand-made", environment="none", horizon=10, failure_reward=-1.0, discount=0.5)
# Every fourth trajectory fails.
DATA = dataset(*(trajectory(start, 5, terminated=start % 4 != 0) for start in range(40)))
SUCCESSFUL = np.arange(40) % 4 != 0
ESTIMATORS = ["regression", "out_of_fold", "td", "expectile", "quantile", "ensemble", "success_only"]


def run_of(seed=0, task=TASK, **settings):
    changes = {f"behaviour_value.{name}": value for name, value in {"max_steps": 60, **settings}.items()}
    return with_settings(Run(task, "arm", seed), {"floor.base": "learned", **changes})


def floors_of(*runs, data=DATA, states=()):
    transitions = Transitions(data, len(runs), capacity=10)
    floors = FloorColumns(runs, data, transitions, states)
    return transitions.floor[:, : transitions.offline], floors


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_network_is_fitted_to_trajectories_that_it_may_not_see(estimator):
    split = Split.of(run_of(estimator=estimator, trajectories=0.8), SUCCESSFUL)
    fitted = ~split.excluded & ~split.held_out
    assert fitted.any(1).all()
    assert split.held_out.any(1).all()
    assert not (split.excluded & split.held_out).any()
    if estimator != "success_only":
        assert (~split.excluded).any(0).sum() == 32
    else:
        assert not (~split.excluded & ~SUCCESSFUL).any()
        assert (split.reported & ~SUCCESSFUL).any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_fit_to_a_share_is_judged_by_the_rest_of_the_data(estimator):
    run = run_of(estimator=estimator, trajectories=0.2)
    split = Split.of(run, SUCCESSFUL)
    unused = split.excluded.all(0)
    assert unused.sum() >= 32
    assert split.reported[unused & SUCCESSFUL].all()
    assert not (split.reported & (~split.excluded & ~split.held_out).all(0)).any()
    column, floors = floors_of(run)
    rows = torch.from_numpy(split.reported.repeat(5))
    returns = floors.transitions.return_to_go[0, : rows.numel()]
    error = (column[0] - returns)[rows]
    report = floors.fit_reports[0]
    assert report.held_out_rmse == pytest.approx(error.square().mean().sqrt().item(), rel=1e-5)
    assert report.held_out_bias == pytest.approx(error.mean().item(), abs=1e-5)


def test_out_of_fold_networks_have_not_seen_the_trajectories_they_value():
    split = Split.of(run_of(estimator="out_of_fold", folds=4), SUCCESSFUL)
    assert np.bincount(split.folds).tolist() == [10] * 4
    for trajectory_number, fold in enumerate(split.folds):
        assert split.excluded[fold, trajectory_number]
        others = np.delete(split.excluded[:, trajectory_number], fold)
        assert not others.any()


def test_out_of_fold_values_do_not_depend_on_the_returns_of_their_trajectory():
    """Trajectory 7 gets other rewards: the values of its states do not change, those of others do."""
    changed = dataset(*(
        trajectory(start, 5, terminated=start % 4 != 0, reward=-1.0 if start != 7 else -5.0) for start in range(40)
    ))  # fmt: skip
    run = run_of(estimator="out_of_fold", folds=4)
    first, second = floors_of(run)[0][0], floors_of(run, data=changed)[0][0]
    rows = slice(35, 40)
    assert torch.equal(first[rows], second[rows])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("seed", [1, 6])
def test_estimates_are_the_same_alone_in_a_pack_and_restored(estimator, seed):
    run = run_of(seed, estimator=estimator)
    column, floors = floors_of(run)
    with_others, packed = floors_of(run_of(0, estimator=estimator), run)
    assert torch.equal(column[0], with_others[1])
    assert packed.fit_reports[1] == floors.fit_reports[0]
    restored, again = floors_of(run, states=[floors.state(0)])
    assert torch.equal(restored, column)
    for columns in (floors, again):
        columns.append(0, trajectory(20, 3))
    assert torch.equal(again.transitions.floor[0, :-7], floors.transitions.floor[0, :-7])
    assert FitReport(**vars(floors.fit_reports[0])) == again.fit_reports[0]


def test_a_lower_bound_lies_below_the_mean_of_its_members():
    mean = floors_of(run_of(estimator="ensemble"))[0]
    bound = floors_of(run_of(estimator="ensemble", deviations=2.0))[0]
    assert (bound < mean).all()


def test_successes_only_overestimate():
    report = floors_of(run_of(estimator="success_only", max_steps=500))[1].fit_reports[0]
    assert report.held_out_bias > 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "out_of_fold", "folds": 30}, "20 trajectories are too few for 30 folds"),
        ({"estimator": "success_only"}, "only 1 of the trajectories succeed; at least 2 must"),
    ],
)
def test_too_few_trajectories_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Split.of(run_of(**settings), np.arange(20) == 3)


@pytest.mark.parametrize("estimator", ["regression", "td", "ensemble"])
def test_the_error_against_the_truth_is_reported_where_it_is_known(road_task, estimator):
    data = ensure_dataset(road_task)
    column, floors = floors_of(run_of(task=road_task, estimator=estimator), data=data)
    states = data.rows.table[:, :1].astype(np.float64)
    error = column[0].double().numpy() - exact_values(road_task).behaviour(states)
    report = floors.fit_reports[0]
    assert report.exact_bias == pytest.approx(error.mean(), rel=1e-5)
    assert report.exact_rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
