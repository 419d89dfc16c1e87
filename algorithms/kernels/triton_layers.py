"""Hidden layers of critics in Triton: linear maps, layer normalisation and ReLU, forward and backward.

The parts of `triton_critic`. Every function is run by a whole program for one tile of rows; between two of them there
has to be a barrier, because a thread reads what others have written. Imports Triton, which is optional: import this
module only where it is needed.
"""

import triton
import triton.language as tl


@triton.jit
def product(left, right, total, precision: tl.constexpr):
    """`total` plus the product of two matrices: "ieee" and "tf32" as Triton names them, or of operands in "bf16"."""
    if precision == "bf16":
        return tl.dot(left.to(tl.bfloat16), right.to(tl.bfloat16), total)
    else:
        return tl.dot(left, right, total, input_precision=precision, out_dtype=total.dtype)


@triton.jit
def add_to(pointers, values, mask, first):
    """Add `values` to those in memory, or replace them if they are the first."""
    before = tl.load(pointers, mask=mask & (not first), other=0.0)
    tl.store(pointers, before + values, mask=mask)


@triton.jit
def rectified(values):
    """The ReLU; NaN passes."""
    return tl.where(values <= 0.0, 0.0, values)


@triton.jit
def hidden_layer(
    weight,  # [width_before, width]
    bias,  # [width]
    before,  # [rows, stride] activations of the layer before
    after,  # [rows, stride] of this layer
    width_before: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
    stride: tl.constexpr,
    precision: tl.constexpr,
    is_linear: tl.constexpr,
):
    """The ReLU of a linear map, or the linear map itself, by blocks of columns."""
    column, in_rows = tl.arange(0, block), tl.arange(0, rows)[:, None] * stride
    for left in range(0, width, block):
        used = left + column < width
        of_bias = tl.load(bias + left + column, mask=used, other=0.0)
        total = tl.zeros([rows, block], weight.dtype.element_ty) + of_bias[None, :]
        for inner in range(0, width_before, block):
            factor = tl.load(
                weight + (inner + column)[:, None] * width + (left + column)[None, :],
                mask=(inner + column < width_before)[:, None] & used[None, :],
                other=0.0,
            )
            total = product(tl.load(before + in_rows + (inner + column)[None, :]), factor, total, precision)
        tl.store(after + in_rows + (left + column)[None, :], total if is_linear else rectified(total))


@triton.jit
def hidden_layer_backward(
    weight,  # [width_before, width]
    of_weight,  # [width_before, width] gradient, added to
    of_bias,  # [width] gradient, added to
    before,  # [rows, stride] activations of the layer before
    change,  # [rows, stride] gradient of the output of this layer's linear map
    change_before,  # [rows, stride] of the layer before
    is_first,
    width_before: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
    stride: tl.constexpr,
    precision: tl.constexpr,
):
    """The gradients of a layer's weight, bias and input, by blocks of columns."""
    column, in_rows = tl.arange(0, block), tl.arange(0, rows)[:, None] * stride
    for left in range(0, width, block):
        of_column = tl.sum(tl.load(change + in_rows + (left + column)[None, :]), 0)
        add_to(of_bias + left + column, of_column, left + column < width, is_first)
    for inner in range(0, width_before, block):
        active = tl.load(before + in_rows + (inner + column)[None, :])
        total = tl.zeros([rows, block], weight.dtype.element_ty)
        for left in range(0, width, block):
            delta = tl.load(change + in_rows + (left + column)[None, :])
            place = (inner + column)[:, None] * width + (left + column)[None, :]
            mask = (inner + column < width_before)[:, None] & (left + column < width)[None, :]
            total = product(delta, tl.trans(tl.load(weight + place, mask=mask, other=0.0)), total, precision)
            nothing = tl.zeros([block, block], weight.dtype.element_ty)
            add_to(of_weight + place, product(tl.trans(active), delta, nothing, precision), mask, is_first)
        tl.store(change_before + in_rows + (inner + column)[None, :], tl.where(active <= 0.0, 0.0, total))


