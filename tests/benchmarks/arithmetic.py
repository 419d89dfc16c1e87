"""Floating-point operations of the measured parts, and the speed of torch's matrix product."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

CRITICS = 2


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


def matrix_product_peak(clock: Callable[[], float] = time.process_time) -> float:
    """Operations per second of torch's product of a 1024 x 256 and a 256 x 256 matrix; the best of ten."""
    left, right = torch.randn(1024, 256), torch.randn(256, 256)
    out = torch.empty(1024, 256)
    best = float("inf")
    for _ in range(10):
        start = clock()
        for _ in range(10):
            torch.mm(left, right, out=out)
        best = min(best, (clock() - start) / 10)
    return 2 * left.numel() * right.shape[1] / best
