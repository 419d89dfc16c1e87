"""Floor columns, computed by hand."""

from math import inf

import pytest
import torch

from algorithms.floors import FLOORS, FloorInputs, floor_column
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