@triton.jit
def normalise(
    scale,  # [width]
    shift,  # [width]
    linear,  # [rows, stride] output of the layer's linear map, replaced by the ReLU of the normalised one
    normalised,  # [rows, stride] before scale and shift, written
    inverse_deviation,  # [rows], written
    width: tl.constexpr,  # used columns
    rows: tl.constexpr,
    block: tl.constexpr,
    stride: tl.constexpr,
    epsilon: tl.constexpr,
):
    """Layer normalisation, scale, shift and ReLU, by blocks of columns; unused columns become zero."""
    column, row = tl.arange(0, block), tl.arange(0, rows)
    in_rows = row[:, None] * stride
    mean = tl.zeros([rows], linear.dtype.element_ty)
    for left in range(0, width, block):
        values = tl.load(linear + in_rows + (left + column)[None, :])
        mean += tl.sum(tl.where((left + column < width)[None, :], values, 0.0), 1) / width
    variance = tl.zeros([rows], linear.dtype.element_ty)
    for left in range(0, width, block):
        centred = tl.load(linear + in_rows + (left + column)[None, :]) - mean[:, None]
        variance += tl.sum(tl.where((left + column < width)[None, :], centred * centred, 0.0), 1) / width
    inverse = 1.0 / tl.sqrt(variance + epsilon)
    tl.store(inverse_deviation + row, inverse)
    for left in range(0, stride, block):
        used = left + column < width
        values = (tl.load(linear + in_rows + (left + column)[None, :]) - mean[:, None]) * inverse[:, None]
        values = tl.where(used[None, :], values, 0.0)
        tl.store(normalised + in_rows + (left + column)[None, :], values)
        factor = tl.load(scale + left + column, mask=used, other=0.0)
        values = values * factor[None, :] + tl.load(shift + left + column, mask=used, other=0.0)[None, :]
        tl.store(linear + in_rows + (left + column)[None, :], rectified(values))


@triton.jit
def normalise_backward(
    scale,  # [width]
    of_scale,  # [width] gradient, added to
    of_shift,  # [width] gradient, added to
    normalised,  # [rows, stride], see `normalise`
    inverse_deviation,  # [rows]
    change,  # [rows, stride] gradient before the ReLU, replaced by that of the linear map's output
    is_first,
    width: tl.constexpr,  # in memory
    used_width: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
    stride: tl.constexpr,
):
    """The gradients of a layer normalisation's scale, shift and input, by blocks of columns."""
    column, row = tl.arange(0, block), tl.arange(0, rows)
    in_rows = row[:, None] * stride
    mean = tl.zeros([rows], change.dtype.element_ty)
    projection = tl.zeros([rows], change.dtype.element_ty)
    for left in range(0, width, block):
        used, stored = left + column < used_width, left + column < width
        delta = tl.load(change + in_rows + (left + column)[None, :])
        values = tl.load(normalised + in_rows + (left + column)[None, :])
        add_to(of_scale + left + column, tl.sum(delta * values, 0), stored, is_first)
        add_to(of_shift + left + column, tl.sum(delta, 0), stored, is_first)
        delta = delta * tl.load(scale + left + column, mask=used, other=0.0)[None, :]
        mean += tl.sum(delta, 1) / used_width
        projection += tl.sum(delta * values, 1) / used_width
    inverse = tl.load(inverse_deviation + row)
    for left in range(0, stride, block):
        used = left + column < used_width
        delta = tl.load(change + in_rows + (left + column)[None, :])
        values = tl.load(normalised + in_rows + (left + column)[None, :])
        delta = delta * tl.load(scale + left + column, mask=used, other=0.0)[None, :]
        delta = (delta - mean[:, None] - values * projection[:, None]) * inverse[:, None]
        tl.store(change + in_rows + (left + column)[None, :], tl.where(used[None, :], delta, 0.0))
