"""Every arm is a valid run; those of floors differ from their base in the floor alone."""

import dataclasses

import pytest

from ablations.arms import ARMS, with_arm
from ablations.implementations import IMPLEMENTATIONS, SWITCHES
from algorithms.floors import FLOORS
from harness.errors import UserError
from harness.tasks.tasks import base_run


@pytest.fixture
def base():
    return base_run("pointmaze-medium", "demo", seed=3)


OF_FLOORS = [arm for arm in ARMS if arm not in {**IMPLEMENTATIONS, **SWITCHES}]


@pytest.mark.parametrize("arm", OF_FLOORS)
def test_an_arm_changes_its_name_and_the_floor_alone(base, arm):
    run = with_arm(base, arm)
    assert run.arm == arm
    assert run.floor.base in FLOORS
    assert dataclasses.replace(run, arm=base.arm, floor=base.floor) == base


def test_no_two_arms_are_the_same(base):
    assert len({with_arm(base, arm).floor for arm in OF_FLOORS}) == len(OF_FLOORS)


def test_doses(base):
    assert with_arm(base, "monte_carlo").floor.inflation == 0.0
    assert with_arm(base, "inflated_0.25").floor.inflation == 0.25
    assert with_arm(base, "inflated_1").floor.inflation == 1.0


def test_unknown_arm_names_the_others(base):
    with pytest.raises(UserError, match="arm 'qcl': there is no such arm; one of cql, monte_carlo"):
        with_arm(base, "qcl")
