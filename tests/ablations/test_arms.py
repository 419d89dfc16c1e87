"""Every arm is a valid run; those of floors differ from their base in the floor alone."""

import dataclasses

import pytest

from ablations.arms import FLOOR_ARMS, PUSH_DOWNS, REFERENCE_LINES, with_arm
from algorithms.floors import FLOORS
from harness.errors import UserError
from harness.settings import run_to_dict
from harness.tasks.registry import base_run


@pytest.fixture
def base():
    return base_run("pointmaze-medium", "demo", seed=3)


@pytest.mark.parametrize("arm", FLOOR_ARMS)
def test_an_arm_changes_its_name_and_the_floor_alone(base, arm):
    run = with_arm(base, arm)
    assert run.arm == arm
    assert run.floor.base in FLOORS
    assert dataclasses.replace(run, arm=base.arm, floor=base.floor) == base


def test_no_two_arms_are_the_same(base):
    runs = {with_arm(base, arm) for arm in (*FLOOR_ARMS, *PUSH_DOWNS, *REFERENCE_LINES)}
    assert len({dataclasses.replace(run, arm=base.arm) for run in runs}) == len(runs)


def test_doses(base):
    assert with_arm(base, "monte_carlo").floor.inflation == 0.0
    assert with_arm(base, "inflated_0.25").floor.inflation == 0.25
    assert with_arm(base, "inflated_1").floor.inflation == 1.0


@pytest.mark.parametrize("arm", PUSH_DOWNS)
def test_an_arm_of_the_push_down_changes_one_setting_of_cal_ql(base, arm):
    of_run, of_base = (run_to_dict(run)["algorithm"] for run in (with_arm(base, arm), with_arm(base, "monte_carlo")))
    assert with_arm(base, arm).floor == with_arm(base, "monte_carlo").floor
    assert len([name for name in of_base if of_run[name] != of_base[name]]) == 1


def test_reference_lines_have_no_push_down(base):
    for arm in REFERENCE_LINES:
        assert with_arm(base, arm).algorithm.alpha == 0.0
    cloned = with_arm(base, "behaviour_cloning")
    assert (cloned.algorithm.policy_objective, cloned.schedule.mixing_ratio) == ("cloning", 1.0)


def test_unknown_arm_names_the_others(base):
    with pytest.raises(UserError, match="arm 'qcl': there is no such arm; one of cql, monte_carlo"):
        with_arm(base, "qcl")
