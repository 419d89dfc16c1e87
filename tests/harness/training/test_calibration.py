"""Two-sided calibration: shares by hand, and one estimate of V_mu for all runs on the same data."""

import numpy as np
import pytest
import torch

from harness.data.dataset import ensure_dataset
from harness.environments.families import exact_values
from harness.settings import Run, Schedule, with_settings
from harness.tasks.registry import base_run
from harness.training.calibration import behaviour_value, calibration_shares
from harness.training.floor_fits import FitStore

SHORT_FIT = {"behaviour_value.max_steps": 100}


def test_shares_by_hand():
    q = torch.tensor([1.0, 2.0, 3.0, 4.0, 2.0])
    behaviour = torch.tensor([2.0, 2.0, 1.0, 1.0, 3.0])
    policy = torch.tensor([3.0, 2.0, 3.5, 3.0, 1.0])
    # Below both; equal to both; between; above both; below one and above the other.
    shares = calibration_shares(q, behaviour, policy)
    assert shares == pytest.approx({"calibrated_share": 0.4, "below_behaviour_share": 0.4, "above_policy_share": 0.4})


def value(run, tmp_path, states):
    function = behaviour_value(run, ensure_dataset(run.task), FitStore(tmp_path))
    return None if function is None else function(states)


def test_all_arms_and_seeds_are_compared_with_one_estimate(tiny_task, tmp_path):
    schedule = Schedule(calibration_value="td")
    states = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32))
    runs = [
        with_settings(Run(tiny_task, arm, seed, schedule=schedule), {"floor.base": base})
        for arm, base, seed in (("cql", "none", 3), ("learned", "learned", 4))
    ]
    first, second = (value(run, tmp_path / run.arm, states) for run in runs)
    assert first.shape == (5,)
    assert torch.equal(first, second)
    other = with_settings(runs[0], {"schedule.calibration_value": "success_only"})
    assert not torch.equal(first, value(other, tmp_path, states))
    assert value(with_settings(runs[0], {"schedule.calibration_value": "none"}), tmp_path, states) is None


def test_known_values_are_used(tmp_path):
    run = with_settings(base_run("winding-road", "demo", 0), {"schedule.calibration_value": "td"})
    states = torch.tensor([[0.1], [0.5], [0.9]])
    exact = exact_values(run.task).behaviour(states.double().numpy())
    assert value(run, tmp_path, states).numpy() == pytest.approx(exact, rel=1e-6)
