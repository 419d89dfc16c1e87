"""The behaviour policy run again: its mean return is V_mu, and the error of a learned floor against it."""

import numpy as np
import pytest

from harness.data.dataset import ensure_dataset
from harness.environments.families import exact_values
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.tasks.registry import base_run
from harness.training.behaviour_rollouts import behaviour_returns, floor_error
from harness.training.training import train_pack

SHORT = {"schedule.offline_steps": 10, "schedule.offline_interval": 10, "schedule.online_steps": 0,
         "schedule.evaluation_episodes": 1, "task.data.transitions": 2_000, "floor.base": "learned"}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with a learned floor on the winding road."""
    run = with_settings(base_run("winding-road", "demo", 0), SHORT)
    ensure_dataset(run.task)
    (folder,) = commit([run], tmp_path_factory.mktemp("floor"))
    train_pack([folder])
    return folder


def test_mean_returns_are_the_exact_value():
    run = base_run("winding-road", "demo", 0)
    states, returns = behaviour_returns(run, starts=10, repeats=40)
    assert returns.shape == (10, 40)
    exact = exact_values(run.task).behaviour(states.astype(np.float64))
    errors = returns.mean(1) - exact
    assert (returns.std(1) > 0).all()
    # The mean of 400 returns, within four standard errors.
    assert abs(errors.mean()) < 4 * np.sqrt(returns.var(1, ddof=1).mean() / returns.size)


def test_episodes_of_a_start_differ_only_in_noise_and_depend_on_the_seed():
    run = base_run("fetch-reach", "demo", 0)
    states, returns = behaviour_returns(run, starts=2, repeats=2)
    again, same = behaviour_returns(run, starts=2, repeats=2)
    np.testing.assert_array_equal(states, again)
    np.testing.assert_array_equal(returns, same)
    assert not np.array_equal(states[0], states[1])
    assert not np.array_equal(states, behaviour_returns(run, 2, 2, seed=1)[0])


def test_the_error_of_a_learned_floor_agrees_with_the_exact_one(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    error = floor_error(str(finished.path), starts=20, repeats=20)
    assert (error.starts, error.repeats) == (20, 20)
    assert error.rmse >= 0
    assert error.bias**2 <= error.rmse**2 + 4 * error.standard_error**2 + 1e-9
    known = finished.summary()["learned_floor"]
    # Over the dataset instead of the starts, and exact.
    assert abs(error.bias - known["exact_bias"]) < 4 * error.standard_error + 2 * known["exact_rmse"]
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_what_cannot_be_run_again_is_refused_in_one_line(finished, tmp_path):
    run = finished.run()
    with pytest.raises(UserError, match="starts = 1, repeats = 20: must be at least 2"):
        floor_error(finished, starts=1)
    other = with_settings(run, {"floor.base": "monte_carlo"})
    (folder,) = commit([other], tmp_path)
    with pytest.raises(UserError, match="has no floor learned from its dataset; choose a run with"):
        floor_error(RunFolder(folder.path))
    with pytest.raises(UserError, match="hosted; data collected by the scripted controller"):
        behaviour_returns(base_run("antmaze-umaze", "paper", 0), 2, 2)
    wandering = with_settings(base_run("pointmaze-medium", "demo", 0), {"task.data.wander_steps": 50})
    with pytest.raises(UserError, match="wander_steps = 50: the policy that wanders cannot be run"):
        behaviour_returns(wandering, 2, 2)
    misdirected = with_settings(base_run("fetch-reach", "demo", 0), {"task.data.misdirected": 0.5})
    with pytest.raises(UserError, match=r"misdirected = 0.5: episodes that head for another episode's goal"):
        behaviour_returns(misdirected, 2, 2)
