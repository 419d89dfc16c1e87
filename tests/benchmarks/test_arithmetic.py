"""The count of operations against sums made by hand."""

from tests.benchmarks.arithmetic import update_operations


def test_a_small_update_worked_by_hand():
    """One state of 3 numbers, actions of 2, one hidden layer of 4 units, n = 1, 1 candidate of the target."""
    assert update_operations(3, 2, (4,), batch=1, n=1, backup=1) == {
        # Two states, layers 3 x 4 and 4 x 4, two operations each.
        "policy at both states": 2 * 2 * (12 + 16),
        # Two critics: the state 3 x 4, the action 2 x 4 and the value 4 x 1.
        "target": 2 * 2 * (12 + 8 + 4),
        # Forward and to the weights: the state once, four actions; to the hidden layer: 4 x 1 for each action.
        "critic loss": 2 * 2 * (2 * (12 + 4 * (8 + 4)) + 4 * 4),
        # Two critics forward (12 + 8 + 4) and to the action (8 + 4); the policy to weights (12 + 16), to its layer 16.
        "policy loss": 2 * 2 * (12 + 8 + 4 + 8 + 4) + 2 * (12 + 16 + 16),
        # Policy: 16 + 20 + 2 parameters; critics: 2 x (24 + 5). Adam takes 12 operations, Polyak 3.
        "optimizer and target": 12 * (38 + 58) + 3 * 58,
    }


def test_twice_the_batch_doubles_the_products_only():
    one, two = (update_operations(6, 2, (64, 64), batch, 4, 1) for batch in (64, 128))
    assert {part for part in one if two[part] == 2 * one[part]} == one.keys() - {"optimizer and target"}
    assert two["optimizer and target"] == one["optimizer and target"]
