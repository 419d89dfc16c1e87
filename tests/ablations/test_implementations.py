"""The arms of implementations: the table's rows by hand, and each of them trains."""

from math import sqrt

import pytest
import torch

from ablations.arms import with_arm
from ablations.grids import runs_of
from ablations.implementations import IMPLEMENTATIONS, REFERENCE, SWITCHES
from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit, packs
from harness.settings import run_to_dict, with_settings
from harness.tasks.registry import base_run
from harness.training.training import train_pack


def differences(arm, other):
    """The settings in which two arms differ, with those of the first."""
    base = base_run("antmaze-umaze", "paper", 0)
    one, two = (run_to_dict(with_arm(base, name)) for name in (arm, other))
    return {
        f"{part}.{name}": value
        for part in ("floor", "algorithm", "schedule", "task")
        for name, value in one[part].items()
        if value != two[part][name]
    }


def test_the_reference_is_the_tasks_own_settings_where_those_are_published():
    base = base_run("antmaze-umaze", "paper", 0)
    assert with_settings(with_arm(base, "reference"), {"arm": base.arm}) == base


@pytest.mark.parametrize("arm", [arm for arm in SWITCHES if not arm.startswith("reference")])
def test_a_switch_changes_one_setting(arm):
    assert len(differences(arm, "reference_cql" if arm.startswith("cql") else "reference")) == 1
    assert set(differences(arm, "reference")) <= {*REFERENCE, "floor.base"}


def test_the_rows_of_the_table():
    assert differences("official", "reference") == {"schedule.update_block": None}
    assert differences("corl_like", "reference") == {
        "floor.active_online": False,
        "floor.truncation": "last_reward_rule",
        "algorithm.difference_min": -200.0,
        "algorithm.output_gain": pytest.approx(sqrt(2.0)),
    }
    assert differences("d3rlpy_like", "reference") == {
        "floor.truncation": "suffix_rule",
        "algorithm.max_backup": "mean_action",
        "algorithm.lagrange_initial_log": 0.0,
        "algorithm.output_gain": pytest.approx(0.57735, abs=1e-5),
        "schedule.update_block": 1000,
    }
    assert differences("wsrl_like", "reference") == {
        "algorithm.lagrange_alpha": "nothing",
        "algorithm.lagrange_multiplier": "softplus",
        "algorithm.lagrange_initial_log": 0.0,
    }


@pytest.mark.parametrize(("name", "mixing"), [("official", 0.5), ("corl", None), ("d3rlpy", 0.5), ("wsrl", 0.0)])
def test_the_cql_of_an_implementation_differs_by_the_floor_and_how_it_mixes(name, mixing):
    whole = name if name == "official" else f"{name}_like"
    also = {} if mixing == 0.5 else {"schedule.mixing_ratio": mixing}
    assert differences(f"{whole}_cql", whole) == {"floor.base": "none", **also}


def test_the_default_gain_is_that_of_torch():
    """The spread of 4,096 weights, uniform on +-1 / sqrt(inputs), within 4 standard errors of the gain."""
    torch.manual_seed(0)
    gain = IMPLEMENTATIONS["d3rlpy_like"]["algorithm.output_gain"]
    spread = torch.nn.Linear(4096, 1).weight.std().item() * sqrt(4096)
    # The standard deviation of N numbers with kurtosis 9/5 has the relative error sqrt((9/5 - 1) / 4 / N).
    assert spread == pytest.approx(gain, rel=4 * sqrt(0.2 / 4096))


TINY = {
    "task.data.transitions": 300,
    "algorithm.policy_hidden": (16, 16),
    "algorithm.critic_hidden": (16, 16),
    "algorithm.batch_size": 16,
    "algorithm.n_actions": 2,
    "schedule.offline_steps": 20,
    "schedule.offline_interval": 20,
    "schedule.online_steps": 70,
    "schedule.online_interval": 70,
    "schedule.dense_steps": 0,
    "schedule.evaluation_episodes": 1,
    "schedule.probe_states": 16,
}


def test_every_arm_trains(tmp_path):
    runs = [with_settings(run, TINY) for run in runs_of("implementation") if run.seed == 0]
    ensure_dataset(runs[0].task)
    commit(runs, tmp_path)
    for pack in packs(runs, limit=8, workers=1):
        train_pack([RunFolder.of(tmp_path, run) for run in pack])
    hashes = {}
    for run in runs:
        folder = RunFolder.of(tmp_path, run)
        assert folder.status()["state"] == "done", (run.arm, folder.status())
        last = folder.metrics()[-1]
        assert (last["updates"], last["online_step"]) == (90, 70)
        hashes[run.arm] = folder.summary()["parameters_hash"]
    # No difference comes down to -200 within a few updates.
    assert hashes.pop("difference_above_-200") == hashes["reference"]
    assert len(set(hashes.values())) == len(hashes), "every other arm computes something else"
