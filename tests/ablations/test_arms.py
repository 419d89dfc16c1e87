"""Arms are valid runs with the documented differences, and those of implementation options train."""

import dataclasses
import re
from math import sqrt
from pathlib import Path

import pytest
import torch

from ablations import arms
from ablations.arms import (
    ARMS,
    BASELINES,
    ESTIMATOR_ARMS,
    FLOOR_ARMS,
    IMPLEMENTATIONS,
    INFLATION_ARMS,
    OPTIONS,
    PROTOCOL_ARMS,
    PUSH_DOWNS,
    REFERENCE,
    REFERENCE_ARMS,
    SWITCH_ARMS,
    VALUE_ARMS,
    with_arm,
)
from ablations.grids import GRIDS, runs_of
from algorithms.floors import FLOORS
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit, packs
from harness.launching.preflight import check_estimator, check_inflation, check_settings
from harness.settings import prefix_of, run_to_dict, total_updates, with_settings
from harness.tasks.registry import base_run
from harness.training.training import train_pack


@pytest.fixture
def base():
    return base_run("pointmaze-medium", "demo", seed=3)


@pytest.mark.parametrize("arm", [*FLOOR_ARMS, *INFLATION_ARMS])
def test_a_floor_arm_changes_only_the_floor(base, arm):
    run = with_arm(base, arm)
    assert run.arm == arm
    assert run.floor.base in FLOORS
    assert dataclasses.replace(run, arm=base.arm, floor=base.floor) == base


@pytest.mark.parametrize("arm", ESTIMATOR_ARMS)
def test_an_estimator_arm_changes_only_the_floor_and_its_fit(base, arm):
    run = with_arm(base, arm)
    check_estimator(run)
    assert dataclasses.replace(run, arm=base.arm, floor=base.floor, behaviour_value=base.behaviour_value) == base


@pytest.mark.parametrize("arm", INFLATION_ARMS)
def test_an_inflation_arm_is_valid(base, arm):
    check_inflation(with_arm(base, arm).floor)


@pytest.mark.parametrize("arm", VALUE_ARMS)
def test_an_arm_of_known_values_is_valid_where_they_are_known(arm):
    check_settings([with_arm(base_run("winding-road", "demo", 0), arm)])


def test_no_two_arms_are_the_same(base):
    arms = (
        *FLOOR_ARMS,
        *ESTIMATOR_ARMS,
        *INFLATION_ARMS,
        *PUSH_DOWNS,
        *SWITCH_ARMS,
        *PROTOCOL_ARMS,
        *VALUE_ARMS,
        *BASELINES,
    )
    runs = {with_arm(base, arm) for arm in arms}
    assert len({dataclasses.replace(run, arm=base.arm) for run in runs}) == len(runs)


def test_inflated_arms_have_the_doses_of_their_names(base):
    assert with_arm(base, "monte_carlo").floor.inflation == 0.0
    assert with_arm(base, "inflated_0.25").floor.inflation == 0.25
    assert with_arm(base, "inflated_1").floor.inflation == 1.0


@pytest.mark.parametrize("arm", PUSH_DOWNS)
def test_a_push_down_arm_changes_one_setting_of_cal_ql(base, arm):
    changed, cal_ql = (run_to_dict(run)["algorithm"] for run in (with_arm(base, arm), with_arm(base, "monte_carlo")))
    assert with_arm(base, arm).floor == with_arm(base, "monte_carlo").floor
    assert len([name for name in cal_ql if changed[name] != cal_ql[name]]) == 1


@pytest.mark.parametrize("arm", SWITCH_ARMS)
def test_a_switch_arm_shares_the_offline_phase_of_its_algorithm(base, arm):
    run = with_arm(base, arm)
    algorithm = with_arm(base, "cql" if arm.startswith("cql") else "monte_carlo")
    assert run.online != algorithm.online
    assert dataclasses.replace(run, arm=algorithm.arm, online=algorithm.online) == algorithm
    check_settings([run])


@pytest.mark.parametrize("arm", PROTOCOL_ARMS)
def test_a_protocol_is_valid(arm):
    check_settings([with_arm(base_run("fetch-pick-and-place", "demo", 0), arm)])


def test_protocols_share_what_they_have_in_common():
    """WSRL and Cal-QL with its networks have one prefix; WSRL and RLPD's protocol make the same online updates."""
    base = base_run("fetch-pick-and-place", "demo", 0)
    wsrl, ensemble, rlpd, sac = (with_arm(base, arm) for arm in ("wsrl", "cal_ql_ensemble", "rlpd_like", "sac_online"))
    assert prefix_of(wsrl) == prefix_of(ensemble)
    online = [total_updates(run) - run.schedule.offline_steps for run in (wsrl, rlpd, sac)]
    assert online == [4 * (4_000 - 250)] * 2 + [4_000 - 250]
    assert rlpd.schedule.offline_steps == sac.schedule.offline_steps == 0


def test_baselines_have_no_push_down(base):
    for arm in BASELINES:
        assert with_arm(base, arm).algorithm.alpha == 0.0
    cloned = with_arm(base, "behaviour_cloning")
    assert (cloned.algorithm.policy_objective, cloned.schedule.mixing_ratio) == ("cloning", 1.0)


def test_an_unknown_arm_lists_the_known_ones(base):
    with pytest.raises(UserError, match="arm 'qcl': unknown arm; choose one of no_push_down, behaviour_cloning, cql"):
        with_arm(base, "qcl")


