"""Floor columns of a pack, for the dataset and for online episodes."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from ablations.arms import with_arm
from algorithms.inflation import INFLATIONS
from harness.data.dataset import ensure_dataset
from harness.environments.families import exact_values
from harness.launching.preflight import ONLINE_ESTIMATORS
from harness.settings import Run, Task, with_settings
from harness.training.floor_columns import FloorColumns
from harness.training.transitions import Transitions
from tests.support.trajectories import dataset, trajectory

TASK = Task(name="hand-made", environment="none", horizon=10, failure_reward=-1.0, discount=0.5)
# A success of 3 steps: returns -1.5, -1, 0. A failure of 2 steps: -2.
DATA = dataset(trajectory(0, 3), trajectory(10, 2, terminated=False))


def columns(*floors, seed=0):
    runs = [with_settings(Run(TASK, "arm", seed), {f"floor.{key}": value for key, value in f.items()}) for f in floors]
    transitions = Transitions(DATA, len(runs), capacity=10)
    return transitions, FloorColumns(runs, DATA, transitions)


def test_runs_have_separate_columns():
    transitions, _ = columns(
        {"base": "none"}, {}, {"truncation": "sum"}, {"inflation": 0.5}, {"base": "constant", "constant": -7.0}
    )
    assert transitions.floor[:, :5].tolist() == [
        [-inf] * 5,
        [-1.5, -1.0, 0.0, -2.0, -2.0],
        [-1.5, -1.0, 0.0, -1.5, -1.0],
        # Half the return range (2) more.
        [-0.5, 0.0, 1.0, -1.0, -1.0],
        [-7.0] * 5,
    ]


def test_online_episodes_get_columns_of_the_same_kind():
    transitions, floors = columns({}, {"base": "none"}, {"inflation": 1.0}, {"active_online": False})
    floors.begin_online()
    for run in range(4):
        floors.append(run, trajectory(20, 2))
    assert transitions.floor[:, 5:7].tolist() == [[-1.0, 0.0], [-inf] * 2, [1.0, 2.0], [-inf] * 2]
    assert transitions.return_to_go[:, 5:7].tolist() == [[-1.0, 0.0]] * 4
    assert transitions.floor[3, :5].tolist() == [-inf] * 5
    assert transitions.floor[0, :5].tolist() == [-1.5, -1.0, 0.0, -2.0, -2.0]


def test_noise_is_shared_by_arms_of_a_seed():
    first, _ = columns({"noise": 0.5}, {"noise": 0.5, "inflation": 0.5})
    other, _ = columns({"noise": 0.5}, seed=1)
    torch.testing.assert_close(first.floor[1, :5] - first.floor[0, :5], torch.ones(5))
    assert not torch.equal(first.floor[0, :5], other.floor[0, :5])


# On the road, whose values are known, "value_gap" has a test of its own.
@pytest.mark.parametrize("kind", [kind for kind in INFLATIONS if kind != "value_gap"])
def test_every_kind_of_inflation_is_the_same_alone_and_in_a_pack(kind):
    settings = {"inflation_kind": kind, "inflation": 0.5}
    alone, floors_alone = columns(settings)
    packed, floors_packed = columns({}, {"inflation_kind": "correlated_error", "inflation": 1.0}, settings)
    for floors, number in ((floors_alone, 0), (floors_packed, 2)):
        floors.append(number, trajectory(20, 3))
    assert torch.equal(alone.floor[0, :8], packed.floor[2, :8])
    assert not torch.equal(packed.floor[2, :5], packed.floor[0, :5])


def test_restored_runs_continue_the_errors_of_their_online_transitions():
    settings = {"inflation_kind": "correlated_error", "inflation": 0.5}
    transitions, floors = columns(settings)
    floors.append(0, trajectory(20, 3))
    floors.append(0, trajectory(20, 2))
    restored, floors = columns(settings)
    floors.skip_online(0, 3)
    floors.append(0, trajectory(20, 2))
    assert torch.equal(restored.floor[0, 5:7], transitions.floor[0, 8:10])


def learning_data():
    return dataset(*(trajectory(start, 5) for start in range(40)))


def test_a_learned_floor_reports_its_error_and_reaches_online_states():
    runs = [
        with_settings(with_arm(Run(TASK, "arm", seed), arm), {"behaviour_value.max_steps": 300})
        for seed, arm in ((0, "cql"), (1, "learned"))
    ]
    data = learning_data()
    transitions = Transitions(data, 2, capacity=10)
    floors = FloorColumns(runs, data, transitions)
    assert list(floors.fit_reports) == [1]
    # The return depends on the step, which is not part of the state: values are close to the mean, about -1.3.
    column = transitions.floor[1, : transitions.offline]
    mean_return = transitions.return_to_go[1, : transitions.offline].mean().item()
    assert column.mean().item() == pytest.approx(mean_return, abs=0.3)
    floors.append(1, trajectory(20, 3))
    assert torch.isfinite(transitions.floor[1, transitions.offline : transitions.offline + 3]).all()


@pytest.mark.parametrize("estimator", ONLINE_ESTIMATORS)
def test_a_learned_floor_that_keeps_learning_fits_online_returns(estimator):
    """Every estimator follows the same rule: steps on the batch's returns-to-go, the same in any pack."""
    fit = {"behaviour_value.estimator": estimator, "behaviour_value.max_steps": 50}
    changes = {"floor.base": "learned", "floor.keeps_learning": True, **fit}
    runs = [with_settings(Run(TASK, "arm", seed), changes) for seed in (1, 0)]
    data = learning_data()

    def floors_after(runs, updates):
        transitions = Transitions(data, len(runs), capacity=10)
        floors = FloorColumns(runs, data, transitions)
        uniform = np.linspace(0, 0.999, 64)[None].repeat(len(runs), 0)
        for _ in range(updates):
            batch = transitions.batch(uniform, from_dataset=64)
            batch.return_to_go.fill_(5.0)
            batch = floors.learn_online(batch)
        return batch.floor

    alone = floors_after(runs[1:], 300)
    assert (alone - 5.0).abs().mean() < 0.5
    assert torch.equal(floors_after(runs, 300)[1:], alone)


