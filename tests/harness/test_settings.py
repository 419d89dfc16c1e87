"""Run ids are hashes of all settings, and invalid values are one-line errors."""

import dataclasses
import hashlib
import json
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import json_bytes
from harness.launching.preflight import check_settings
from harness.plain_values import canonical_json
from harness.settings import (
    ADDED_SETTINGS,
    PER_RUN,
    configuration,
    pack_key,
    run_from_dict,
    run_to_dict,
    settings_text,
    with_settings,
)
from harness.tasks.registry import base_run


def setting_paths(run, prefix=""):
    """Every dotted path that `with_settings` accepts for a run, down to single settings."""
    values = run if prefix else run_to_dict(run)
    inner = [setting_paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
             for name, value in values.items()]  # fmt: skip
    return [path for paths in inner for path in paths]


@pytest.fixture
def run():
    return base_run("pointmaze-umaze", "demo", seed=0)


def test_canonical_json_by_hand():
    assert canonical_json({"b": 1, "a": [1.5, None, "x"]}) == '{"a":[1.5,null,"x"],"b":1}'


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_canonical_json_refuses_nan_and_infinity(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})


def test_id_is_the_hash_of_every_setting(run):
    text = json.dumps(configuration(run), sort_keys=True, separators=(",", ":"))
    assert run.id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_the_text_in_a_file_is_that_of_the_whole_configuration():
    """It is made of the texts of groups, which are kept."""
    runs = [*runs_of("smoke"), *runs_of("switch"), *runs_of("paper", "paper")]
    assert [settings_text(run) for run in runs] == [json_bytes(configuration(run)) for run in runs]


def test_equal_settings_have_equal_ids_in_any_order(run):
    """Ids are made of the texts of groups, which are kept; 0.0 and -0.0 are equal."""
    zeros = [dataclasses.replace(run, floor=dataclasses.replace(run.floor, inflation=zero)) for zero in (0.0, -0.0)]
    assert zeros[0].id == zeros[1].id == run.id
    negative_first = [
        dataclasses.replace(run, floor=dataclasses.replace(run.floor, noise=0.3, inflation=zero))
        for zero in (-0.0, 0.0)
    ]
    assert len({changed.id for changed in negative_first}) == 1
    assert "-0.0" not in json.dumps(configuration(negative_first[0]))


def test_ids_are_unchanged_by_newer_settings():
    """Ids from before `algorithm.policy_objective` existed."""
    assert [run.id for run in runs_of("smoke")] == [
        "7fe05232cb23", "3a364678b67b", "ad0889ede794", "78eedd9e8be0",
    ]  # fmt: skip


def test_newer_settings_are_written_unless_they_are_the_default(run):
    assert "policy_objective" in run_to_dict(run)["algorithm"]
    assert "policy_objective" not in configuration(run)["algorithm"]
    cloned = with_settings(run, {"algorithm.policy_objective": "cloning"})
    assert configuration(cloned)["algorithm"]["policy_objective"] == "cloning"
    assert run_from_dict(configuration(cloned)) == cloned
    assert pack_key(cloned) != pack_key(run)


def test_newer_settings_exist(run):
    for group, names in ADDED_SETTINGS.items():
        assert set(names) <= set(attrgetter(group)(run).__dataclass_fields__)


def test_a_known_id_is_no_setting_and_does_not_pass_to_changed_runs(run):
    """The id is computed once per run."""
    before = run_to_dict(run)
    assert run.id is run.id
    assert run_to_dict(run) == before
    assert run == run_from_dict(before)
    assert dataclasses.replace(run, seed=run.seed + 1).id == with_settings(run, {"seed": run.seed + 1}).id != run.id


def test_every_setting_changes_the_id(run):
    """If a setting were missing from the id, two different runs would share a folder."""
    changed = {
        "task.name": "x", "task.environment": "X-v0", "arm": "x", "schema_version": None,
        "floor.base": "none", "floor.truncation": "sum", "algorithm.form": "expectation",
        "algorithm.max_backup": "max_then_min", "algorithm.floor_masking": "expectation",
        "algorithm.lagrange_alpha": "nothing", "algorithm.lagrange_multiplier": "softplus",
        "task.maze": ["#r.g#"], "task.subtasks": ["kettle"], "task.reward": "binary", "task.reference_returns": [0, 1],
        "task.failure_reward": None, "task.discount": 0.5, "schedule.mixing_ratio": 0.25, "algorithm.tau": 0.5,
        "behaviour_value.held_out": 0.5, "algorithm.kernel": "torch",
        "algorithm.policy_objective": "cloning", "algorithm.policy_value": "mean", "algorithm.layer_norm": "all",
        "algorithm.precision": "tf32",
        "schedule.calibration_value": "td", "extensions": ["mine@0123456789ab"],
        "floor.inflation_kind": "capped", "floor.error_correlation": 0.5,
        "floor.inflation_share": 0.5, "behaviour_value.estimator": "td", "behaviour_value.trajectories": 0.5,
        "behaviour_value.td_lambda": 0.5, "behaviour_value.level": 0.9,
        "online.start": "0123456789ab",
    }  # fmt: skip
    ids = {run.id}
    paths = [path for path in setting_paths(run) if path != "schema_version"]
    for path in paths:
        value = run_to_dict(run)
        for part in path.split("."):
            value = value[part]
        if path in changed:
            new = changed[path]
        elif isinstance(value, bool):
            new = not value
        elif isinstance(value, list):
            new = [*value, 7]
        else:
            new = (value or 0) + 1
        ids.add(with_settings(run, {path: new}).id)
    assert len(ids) == len(paths) + 1


