"""A step of Adam and a Polyak update in Triton, each in one kernel that reads and writes every element once.

Imports Triton, which is optional: import this module only where it is needed.
"""

import triton
import triton.language as tl


@triton.jit
def adam_kernel(
    flat,  # [N, size]; rows of it and of the next three are `stride` elements apart
    first,
    second,
    gradient,
    learning_rate,  # [N], `rate_stride` elements apart
    corrections,  # [2], see `StepCount`
    stride,
    rate_stride,
    size,
    beta_1: tl.constexpr,
    beta_2: tl.constexpr,
    block: tl.constexpr,
):
    """A step of Adam, see `Adam.step`."""
    row, index = tl.program_id(0), tl.program_id(1) * block + tl.arange(0, block)
    place, mask = row * stride + index, index < size
    derivative = tl.load(gradient + place, mask=mask, other=0.0)
    mean = tl.load(first + place, mask=mask, other=0.0)
    square = tl.load(second + place, mask=mask, other=0.0)
    mean += (derivative - mean) * (1.0 - beta_1)
    square = square * beta_2 + derivative * derivative * (1.0 - beta_2)
    step_size = tl.load(learning_rate + row * rate_stride) * tl.load(corrections)
    step = mean * step_size / (tl.sqrt(square) + tl.load(corrections + 1))
    tl.store(first + place, mean, mask=mask)
    tl.store(second + place, square, mask=mask)
    tl.store(flat + place, tl.load(flat + place, mask=mask, other=0.0) - step, mask=mask)


@triton.jit
def polyak_kernel(
    targets,  # [N, size]
    flat,  # [N, size]
    tau,  # [N]
    size,
    block: tl.constexpr,
):
    """`targets += tau * (flat - targets)`."""
    row, index = tl.program_id(0), tl.program_id(1) * block + tl.arange(0, block)
    place, mask = row * size + index, index < size
    before = tl.load(targets + place, mask=mask, other=0.0)
    change = tl.load(tau + row) * (tl.load(flat + place, mask=mask, other=0.0) - before)
    tl.store(targets + place, before + change, mask=mask)