def test_an_exact_floor_is_the_behaviour_value_offline_and_online(road_task):
    """Other tests compare V_mu on the road with roll-outs; this one tests that it reaches the columns."""
    data = ensure_dataset(road_task)
    runs = [with_settings(Run(road_task, "arm", 0), {"floor.base": base}) for base in ("exact", "monte_carlo")]
    transitions = Transitions(data, 2, capacity=200)
    floors = FloorColumns(runs, data, transitions)
    behaviour = exact_values(road_task).behaviour
    states = transitions.dataset_states.double().numpy()
    exact, monte_carlo = transitions.floor[:, : transitions.offline].double().numpy()
    np.testing.assert_allclose(exact, behaviour(states), rtol=1e-6)
    # Returns scatter around the value: within 4 standard errors, as if 10 neighbours were one return.
    error = monte_carlo - exact
    assert error.std() > 3.0
    assert abs(error.mean()) < 4.0 * error.std() / np.sqrt(len(error) / 10)
    episode = data.trajectories[0]
    floors.append(0, episode)
    online = transitions.floor[0, transitions.offline : transitions.offline + len(episode)].numpy()
    np.testing.assert_allclose(online, behaviour(episode.observations[:-1].astype(np.float64)), rtol=1e-6)


def road_columns(road_task, *floors):
    """The road's states [N] and floors [R, N], and the reports of the fits."""
    data = ensure_dataset(road_task)
    runs = [with_settings(Run(road_task, "arm", 0), floor) for floor in floors]
    transitions = Transitions(data, len(runs), capacity=10)
    reports = FloorColumns(runs, data, transitions).fit_reports
    states = transitions.dataset_states.double().numpy()
    return states, transitions.floor[:, : transitions.offline].double().numpy(), reports


def test_inflation_by_the_value_gap_leads_from_the_behaviour_to_the_optimal_value(road_task):
    settings = [
        {"floor.base": "exact", "floor.inflation_kind": "value_gap", "floor.inflation": dose} for dose in (0.5, 1)
    ]
    states, (half, complete), _ = road_columns(road_task, *settings)
    values = exact_values(road_task)
    behaviour, optimal = values.behaviour(states), values.optimal(states)
    np.testing.assert_allclose(complete, optimal, rtol=1e-5)
    np.testing.assert_allclose(half, 0.5 * (behaviour + optimal), rtol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_a_stale_exact_floor_is_the_value_of_another_policy(road_task, noise):
    states, (column,), _ = road_columns(road_task, {"floor.base": "exact", "floor.action_noise": noise})
    other = exact_values(replace(road_task, data=replace(road_task.data, action_noise=noise)))
    np.testing.assert_allclose(column, other.behaviour(states), rtol=1e-6)
    worse = exact_values(road_task).behaviour(states) - column
    assert (worse > 0.0).all() if noise else (worse < 0.0).all()


def test_a_stale_learned_floor_is_fitted_to_the_data_of_another_policy(road_task):
    fit = {"floor.base": "learned", "behaviour_value.max_steps": 500}
    run = with_settings(Run(road_task, "arm", 0), {**fit, "floor.action_noise": 0.0})
    ensure_dataset(run.floor_task)
    states, (stale,), reports = road_columns(road_task, {**fit, "floor.action_noise": 0.0})
    _, (column,), _ = road_columns(road_task, fit)
    truth = exact_values(run.floor_task).behaviour(states)
    assert np.abs(stale - truth).mean() < 0.5 * np.abs(column - truth).mean()
    assert reports[0] == road_columns(run.floor_task, fit)[2][0], "the report is about the data of the fit"