def test_id_survives_json_and_the_order_of_keys(run):
    values = json.loads(json.dumps(run_to_dict(run)))
    shuffled = dict(reversed(values.items()))
    assert run_from_dict(shuffled) == run
    assert run_from_dict(shuffled).id == run.id


@given(alpha=st.floats(min_value=0, max_value=1e300), seed=st.integers(min_value=0, max_value=2**40))
def test_runs_round_trip_through_json(alpha, seed):
    run = with_settings(base_run("pointmaze-umaze", "demo", seed), {"algorithm.alpha": alpha})
    again = run_from_dict(json.loads(canonical_json(run_to_dict(run))))
    assert again == run
    assert again.id == run.id


def test_an_integer_given_for_a_float_is_the_same_run(run):
    assert with_settings(run, {"algorithm.alpha": 2}).id == with_settings(run, {"algorithm.alpha": 2.0}).id


def test_minus_zero_is_the_same_run(run):
    assert with_settings(run, {"floor.constant": -0.0}).id == with_settings(run, {"floor.constant": 0.0}).id


def test_a_run_cannot_be_changed(run):
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm.alhpa": 1}, "unknown setting; did you mean algorithm.alpha?"),
        ({"nothing.like.it": 1}, "setting nothing.like.it: unknown setting"),
        ({"algorithm": 5}, "setting algorithm = 5: "),
        ({"algorithm.alpha": -1}, "setting algorithm.alpha = -1: input should be greater than or equal to 0"),
        ({"algorithm.alpha": "much"}, "setting algorithm.alpha = 'much': input should be a valid number"),
        ({"algorithm.n_actions": 2.5}, "setting algorithm.n_actions = 2.5: input should be a valid integer"),
        ({"algorithm.batch_size": 0}, "setting algorithm.batch_size = 0: input should be greater than or equal to 1"),
        ({"algorithm.policy_hidden": []}, "setting algorithm.policy_hidden = []: "),
        ({"algorithm.alpha": float("nan")}, "setting algorithm.alpha = nan: input should be a finite number"),
        ({"floor.truncation": "guess"}, "setting floor.truncation = 'guess': input should be 'failure_rule'"),
        ({"seed": True}, "setting seed = True: input should be a valid integer"),
        ({"seed": "3"}, "setting seed = '3': input should be a valid integer"),
        ({"algorithm.lagrange": 1}, "setting algorithm.lagrange = 1: input should be a valid boolean"),
        ({"algorithm.tau": {"a": "b" * 1000}}, "setting algorithm.tau = {'a': 'bbbbbb"),
        ({"arm": ""}, "setting arm = '': string should have at least 1 character"),
        ({"arm": "a\nb"}, r"setting arm = 'a\nb': must be printable text on one line"),
        ({"task.name": "../up"}, "setting task.name = '../up': string should match pattern"),
        ({"task.\nname": 1}, r"setting task.'\nname': unknown setting"),
        ({"task.discount": 1.0}, "setting task.discount = 1.0: input should be less than 1"),
        ({"seed": -1}, "setting seed = -1: input should be greater than or equal to 0"),
    ],
)
def test_invalid_values_are_one_line_errors_that_name_the_setting(run, changes, message):
    with pytest.raises(UserError) as caught:
        with_settings(run, changes, source="--set")
    line = str(caught.value)
    assert line.startswith("--set: ")
    assert message in line
    assert "\n" not in line


def test_unknown_and_missing_settings_in_a_file(run):
    values = run_to_dict(run)
    with pytest.raises(UserError, match=r"config.json: setting floor.colour: unknown setting"):
        run_from_dict({**values, "floor": {**values["floor"], "colour": 1}}, source="config.json")
    del values["seed"]
    with pytest.raises(UserError, match=r"^config.json: setting seed: is missing$"):
        run_from_dict(values, source="config.json")


