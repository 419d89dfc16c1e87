"""Floating-point operations of what is measured, and how many torch's matrix product does per second."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

CRITICS = 2


def critic_products(action_dim: int, hidden: Sequence[int], runs: int, batch: int, actions: int) -> int:
    """Operations of the matrix products of one pass forward of both critics, `actions` per state.

    The states' part of the first product, done once per state, is left out. Forward and backward is three times that.
    """
    weights = sum(inputs * outputs for inputs, outputs in pairwise((action_dim, *hidden, 1)))
    return 2 * runs * CRITICS * batch * actions * weights


def policy_products(state_dim: int, action_dim: int, hidden: Sequence[int], runs: int, batch: int) -> int:
    """Operations of the matrix products of one pass forward of the policies."""
    weights = sum(inputs * outputs for inputs, outputs in pairwise((state_dim, *hidden, 2 * action_dim)))
    return 2 * runs * batch * weights


def matrix_product_peak(clock: Callable[[], float] = time.process_time) -> float:
    """Operations per second of torch's product of 1024 x 256 by 256 x 256 numbers, the best of a few."""
    left, right = torch.randn(1024, 256), torch.randn(256, 256)
    out = torch.empty(1024, 256)
    best = float("inf")
    for _ in range(10):
        start = clock()
        for _ in range(10):
            torch.mm(left, right, out=out)
        best = min(best, (clock() - start) / 10)
    return 2 * left.numel() * right.shape[1] / best
