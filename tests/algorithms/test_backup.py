"""The Bellman target, worked by hand."""

import pytest
import torch

from algorithms.critic_loss import TargetInputs, bellman_target

# One run, two critics, one state, three candidate actions. Smaller critic per action: 1, 2, 0; critics' bests: 5, 4.
VALUES = torch.tensor([[[[1.0, 2.0, 5.0]], [[4.0, 3.0, 0.0]]]])
LOG_PROB = torch.tensor([[[10.0, 20.0, 30.0]]])


def target(max_backup, temperature=None, terminal=0.0, values=VALUES, log_prob=LOG_PROB):
    entropy = None if temperature is None else torch.tensor([temperature])
    reward, terminal = torch.tensor([[1.0]]), torch.tensor([[terminal]])
    inputs = TargetInputs(reward, terminal, torch.tensor([0.5]), values, log_prob, max_backup, entropy)
    return bellman_target(inputs).item()


def test_min_then_max_backup():
    assert target("min_then_max") == 1 + 0.5 * 2


def test_the_smaller_of_the_critics_own_bests():
    assert target("max_then_min") == 1 + 0.5 * 4


@pytest.mark.parametrize("kind", ["off", "mean_action"])
def test_one_action(kind):
    assert target(kind, values=VALUES[..., :1], log_prob=LOG_PROB[..., :1]) == 1 + 0.5 * 1


@pytest.mark.parametrize(("order", "value"), [("min_then_max", 2 - 0.1 * 20), ("max_then_min", 4 - 0.1 * 10)])
def test_the_entropy_of_the_chosen_action_is_subtracted(order, value):
    assert target(order, temperature=0.1) == pytest.approx(1 + 0.5 * value)


def test_nothing_follows_a_terminal():
    assert target("min_then_max", terminal=1.0) == 1.0