@pytest.mark.parametrize("values", [5, None, [], "run"])
def test_settings_must_be_a_dictionary(values):
    with pytest.raises(UserError, match=r"^config.json: settings = .*: input should be an object$"):
        run_from_dict(values, source="config.json")


def test_another_schema_version_is_refused(run):
    with pytest.raises(UserError, match="schema version 99 cannot be read by this version, which writes 3"):
        run_from_dict({**run_to_dict(run), "schema_version": 99})


def per_run_paths():
    for group, fields in PER_RUN.items():
        yield from [group] if fields is None else [f"{group}.{field}" for field in sorted(fields)]


def test_per_run_settings_exist():
    assert set(per_run_paths()) <= set(setting_paths(base_run("pointmaze-umaze", "demo", seed=0)))


def test_per_run_settings_may_differ_within_a_pack(run):
    other = with_settings(run, {"seed": 5, "arm": "x", "floor.inflation": 1.0, "algorithm.alpha": 9.0})
    assert pack_key(other) == pack_key(run)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm.critic_hidden": [8]},
        {"algorithm.lagrange": True},
        {"schedule.offline_steps": 7},
        {"task.data.seed": 1},
        {"floor.keeps_learning": True},
    ],
)
def test_other_settings_split_a_pack(run, change):
    assert pack_key(with_settings(run, change)) != pack_key(run)


# Mutated runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"online.alpha": 0.0, "schedule.online_steps": 0}, "there is no online phase to change"),
        ({"online.alpha_decay": 0.5}, "online.alpha_decay = 0.5: needs online.alpha"),
        ({"online.mixing_decay": 0.5}, "online.mixing_decay = 0.5: needs online.mixing_ratio"),
        ({"online.mixing_ratio": 0.0, "schedule.mixing_ratio": None}, "needs a number as schedule.mixing_ratio"),
        ({"online.warmup_horizons": 1000}, "leave none of the"),
        ({"online.mixing_by_size": True, "online.mixing_ratio": 0.1}, "online.mixing_by_size = true: the ratio"),
        ({"online.mixing_by_size": True, "schedule.mixing_ratio": None}, "online.mixing_by_size = true"),
        ({"online.policy_interval": 601}, "only 600 updates, so the policy would never change"),
        ({"online.critic_updates": 600}, "only 600 updates, so the policy would never change"),
        ({"online.new_critics": True, "online.recalibrate": True}, "set one or the other"),
        ({"algorithm.target_critics": 3}, "algorithm.target_critics = 3: more than algorithm.critics = 2"),
        ({"algorithm.target_critics": 2}, "algorithm.target_critics = 2: has no effect: these are all critics"),
        ({"algorithm.target_replacement": True}, "needs algorithm.target_critics"),
        ({"algorithm.policy_objective": "cloning", "algorithm.policy_value": "mean"}, "'mean': has no effect on the"),
        ({"floor.action_noise": 1.0}, "needs a floor.base of 'learned' or 'exact', not 'none'"),
        ({"floor.base": "exact", "floor.action_noise": 1.0}, "the exact values of PointMaze_UMaze-v3 are unknown"),
        ({"floor.base": "learned", "floor.action_noise": 0.3}, "is that of the task's data, so the floor is not stale"),
        ({"floor.base": "learned", "floor.action_noise": 1.0, "floor.keeps_learning": True}, "does not stay that of"),
        ({"floor.base": "learned", "floor.action_noise": 1.0, "task.data": {"ids": ["D4RL/pen/human-v2"]}},
         "floor.action_noise = 1.0: the data of pointmaze-umaze are hosted, so no other policy can collect data"),
        ({"floor.base": "monte_carlo", "floor.inflation_kind": "value_gap", "floor.inflation": 0.5},
         "floor.inflation_kind = 'value_gap': the exact values of PointMaze_UMaze-v3 are unknown"),
        ({"floor.base": "learned", "floor.keeps_learning": True, "behaviour_value.estimator": "td"},
         "estimator = 'td': cannot keep learning online by regression on returns-to-go; .*choose from regression, exp"),
    ],
)  # fmt: skip
def test_online_settings_without_effect_are_refused(changes, words):
    run = with_settings(runs_of("smoke")[0], changes)
    with pytest.raises(UserError, match=words):
        check_settings([run])


def test_online_settings_enter_the_id_only_if_they_are_changed():
    run = runs_of("smoke")[0]
    assert "online" not in configuration(run)
    changed = with_settings(run, {"online.alpha": 0.0})
    assert configuration(changed)["online"] == {"alpha": 0.0}
    assert changed.id != run.id
    assert run_from_dict(configuration(changed)) == changed