def differences(arm, other):
    """Settings in which two arms differ, with the values of the first."""
    base = base_run("antmaze-umaze", "paper", 0)
    first, second = (run_to_dict(with_arm(base, name)) for name in (arm, other))
    return {
        f"{part}.{name}": value
        for part in ("floor", "algorithm", "schedule", "task")
        for name, value in first[part].items()
        if value != second[part][name]
    }


def test_the_reference_equals_the_published_settings_of_a_task():
    base = base_run("antmaze-umaze", "paper", 0)
    assert with_settings(with_arm(base, "reference"), {"arm": base.arm}) == base


@pytest.mark.parametrize("arm", [arm for arm in OPTIONS if not arm.startswith("reference")])
def test_an_option_changes_one_setting(arm):
    assert len(differences(arm, "reference_cql" if arm.startswith("cql") else "reference")) == 1
    assert set(differences(arm, "reference")) <= {*REFERENCE, "floor.base"}


def test_implementations_differ_from_the_reference_as_documented():
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
def test_cql_of_an_implementation_differs_in_floor_and_mixing_ratio(name, mixing):
    cal_ql = name if name == "official" else f"{name}_like"
    mixing_change = {} if mixing == 0.5 else {"schedule.mixing_ratio": mixing}
    assert differences(f"{cal_ql}_cql", cal_ql) == {"floor.base": "none", **mixing_change}


def test_the_default_output_gain_matches_pytorch():
    """The deviation of 4,096 weights, uniform on +-1 / sqrt(inputs), is within 4 standard errors of the gain."""
    torch.manual_seed(0)
    gain = IMPLEMENTATIONS["d3rlpy_like"].settings["algorithm.output_gain"]
    deviation = torch.nn.Linear(4096, 1).weight.std().item() * sqrt(4096)
    # The standard deviation of N numbers with kurtosis 9/5 has the relative error sqrt((9/5 - 1) / 4 / N).
    assert deviation == pytest.approx(gain, rel=4 * sqrt(0.2 / 4096))


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


def test_arms_of_implementation_options_train_to_distinct_parameters(tmp_path):
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
    # No difference falls to -200 within a few updates.
    assert hashes.pop("difference_above_-200") == hashes["reference"]
    assert len(set(hashes.values())) == len(hashes), "two arms train to the same parameters"


def section_about_disagreements() -> str:
    text = Path(arms.__file__).with_name("README.md").read_text()
    return text.partition("## Disagreements")[2].partition("\n## ")[0]


def rows_of_the_table():
    """Cells of every row of the first table in ablations/README.md: setting, official, CORL, d3rlpy, WSRL, others."""
    text = section_about_disagreements().partition("| Setting | Arms |")[0]
    lines = (line.strip().strip("|") for line in text.splitlines() if line.startswith("| `"))
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def disagreements():
    """Settings and arms of every row of the second table."""
    text = section_about_disagreements().partition("| Setting | Arms |")[2]
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", text, re.MULTILINE)
    return {tuple(re.findall("`([^`]+)`", settings)): re.findall("`([^`]+)`", names) for settings, names in rows}


def test_the_table_of_disagreements_has_every_option_and_every_change_at_the_switch():
    table = disagreements()
    settings = {setting for row in table for setting in row}
    changed = {
        name for arm in (*OPTIONS.values(), *SWITCH_ARMS.values(), *PROTOCOL_ARMS.values()) for name in arm.settings
    }
    assert settings >= changed - {"floor.base", "algorithm.alpha"}
    named = {arm for row in table.values() for arm in row}
    assert {*OPTIONS, *SWITCH_ARMS, *PROTOCOL_ARMS} - {*REFERENCE_ARMS} <= named <= {*ARMS, *GRIDS}


def test_the_arms_of_a_disagreement_change_its_setting():
    for settings, names in disagreements().items():
        for arm in set(names) & set(ARMS):
            assert set(settings) & set(ARMS[arm].settings), (settings, arm)


# Settings of ensembles as the table words them: official, CORL and d3rlpy have the defaults, WSRL and RLPD their arms.
WORDS = {"all": None, "none": "none", "policy and critics": "all", "yes": True, "no": False}


@pytest.mark.parametrize(
    "setting", ["critics", "target_critics", "target_replacement", "policy_value", "layer_norm"]
)  # fmt: skip
def test_the_table_has_the_ensembles_of_the_protocols(base, setting):
    (row,) = (cells for cells in rows_of_the_table() if cells[0] == f"`algorithm.{setting}`")
    sides = {"cql": row[1:4], "wsrl": row[4:5], "rlpd_like": row[5:6]}
    for arm, cells in sides.items():
        value = getattr(with_arm(base, arm).algorithm, setting)
        for cell in filter(None, cells):
            word = re.split(r"[;,(]", cell)[0].strip()
            assert value == (int(word) if word.isdigit() else WORDS.get(word, word)), (arm, cell)


def test_the_table_has_the_updates_per_step_of_the_protocols(base):
    (row,) = (cells for cells in rows_of_the_table() if "`schedule.updates_per_step`" in cells[0])
    for arm, cell in {"cql": row[1], "wsrl": row[4]}.items():
        run = with_arm(base, arm)
        assert cell.startswith(f"{run.online.policy_interval}, {run.schedule.updates_per_step}")
