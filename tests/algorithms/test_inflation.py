"""Kinds of inflation, worked by hand and by their properties."""

import pytest
import torch

from algorithms.inflation import INFLATIONS, DatasetStatistics, InflationInputs, NeighbourDistances, uncorrelated
from algorithms.settings import FloorSettings

# A return range of 8; the dose 0.25 is 2.
RETURNS = torch.tensor([-8.0, -4.0, -1.0, 0.0])
DISTANCES = torch.tensor([0.5, 0.1, 0.2, 0.3])
# V* - V_mu.
GAP = torch.tensor([4.0, 2.0, 0.5, 1.0])


def inflated(kind, base=RETURNS, error=None, **settings):
    settings = FloorSettings(inflation_kind=kind, **{"inflation": 0.25, **settings})
    statistics = DatasetStatistics.of(settings, RETURNS, base, DISTANCES)
    return INFLATIONS[kind](InflationInputs(settings, base, RETURNS, statistics, DISTANCES, error, GAP))


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("additive", {}, [-6.0, -2.0, 1.0, 2.0]),
        ("capped", {}, [-6.0, -2.0, 0.0, 0.0]),
        ("value_gap", {"inflation": 0.5}, [-6.0, -3.0, -0.75, 0.0]),
        ("value_gap", {"inflation": -0.5}, [-10.0, -5.0, -1.25, -0.5]),
        # A quarter of the distance to the smallest return: 0, 1, 1.75 and 2.
        ("multiplicative", {}, [-8.0, -3.0, 0.75, 2.0]),
        ("multiplicative", {"inflation": -0.25}, [-8.0, -5.0, -2.75, -2.0]),
        # The largest distance, 0.5, and the two largest, 0.5 and 0.3.
        ("rare_states", {}, [-6.0, -4.0, -1.0, 0.0]),
        ("rare_states", {"inflation_share": 0.5}, [-6.0, -4.0, -1.0, 2.0]),
        ("near_goal", {}, [-8.0, -4.0, -1.0, 2.0]),
        ("near_goal", {"inflation_share": 0.5}, [-8.0, -4.0, 1.0, 2.0]),
        ("near_goal", {"inflation_share": 1.0}, [-6.0, -2.0, 1.0, 2.0]),
        ("near_goal", {"inflation_share": 0.0}, [-8.0, -4.0, -1.0, 0.0]),
    ],
)
def test_inflated_columns(kind, settings, expected):
    assert inflated(kind, **settings).tolist() == expected


def test_a_correlated_error_worked_by_hand():
    base = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    error = torch.tensor([1.0, 1.0, -1.0, -1.0])
    # 2 * (0.6 * base + 0.8 * error), since the base has mean 0 and standard deviation 1.
    column = inflated("correlated_error", base, error, error_correlation=0.6)
    torch.testing.assert_close(column, base + torch.tensor([0.4, 2.8, -2.8, -0.4]))


@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.3, 1.0])
def test_a_correlated_error_has_mean_0_and_the_chosen_size_and_correlation(correlation):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(1000, generator=generator) * 3.0 - 20.0
    error = uncorrelated(torch.randn(1000, generator=generator) + 0.4 * base, base)
    settings = FloorSettings(inflation_kind="correlated_error", inflation=0.25, error_correlation=correlation)
    statistics = DatasetStatistics.of(settings, RETURNS, base, None)
    column = INFLATIONS["correlated_error"](InflationInputs(settings, base, base, statistics, None, error))
    added = (column - base).double()
    assert added.mean().abs() < 1e-5
    assert added.std(correction=0).item() == pytest.approx(2.0, rel=1e-5)
    assert torch.corrcoef(torch.stack((added, base.double())))[0, 1].item() == pytest.approx(correlation, abs=1e-5)


def test_a_constant_base_has_no_correlation():
    error = uncorrelated(torch.tensor([1.0, -1.0, 3.0, -3.0]), torch.ones(4))
    assert torch.isfinite(inflated("correlated_error", torch.ones(4), error, error_correlation=0.5)).all()


@pytest.mark.parametrize("inflation", [0.1, 1.0, 5.0])
def test_capped_inflation_stays_below_the_largest_return(inflation):
    column = inflated("capped", inflation=inflation)
    assert column.max() <= RETURNS.max()
    assert (column >= RETURNS).all()


def test_only_the_chosen_share_is_inflated():
    returns = torch.linspace(-1.0, 0.0, 200)
    distances = returns.flip(0).abs()
    for kind in ("rare_states", "near_goal"):
        settings = FloorSettings(inflation_kind=kind, inflation=1.0, inflation_share=0.3)
        statistics = DatasetStatistics.of(settings, returns, None, distances)
        column = INFLATIONS[kind](InflationInputs(settings, returns, returns, statistics, distances))
        assert (column != returns).sum() == 60


def test_neighbour_distances_worked_by_hand():
    states = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    scale = states.std(correction=0).item()
    # Nearest neighbours: 1, 0, 1 and 3 away from 0, 1, 3 and 10 by 1, 1, 2 and 7.
    distances = NeighbourDistances(states, neighbours=1)
    torch.testing.assert_close(distances.of_dataset * scale, torch.tensor([1.0, 1.0, 2.0, 7.0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(distances(torch.tensor([[5.0]])) * scale, torch.tensor([2.0]), rtol=1e-4, atol=1e-4)


def test_isolated_states_are_rare_with_few_references():
    states = torch.cat((torch.randn(500, 2, generator=torch.Generator().manual_seed(0)), torch.full((3, 2), 50.0)))
    distances = NeighbourDistances(states, references=100).of_dataset
    assert set(distances.topk(3).indices.tolist()) == {500, 501, 502}
