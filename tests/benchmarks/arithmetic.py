"""Floating-point operations that an update of Cal-QL needs, whoever computes it.

A multiplication with an addition counts as two operations. Elementwise functions (ReLU, exp, tanh, the loss of given
values) are left out, so that shares of a machine's peak are lower bounds.
"""

from collections.abc import Sequence
from itertools import pairwise

CRITICS = 2

# Operations per parameter: Adam moves two moments (3 and 4) and the parameter (5: root, sum, quotient, product,
# difference).
ADAM, POLYAK = 12, 3


def critic_products(action_dim: int, hidden: Sequence[int], runs: int, batch: int, actions: int) -> int:
    """Operations of the matrix products in a forward pass of both critics with `actions` actions per state.

    Excludes the state's part of the first layer, computed once per state. Forward plus backward is three times that.
    """
    weights = sum(inputs * outputs for inputs, outputs in pairwise((action_dim, *hidden, 1)))
    return 2 * runs * CRITICS * batch * actions * weights


def policy_products(state_dim: int, action_dim: int, hidden: Sequence[int], runs: int, batch: int) -> int:
    """Operations of the matrix products in a forward pass of the policies."""
    weights = sum(inputs * outputs for inputs, outputs in pairwise((state_dim, *hidden, 2 * action_dim)))
    return 2 * runs * batch * weights


def update_operations(
    state_dim: int, action_dim: int, hidden: Sequence[int], batch: int, n: int, backup: int
) -> dict[str, int]:
    """Operations of the parts of one run's update; `n` actions of each kind, `backup` candidates of the target.

    The policy is evaluated once per state and batch. Gradients are taken with respect to the weights, and where these
    need it to a layer's inputs.
    """
    state_part = 2 * CRITICS * batch * state_dim * hidden[0]
    action_part = 2 * CRITICS * batch * action_dim * hidden[0]
    policy = policy_products(state_dim, action_dim, hidden, 1, batch)
    count = 1 + 3 * n
    forward = critic_products(action_dim, hidden, 1, batch, count)
    one_action = critic_products(action_dim, hidden, 1, batch, 1)
    policy_parameters = _parameters((state_dim, *hidden, 2 * action_dim)) + 2
    critic_parameters = CRITICS * _parameters((state_dim + action_dim, *hidden, 1))
    return {
        "policy at both states": 2 * policy,
        "target": state_part + critic_products(action_dim, hidden, 1, batch, backup),
        # Forward, to weights, and to the inputs of all layers except the first.
        "critic loss": 2 * (state_part + forward) + forward - count * action_part,
        # Critics: forward and to the action. Policy: to weights, and to the inputs of all layers except the first.
        "policy loss": state_part + 2 * one_action + 2 * policy - 2 * batch * state_dim * hidden[0],
        "optimizer and target": ADAM * (policy_parameters + critic_parameters) + POLYAK * critic_parameters,
    }


def _parameters(widths: Sequence[int]) -> int:
    """Weights and biases of a network."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
