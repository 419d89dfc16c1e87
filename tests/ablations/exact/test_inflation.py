"""Kinds of inflation: floors and fixed points worked by hand, and the kinds of training."""

from itertools import pairwise
from typing import get_args

import pytest
import torch

from ablations.exact.inflation import (
    ALPHAS,
    BETTER,
    CHAIN,
    DOSE,
    ERRORS,
    EVERYWHERE,
    GAPS,
    WORSE,
    discounted_visits,
    floors,
    learned,
    reach,
)
from ablations.exact.problems import FiniteProblem, chain, optimal_value
from ablations.exact.scale import small_problems
from ablations.exact.tabular import CriticTables, Rows, expectation
from algorithms.inflation import INFLATIONS
from algorithms.settings import InflationKind


@pytest.fixture
def two_steps() -> FiniteProblem:
    """State 0 leads to state 1, which ends; reward -1, discount 1/2: V = (-1.5, -1). Both actions do the same."""
    transition = torch.zeros(2, 2, 2, dtype=torch.float64)
    transition[0, :, 1] = 1.0
    behaviour = torch.tensor([[0.75, 0.25]], dtype=torch.float64).expand(2, 2)
    return FiniteProblem(transition, torch.full((2, 2), -1.0, dtype=torch.float64), 0.5, behaviour)


@pytest.mark.parametrize(
    ("floor", "alpha", "expected"),
    [
        # Far below: CQL, -1 - alpha / 2 (4 / 3 - 1) = -1.5 with alpha 3, and -1 - 0.75 - 0.5 before it.
        ([-9.0, -9.0], 3.0, [-2.25, -1.5]),
        # The last state rests on its floor, which the first one receives discounted.
        ([-9.0, -1.25], 3.0, [-2.125, -1.25]),
        # Both rest on their floors: nothing is passed on.
        ([-1.5, -1.25], 3.0, [-1.5, -1.25]),
        # Above what the push-up can reach: -1 + alpha / 2 = 0.5, and -1 + 0.25 + 1.5 before it.
        ([9.0, 9.0], 3.0, [0.75, 0.5]),
    ],
)  # fmt: skip
def test_the_clipped_floor_worked_by_hand(two_steps, floor, alpha, expected):
    policy = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(2, 2)
    columns = torch.tensor([floor], dtype=torch.float64)[:, Rows.of(two_steps).states]
    tables = CriticTables(two_steps, expectation(policy), torch.tensor([alpha], dtype=torch.float64), columns)
    assert tables.converge()[0, :, 0].tolist() == pytest.approx(expected)


def test_an_excess_reaches_upstream_by_the_discount(two_steps):
    excess = torch.tensor([[0.0, 2.0], [1.5, 2.0], [3.0, 0.0]], dtype=torch.float64)
    spread = torch.stack([reach(two_steps, two_steps.behaviour, of_state) for of_state in excess])
    assert spread.tolist() == [[1.0, 2.0], [1.5, 2.0], [3.0, 0.0]]


def test_visits_are_discounted(two_steps):
    assert discounted_visits(two_steps).tolist() == pytest.approx([1.0, 1.5])


def test_every_kind_of_training_is_in_the_lab(monkeypatch):
    used = []

    def recorded(kind):
        compute = INFLATIONS[kind]
        return lambda inputs: used.append(kind) or compute(inputs)

    for kind in INFLATIONS:
        monkeypatch.setitem(INFLATIONS, kind, recorded(kind))
    floors(small_problems()[CHAIN])
    # The lab adds shares of V* - V_mu without the cap of training.
    assert {*used, "value_gap"} == set(INFLATIONS) == set(get_args(InflationKind))


@pytest.mark.parametrize("problem", small_problems())
def test_the_floors_have_the_properties_of_their_names(problem):
    of_kinds = floors(problem)
    exact = of_kinds["exact"]
    dose = DOSE * (exact.max() - exact.min())
    torch.testing.assert_close(of_kinds[EVERYWHERE] - exact, dose.expand_as(exact))
    assert of_kinds["capped"].max() <= exact.max()
    torch.testing.assert_close(of_kinds["stretched"][exact.argmin()], exact.min())
    torch.testing.assert_close(of_kinds["stretched"][exact.argmax()], exact.max() + dose)
    inflated = of_kinds["near the goal"] > exact
    assert 2 <= int(inflated.sum()) == round(0.25 * problem.states)
    assert exact[inflated].min() >= exact[~inflated].max()
    torch.testing.assert_close(of_kinds[GAPS[-1]], optimal_value(problem))
    assert (of_kinds[WORSE] < exact).all()
    assert (of_kinds[BETTER] > exact).all()
    for name, correlation in zip(ERRORS, (0.0, 0.8, -0.8), strict=True):
        error = of_kinds[name] - exact
        assert abs(float(error.mean())) < 1e-6
        assert float(error.std(correction=0)) == pytest.approx(float(dose), rel=1e-5)
        assert float(torch.corrcoef(torch.stack((error, exact)))[0, 1]) == pytest.approx(correlation, abs=1e-5)


def test_a_chain_with_inflation_near_the_goal_worked_by_hand():
    """The last two cells of eight are inflated; with alpha 1 every cell rises, with alpha 40 only these two."""
    frame = learned()
    of_chain = frame[(frame["problem"] == CHAIN) & (frame["kind"] == "near the goal")]
    excess = DOSE * float(torch.diff(floors(chain(8, 0.1, 0.9))["exact"][[0, -1]]))
    weak, _, strong = (of_chain.loc[of_chain["alpha"] == alpha, "rise"].tolist() for alpha in ALPHAS)
    assert strong == pytest.approx([0.0] * 6 + [excess] * 2)
    assert all(0 < before < after for before, after in pairwise(weak))
    # The last cell lies at the limit of the push-up, Q = r + 0.9 x 0.1 x value of the cell before + 1/2.
    assert float(of_chain["value"].iloc[7]) == pytest.approx(-1 + 0.09 * float(of_chain["value"].iloc[6]) + 0.5)
