"""Finite problems have valid probabilities and the documented transitions."""

import pytest
import torch

from ablations.exact.problems import ROWS, chain, garnet, grid, one_state, side_by_side

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
