"""Finite problems have valid probabilities; their exact values agree with closed forms and defining equations."""

import pytest
import torch

from ablations.exact.problems import (
    ROWS,
    action_value,
    chain,
    garnet,
    greedy,
    grid,
    one_state,
    optimal_value,
    policy_value,
    return_distribution,
    return_variance,
    side_by_side,
    stopping_value,
)

PROBLEMS = {
    "one state": one_state((-1.0, -2.0), (0.25, 0.75)),
    "loop": one_state((-1.0, -2.0), (0.5, 0.5), discount=0.9),
    "chain": chain(5, slip=0.1, discount=0.9),
    "grid": grid(3, 4, slip=0.2, discount=0.9),
    "garnet": garnet(3),
    "two": side_by_side([garnet(0, states=5), garnet(1, states=7)]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_transitions_and_policies_are_probabilities(name):
    problem = PROBLEMS[name]
    totals = problem.transition.sum(-1)
    assert (problem.transition >= 0).all()
    assert (totals <= 1 + 1e-12).all()
    torch.testing.assert_close(problem.behaviour.sum(-1), torch.ones(problem.states, dtype=torch.float64))
    counts = problem.behaviour * ROWS
    torch.testing.assert_close(counts, counts.round())


def test_a_chain_matches_hand_computation():
    walk = chain(3, slip=0.1, discount=0.9)
    right = torch.tensor([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.0, 0.1, 0.0]], dtype=torch.float64)
    left = torch.tensor([[0.9, 0.1, 0.0], [0.9, 0.0, 0.1], [0.0, 0.9, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(walk.transition[:, 1], right)
    torch.testing.assert_close(walk.transition[:, 0], left)
    # The remainder of the last row reaches the goal: 0.9 to the right, 0.1 to the left.
    torch.testing.assert_close(1 - walk.transition[2].sum(-1), torch.tensor([0.1, 0.9], dtype=torch.float64))


def test_a_grid_matches_hand_computation():
    walk = grid(2, 2, slip=0.0, discount=0.9)
    up, down, left, right = walk.transition[0]
    assert up.tolist() == [1.0, 0.0, 0.0]
    assert down.tolist() == [0.0, 0.0, 1.0]
    assert left.tolist() == [1.0, 0.0, 0.0]
    assert right.tolist() == [0.0, 1.0, 0.0]
    assert walk.transition[1, 1].sum() == 0.0


def test_a_garnet_depends_only_on_its_seed():
    assert torch.equal(garnet(4).transition, garnet(4).transition)
    assert not torch.equal(garnet(4).transition, garnet(5).transition)
    assert ((garnet(4).transition > 0).sum(-1) == 3).all()
    assert (garnet(4).behaviour >= 1 / ROWS).all()


def test_problems_side_by_side_are_disconnected():
    first, second = garnet(0, states=5), garnet(1, states=7)
    both = side_by_side([first, second])
    torch.testing.assert_close(both.transition[:5, :, :5], first.transition)
    torch.testing.assert_close(both.transition[5:, :, 5:], second.transition)
    assert both.transition[:5, :, 5:].sum() == both.transition[5:, :, :5].sum() == 0.0
    assert torch.equal(both.reward, torch.cat((first.reward, second.reward)))


def right(problem):
    """The policy that always takes the last action."""
    policy = torch.zeros_like(problem.behaviour)
    policy[:, -1] = 1.0
    return policy


def test_a_deterministic_chain_costs_one_per_step():
    walk = chain(4, slip=0.0, discount=0.9)
    expected = [-(1 - 0.9**steps) / (1 - 0.9) for steps in (4, 3, 2, 1)]
    torch.testing.assert_close(policy_value(walk, right(walk)), torch.tensor(expected, dtype=torch.float64))
    assert return_variance(walk, right(walk)).abs().max() < 1e-12


def test_a_geometric_chain_has_the_known_mean_and_variance():
    """One cell, left with probability 0.8 per step: E[g^T] = 0.8 g / (1 - 0.2 g)."""
    walk, discount = chain(1, slip=0.2, discount=0.9), 0.9

    def generating_function(g):
        return 0.8 * g / (1 - 0.2 * g)

    mean = -(1 - generating_function(discount)) / (1 - discount)
    variance = (generating_function(discount**2) - generating_function(discount) ** 2) / (1 - discount) ** 2
    assert policy_value(walk, right(walk)).item() == pytest.approx(mean)
    assert return_variance(walk, right(walk)).item() == pytest.approx(variance)
    returns, probabilities = return_distribution(walk, right(walk), start=0)
    assert probabilities[-1].item() == pytest.approx(0.8)
    assert returns[-1].item() == -1.0
    assert (returns * probabilities).sum().item() == pytest.approx(mean)


def test_return_distributions_agree_with_linear_solves():
    walk = grid(3, 3, slip=0.3, discount=0.95)
    returns, probabilities = return_distribution(walk, walk.behaviour, start=2)
    mean = (returns * probabilities).sum()
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert mean.item() == pytest.approx(policy_value(walk, walk.behaviour)[2].item(), rel=1e-10)
    variance = ((returns - mean).square() * probabilities).sum().item()
    assert variance == pytest.approx(return_variance(walk, walk.behaviour)[2].item(), rel=1e-8)


@pytest.mark.parametrize("problem", [garnet(0), garnet(1, states=20), grid(3, 4, 0.2, 0.95)])
def test_the_optimal_value_satisfies_the_bellman_equation(problem):
    best = optimal_value(problem)
    torch.testing.assert_close(action_value(problem, best).amax(-1), best)
    assert (best >= policy_value(problem, problem.behaviour) - 1e-12).all()


def test_the_optimal_value_of_a_grid():
    walk = grid(2, 3, slip=0.0, discount=0.5)
    assert optimal_value(walk).tolist() == pytest.approx([-1.75, -1.5, -1.0, -1.5, -1.0])


def test_values_of_several_policies_in_one_call():
    problem = garnet(2)
    policies = torch.stack((problem.behaviour, greedy(problem.reward)))
    together = policy_value(problem, policies)
    for policy, value in zip(policies, together, strict=True):
        torch.testing.assert_close(value, policy_value(problem, policy))


def test_stopping_with_low_and_high_payoffs():
    problem = garnet(5)
    value = policy_value(problem, problem.behaviour)
    torch.testing.assert_close(stopping_value(problem, problem.behaviour, value - 1.0), value)
    high = torch.full_like(value, 5.0)
    torch.testing.assert_close(stopping_value(problem, problem.behaviour, high), high)


def test_stopping_matches_hand_computation():
    """A deterministic chain of three steps: stopping for -0.5 in the middle has value -1 - 0.9 x 0.5 at the start."""
    walk = chain(3, slip=0.0, discount=0.9)
    payoff = torch.tensor([-9.0, -0.5, -9.0], dtype=torch.float64)
    assert stopping_value(walk, right(walk), payoff).tolist() == pytest.approx([-1.45, -0.5, -1.0])


def test_the_loop_is_a_geometric_series():
    loop = one_state((-1.0, -3.0), (0.5, 0.5), discount=0.75)
    assert policy_value(loop, loop.behaviour).item() == pytest.approx(-8.0)
