"""Estimators of the floor on distributions and chains worked by hand."""

import pytest
import torch

from ablations.exact.estimators import distributions, expectile, quantile, sum_bias, td_value, visits
from ablations.exact.problems import FiniteProblem, chain, policy_value
from algorithms.behaviour_value import BehaviourValue
from algorithms.settings import BehaviourValueSettings

# 0 with probability 1/4, else -8.
TWO = torch.tensor([-8.0, 0.0], dtype=torch.float64), torch.tensor([0.75, 0.25], dtype=torch.float64)


@pytest.mark.parametrize(("level", "expected"), [(0.5, -6.0), (0.75, -4.0), (0.9, -2.0)])
def test_the_expectile_of_two_points_worked_by_hand(level, expected):
    """level / 4 (0 - e) = (1 - level) 3/4 (e + 8): e = -24 (1 - level) / (level + 3 (1 - level))."""
    assert expectile(*TWO, level) == pytest.approx(expected)


@pytest.mark.parametrize(("level", "expected"), [(0.5, -8.0), (0.75, -8.0), (0.76, 0.0), (0.9, 0.0)])
def test_the_quantile_of_two_points(level, expected):
    assert quantile(*TWO, level) == expected


@pytest.mark.parametrize("estimator", ["expectile", "quantile"])
@pytest.mark.parametrize("level", [0.5, 0.7, 0.9])
def test_the_estimates_minimise_the_loss_of_the_fit(estimator, level):
    """The loss of `BehaviourValue`, in expectation over the return from the first state of the walk."""
    returns, probabilities = distributions()[0]
    settings = BehaviourValueSettings(estimator=estimator, level=level, hidden=(4,))
    value = BehaviourValue(settings, torch.randn(4, 1), torch.randn(1, 4), [lambda *shape: torch.randn(*shape)])

    def loss(estimate):
        return float((value.loss(estimate - returns) * probabilities).sum())

    best = (expectile if estimator == "expectile" else quantile)(returns, probabilities, level)
    assert all(loss(best) <= loss(best + step) for step in (-0.5, -0.01, 0.01, 0.5))


def test_td_of_a_pair_of_states_worked_by_hand():
    """State 0 leads to state 1, which ends; reward -1, discount 1/2: V = (-1.5, -1). Both share one value.

    TD(0): v = mean of -1 + v / 2 and -1, so v = -4/3; regression: v = -1.25.
    """
    transition = torch.zeros(2, 1, 2, dtype=torch.float64)
    transition[0, 0, 1] = 1.0
    reward, behaviour = torch.full((2, 1), -1.0, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    problem = FiniteProblem(transition, reward, 0.5, behaviour)
    together, weight = torch.zeros(2, dtype=torch.long), torch.full((2,), 0.5, dtype=torch.float64)
    assert td_value(problem, together, 0.0, weight).tolist() == pytest.approx([-4 / 3, -4 / 3])
    assert td_value(problem, together, 1.0, weight).tolist() == pytest.approx([-1.25, -1.25])
    assert td_value(problem, torch.arange(2), 0.3, weight).tolist() == pytest.approx([-1.5, -1.0])


def test_visits_worked_by_hand():
    """From each of two states of a certain walk: state 0 once, state 1 twice; cut after one step, once each."""
    walk = chain(2, slip=0.0, discount=0.9, right=1.0)
    assert visits(walk).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert visits(walk, cut=1).tolist() == pytest.approx([0.5, 0.5])


def test_the_bias_of_a_sum_is_what_the_cut_leaves_out():
    """After one step the sum is -1, so V_mu = -1 - bias."""
    problem = chain(8, slip=0.1, discount=0.95)
    torch.testing.assert_close(-1.0 - sum_bias(1), policy_value(problem, problem.behaviour))
