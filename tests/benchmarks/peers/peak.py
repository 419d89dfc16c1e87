"""Shares of the core's multiply-add peak that the critic kernel and whole updates reach, and the peak itself."""

import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels.build import load_library
from algorithms.kernels.fused_kernel import critic_gradient
from algorithms.kernels.speed import fma_peak, fma_rate
from harness.launching.worker import keep_freed_memory
from harness.training.kernels import PACK_LIMIT
from tests.benchmarks.arithmetic import critic_products
from tests.benchmarks.peers.ours import pack_update
from tests.benchmarks.peers.sizes import SIZES, Size
from tests.benchmarks.peers.stopwatch import WARM_UP, answer
from tests.support.kernel_inputs import random_inputs


def critic_work(size: Size, runs: int = PACK_LIMIT) -> tuple[Callable[[], object], int]:
    """The critic loss of a random pack, forward and backward, and its operations."""
    sizes = (size.state_dim, size.action_dim, size.batch_size, size.n_actions)
    inputs = random_inputs(0, runs, sizes, size.hidden)
    gradient, of_kernel = (
        inputs.parameters.like(),
        inputs.of_kernel(CriticLossForm("soft_maximum", True, size.lagrange)),
    )
    forward = critic_products(size.action_dim, size.hidden, runs, size.batch_size, 1 + 3 * size.n_actions)
    return lambda: critic_gradient(inputs.network, inputs.parameters, of_kernel, gradient), 3 * forward


def update_work(size: Size, runs: int = PACK_LIMIT) -> tuple[Callable[[], object], int]:
    """An update of a pack with fresh noise, and its operations."""
    return pack_update(size, runs), runs * size.update_operations()


def share(work: Callable[[], object], operations: int, seconds: float) -> float:
    """Median share of the peak over about `seconds`; work and bursts of multiply-adds alternate."""
    end, shares, before = time.perf_counter() + seconds, [], fma_rate()
    while time.perf_counter() < end or not shares:
        start = time.process_time()
        work()
        speed = operations / (time.process_time() - start)
        after = fma_rate()
        shares.append(2 * speed / (before + after))
        before = after
    return median(shares)


def main() -> None:
    """Serve `fma` (operations per second), or the share of `critic` or `update` at the named size."""
    torch.set_num_threads(1)
    keep_freed_memory()
    load_library()
    what, size = sys.argv[1], SIZES[sys.argv[2]]
    if what == "fma":
        answer(lambda seconds: fma_peak() / 1e9)
        return
    work, operations = {"critic": critic_work, "update": update_work}[what](size)
    for _ in range(WARM_UP):
        work()
    answer(lambda seconds: share(work, operations, seconds))


if __name__ == "__main__":
    main()
