"""Returns-to-go and floor columns, computed by hand."""

from math import inf

import pytest
import torch

from algorithms.floors import FLOORS, FloorInputs, floor_column, return_to_go
from algorithms.inflation import DatasetStatistics
from algorithms.settings import FLOOR_BASES, FloorSettings

STATES = torch.tensor([[1.0], [2.0], [3.0]])
RETURNS = torch.tensor([-4.0, -2.0, 0.0])


def column(**settings):
    inputs = FloorInputs(
        FloorSettings(**settings),
        STATES,
        RETURNS,
        -2.5,
        lambda states: 10.0 * states[:, 0],
        lambda states: -states[:, 0],
        lambda states: -0.5 * states[:, 0],
    )
    # A dataset whose returns range from -8 to 0.
    statistics = DatasetStatistics.of(inputs.settings, torch.tensor([-8.0, 0.0]), None, None)
    return floor_column(inputs, statistics, lambda count: torch.arange(count, dtype=torch.float32)).tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"base": "none"}, [-inf, -inf, -inf]),
        ({"base": "monte_carlo"}, [-4.0, -2.0, 0.0]),
        ({"base": "learned"}, [10.0, 20.0, 30.0]),
        ({"base": "exact"}, [-1.0, -2.0, -3.0]),
        ({"base": "optimal"}, [-0.5, -1.0, -1.5]),
        ({"base": "exact", "inflation": 0.5}, [3.0, 2.0, 1.0]),
        ({"base": "constant", "constant": -3.0}, [-3.0, -3.0, -3.0]),
        ({"base": "mean_return"}, [-2.5, -2.5, -2.5]),
        # Inflation is relative to the return range, here 8.
        ({"base": "monte_carlo", "inflation": 0.25}, [-2.0, 0.0, 2.0]),
        ({"base": "learned", "inflation": -1.0}, [2.0, 12.0, 22.0]),
        ({"base": "none", "inflation": 1.0}, [-inf, -inf, -inf]),
        ({"base": "monte_carlo", "noise": 0.5}, [-4.0, 2.0, 8.0]),
    ],
)
def test_floor_column(settings, expected):
    assert column(**settings) == expected


def test_every_base_that_settings_name_is_a_floor():
    assert tuple(FLOORS) == FLOOR_BASES


def test_every_base_gives_a_value_per_transition():
    for base in FLOORS:
        assert len(column(base=base)) == 3


def returns(rewards, terminated, discount=0.5, **options):
    return return_to_go(torch.tensor(rewards), torch.tensor(terminated), discount, **options).tolist()


def test_a_terminated_trajectory_is_summed_backwards():
    # 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3.
    assert returns([1.0, 2.0, 4.0], [False, False, True]) == [3.0, 4.0, 4.0]


def test_the_sum_restarts_after_a_terminal_step():
    assert returns([1.0, 8.0, 2.0, 4.0], [False, True, False, True]) == [5.0, 8.0, 4.0, 4.0]


def test_a_failed_trajectory_fails_forever():
    # -1 / (1 - 0.5) at every step, however long the trajectory.
    assert returns([-1.0] * 4, [False] * 4, failure_reward=-1.0) == [-2.0] * 4


def test_a_trajectory_with_a_success_is_summed_to_its_end():
    # -1 + 0.5 * (0 + 0.5 * -1) = -1.25.
    assert returns([-1.0, 0.0, -1.0], [False] * 3, failure_reward=-1.0) == [-1.25, -0.5, -1.0]


def test_the_naive_sum_overestimates_failures_towards_their_end():
    naive = returns([-1.0] * 3, [False] * 3, failure_reward=-1.0, truncation="sum")
    assert naive == [-1.75, -1.5, -1.0]


def test_the_naive_sum_is_minus_48_ten_steps_before_the_end_of_a_long_failure():
    # An example from the literature: reward -5, discount 0.99, true value -500.
    values = returns([-5.0] * 300, [False] * 300, 0.99, failure_reward=-5.0, truncation="sum")
    assert values[-10] == pytest.approx(-5 * (1 - 0.99**10) / 0.01, rel=1e-6)
    assert values[-10] == pytest.approx(-47.8, abs=0.05)
    assert sum(values) / 300 == pytest.approx(-343, abs=1)


def test_failure_rules_differ_if_an_episode_continues_after_a_success():
    # Failing forever has value -2. Sums from the end: -1; -1 - 0.5; 0 - 0.75; -1 - 0.375.
    rewards, flags = [-1.0, 0.0, -1.0, -1.0], [False] * 4
    sums = [-1.375, -0.75, -1.5, -1.0]
    assert returns(rewards, flags, failure_reward=-1.0) == sums
    assert returns(rewards, flags, failure_reward=-1.0, truncation="last_reward_rule") == [-2.0] * 4
    assert returns(rewards, flags, failure_reward=-1.0, truncation="suffix_rule") == [-1.375, -0.75, -2.0, -2.0]


@pytest.mark.parametrize("rewards", [[-1.0, -1.0, 0.0], [-1.0] * 3])
@pytest.mark.parametrize("rule", ["last_reward_rule", "suffix_rule"])
def test_failure_rules_agree_if_a_success_ends_the_episode(rewards, rule):
    flags = [False, False, rewards[-1] == 0.0]
    official = returns(rewards, flags, failure_reward=-1.0)
    assert returns(rewards, flags, failure_reward=-1.0, truncation=rule) == official


@pytest.mark.parametrize("rule", ["failure_rule", "last_reward_rule", "suffix_rule"])
def test_without_a_failure_reward_trajectories_are_summed(rule):
    assert returns([-1.0, -1.0], [False] * 2, truncation=rule) == [-1.5, -1.0]


def test_truncation_can_bootstrap_but_termination_does_not():
    # 2 + 0.5 * 10 = 7; 1 + 0.5 * 7 = 4.5.
    assert returns([1.0, 2.0], [False, False], truncation="bootstrap", bootstrap_value=10.0) == [4.5, 7.0]
    assert returns([1.0, 2.0], [False, True], truncation="bootstrap", bootstrap_value=10.0) == [2.0, 2.0]
