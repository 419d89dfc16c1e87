"""Speed of the critic-loss kernel (forward and backward) relative to torch's matrix product."""

import sys
import time
from statistics import median

import torch

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels.build import load_library
from algorithms.kernels.fused_kernel import critic_gradient
from harness.launching.worker import keep_freed_memory
from harness.training.kernels import PACK_LIMIT
from tests.benchmarks.arithmetic import critic_products, matrix_product_peak
from tests.benchmarks.peers.sizes import SIZES, Size
from tests.benchmarks.peers.stopwatch import answer
from tests.support.kernel_inputs import random_inputs


class ShareMeter:
    """Measures the kernel on a random pack and the matrix product in turn."""

    def __init__(self, size: Size):
        load_library()
        sizes = (size.state_dim, size.action_dim, size.batch_size, size.n_actions)
        inputs = random_inputs(0, PACK_LIMIT, sizes, size.hidden)
        self.network, self.parameters, self.gradient = inputs.network, inputs.parameters, inputs.parameters.like()
        self.inputs = inputs.of_kernel(CriticLossForm("soft_maximum", True, size.lagrange))
        forward = critic_products(size.action_dim, size.hidden, PACK_LIMIT, size.batch_size, 1 + 3 * size.n_actions)
        self.products = 3 * forward
        self.once()

    def once(self) -> float:
        """Share of the matrix product's speed in one forward and backward pass."""
        start = time.process_time()
        critic_gradient(self.network, self.parameters, self.inputs, self.gradient)
        return self.products / (time.process_time() - start) / matrix_product_peak()

    def measure(self, seconds: float) -> float:
        """Median share over about `seconds`."""
        end = time.perf_counter() + seconds
        shares = [self.once()]
        while time.perf_counter() < end:
            shares.append(self.once())
        return median(shares)


def main() -> None:
    """Serve the named size."""
    torch.set_num_threads(1)
    keep_freed_memory()
    answer(ShareMeter(SIZES[sys.argv[1]]).measure)


if __name__ == "__main__":
    main()
