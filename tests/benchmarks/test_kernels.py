"""The critics by both kernels against the matrix-product peak of torch, measured beside them."""

import time
from math import prod

import pytest
import torch

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels.build import load_library
from algorithms.kernels.kernel import KERNELS
from tests.kernels.inputs import CRITICS, random_inputs

# Time of the one thread that computes: other processes on the machine take none of it.
pytestmark = pytest.mark.benchmark(timer=time.process_time)

# State and action dimensions, batch and n; widths of the hidden layers.
SIZES = {
    "64x2": ((6, 2, 64, 4), (64, 64)),
    "256x2": ((29, 8, 256, 10), (256, 256)),
    "256x4": ((29, 8, 256, 10), (256, 256, 256, 256)),
    "512x3": ((29, 8, 256, 10), (512, 512, 512)),
}

# Larger packs of the larger sizes take minutes and, in torch, gigabytes.
CASES = [
    ("64x2", 1, "fused"), ("64x2", 1, "torch"), ("64x2", 8, "fused"), ("64x2", 8, "torch"), ("64x2", 64, "fused"),
    ("64x2", 64, "torch"), ("256x2", 1, "fused"), ("256x2", 1, "torch"), ("256x2", 8, "fused"), ("256x2", 8, "torch"),
    ("256x2", 64, "fused"), ("256x4", 1, "fused"), ("256x4", 1, "torch"), ("256x4", 8, "fused"), ("512x3", 1, "fused"),
    ("512x3", 1, "torch"), ("512x3", 8, "fused"),
]  # fmt: skip

SECONDS = 1.0


def products(size, runs):
    """Floating-point operations of the matrix products of one pass forward; what is done once per state left out."""
    (_, action_dim, batch, n), hidden = SIZES[size]
    weights = sum(map(prod, zip((action_dim, *hidden), (*hidden, 1), strict=True)))
    return 2 * runs * CRITICS * batch * (1 + 3 * n) * weights


def peak():
    """Operations per second of torch's matrix product of 1024 x 256 by 256 x 256, the best of a few."""
    left, right = torch.randn(1024, 256), torch.randn(256, 256)
    out = torch.empty(1024, 256)
    best = float("inf")
    for _ in range(10):
        start = time.process_time()
        for _ in range(10):
            torch.mm(left, right, out=out)
        best = min(best, (time.process_time() - start) / 10)
    return 2 * left.numel() * right.shape[1] / best


def measure(benchmark, capsys, operations, work):
    """Run `work` for about a second; say how fast it was and what share of the peak that is."""
    start = time.process_time()
    work()
    rounds = max(3, int(SECONDS / (time.process_time() - start)))
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)
    speed, highest = operations / benchmark.stats.stats.min, peak()
    benchmark.extra_info |= {"gflops": speed / 1e9, "peak_gflops": highest / 1e9, "share": speed / highest}
    with capsys.disabled():
        print(f"\n{benchmark.name}: {speed / 1e9:.1f} GFLOP/s, {speed / highest:.0%} of {highest / 1e9:.1f}")


@pytest.mark.parametrize(("size", "runs", "kernel"), CASES)
def test_critic_loss(benchmark, capsys, size, runs, kernel):
    load_library()
    inputs = random_inputs(0, runs, *SIZES[size])
    arguments = [value for name, value in vars(inputs).items() if name != "scalars"]
    form, into = CriticLossForm("soft_maximum", True, False), inputs.parameters.like()
    # Forward, and backward to inputs and to weights.
    measure(
        benchmark,
        capsys,
        3 * products(size, runs),
        lambda: KERNELS[kernel].critic_gradient(*arguments, form, inputs.scalars, into),
    )
    assert into.flat.isfinite().all()


@pytest.mark.parametrize(("size", "runs", "kernel"), CASES)
def test_values(benchmark, capsys, size, runs, kernel):
    load_library()
    inputs = random_inputs(0, runs, *SIZES[size])
    arguments = inputs.network, inputs.parameters, inputs.states, inputs.actions
    measure(benchmark, capsys, products(size, runs), lambda: KERNELS[kernel].values(*arguments))
