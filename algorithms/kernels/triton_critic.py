"""The critics' gradient in Triton: a program takes a part of the batch of one critic from inputs to gradients.

Imports Triton, which is optional: import this module only where it is needed. Sums over states have a fixed order that
depends on the batch size alone, so a run's bits do not depend on its pack.
"""

import triton
import triton.language as tl

from algorithms.kernels.triton_layers import (
    add_to,
    hidden_layer,
    hidden_layer_backward,
    normalise,
    normalise_backward,
    product,
    rectified,
)
from algorithms.kernels.triton_loss import regulariser_weight, tile_loss


@triton.jit
def critic_gradient_kernel(
    parameters,  # [R * C, row]
    states,  # [R, B, S]
    actions,  # [R, B, 1 + 3n, A]
    target,  # [R, B]
    log_density,  # [R, B, 3n]
    floor,  # [R, B]
    alpha,  # [R], and so are the other scalars
    temperature,
    difference_min,
    difference_max,
    raw_multiplier,
    work,  # [R * C, parts, work_size]
    gradient,  # [R * C, parts, row] of every part
    value_gradient,  # [R * C, B, 1 + 3n]
    sums,  # [R * C, parts, 4], see `tile_loss`
    row: tl.constexpr,
    work_size: tl.constexpr,
    critics: tl.constexpr,
    batch: tl.constexpr,
    n: tl.constexpr,
    state_dim: tl.constexpr,
    action_dim: tl.constexpr,
    action_rows: tl.constexpr,  # of the action weight in memory
    widths: tl.constexpr,  # of the hidden layers in memory
    normalised_widths: tl.constexpr,  # used columns of the hidden layers with layer normalisation, or nothing
    epsilon: tl.constexpr,  # of the layer normalisation
    offsets: tl.constexpr,  # of the tensors in a row of parameters
    gaps: tl.constexpr,  # unused elements of a row: (first, end) of each gap, fewer than 64 elements long
    chosen: tl.constexpr,  # see `Options`; Triton uses the name "options" itself
    part: tl.constexpr,  # states of a part
    tile: tl.constexpr,  # states of a tile
    columns: tl.constexpr,  # actions of a state, rounded up to a power of two
    block: tl.constexpr,  # columns of a hidden layer computed at once
    state_block: tl.constexpr,  # state dimensions taken at once
    action_block: tl.constexpr,  # action dimension, rounded up
    stride: tl.constexpr,  # columns of a row of `work`
    precision: tl.constexpr,
):
    """One part of the batch of one critic: forward, loss and backward, tile by tile.

    `work` of a program holds the state's part of the first layer per state (later its gradient), the activations of the
    tile per layer, and two buffers of gradients of activations; with layer normalisation, the normalised values and the
    inverse deviations of the tile per layer. It stays in the GPU's caches.
    """
    critic, number, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    run = critic // critics
    layers: tl.constexpr = len(widths)
    rows: tl.constexpr = tile * columns
    used_columns: tl.constexpr = 1 + 3 * n
    strip: tl.constexpr = 32
    parameters += critic * row
    gradient += (critic * parts + number) * row
    of_states = work + (critic * parts + number) * work_size
    activations = of_states + part * stride
    deltas = activations + layers * rows * stride
    normalised = deltas + 2 * rows * stride
    inverses = normalised + layers * rows * stride
    has_norm: tl.constexpr = len(normalised_widths) > 0
    norms: tl.constexpr = 3 + 2 * layers  # index of the first layer's scale among the tensors
    start = number * part
    end = tl.minimum(start + part, batch)

    column = tl.arange(0, block)
    in_rows = tl.arange(0, rows)[:, None] * stride
    state_of_row = tl.arange(0, rows) // columns
    action_of_row = tl.arange(0, rows) % columns
    action_index = tl.arange(0, action_block)
    state_index = tl.arange(0, state_block)
    in_strip = tl.arange(0, strip)
    width_0: tl.constexpr = widths[0]
    width_last: tl.constexpr = widths[layers - 1]

    for gap in tl.static_range(len(gaps)):
        place = gaps[gap][0] + tl.arange(0, 64)
        tl.store(gradient + place, tl.zeros([64], parameters.dtype.element_ty), mask=place < gaps[gap][1])

    # The state's part of the first layer.
    for left in range(0, width_0, block):
        wide = left + column < width_0
        bias = tl.load(parameters + offsets[2] + left + column, mask=wide, other=0.0)
        for first in range(0, part, strip):
            index = start + first + in_strip
            total = tl.zeros([strip, block], parameters.dtype.element_ty) + bias[None, :]
            for dim in range(0, state_dim, state_block):
                dims = dim + state_index
                inputs = tl.load(
                    states + (run * batch + index[:, None]) * state_dim + dims[None, :],
                    mask=(index[:, None] < end) & (dims[None, :] < state_dim),
                    other=0.0,
                )
                weight = tl.load(
                    parameters + offsets[0] + dims[:, None] * width_0 + (left + column)[None, :],
                    mask=(dims[:, None] < state_dim) & wide[None, :],
                    other=0.0,
                )
                total = product(inputs, weight, total, precision)
            tl.store(of_states + (first + in_strip)[:, None] * stride + (left + column)[None, :], total)
    tl.debug_barrier()

    weight_of_loss = regulariser_weight(tl.load(alpha + run), tl.load(raw_multiplier + run), chosen)
    temperature_of_run = tl.load(temperature + run)
    low, high = tl.load(difference_min + run), tl.load(difference_max + run)
    output_bias = tl.load(parameters + offsets[4 + 2 * (layers - 1)])
    zero = tl.zeros([], parameters.dtype.element_ty)
    squared, difference, below_current, below_following, of_output_bias = zero, zero, zero, zero, zero

    for at in range(start, end, tile):
        is_first = at == start
        state = at + state_of_row
        row_used = (state < end) & (action_of_row < used_columns)
        inputs = tl.load(
            actions
            + ((run * batch + state) * used_columns + action_of_row)[:, None] * action_dim
            + action_index[None, :],
            mask=row_used[:, None] & (action_index[None, :] < action_dim),
            other=0.0,
        )
        # Forward.
        for left in range(0, width_0, block):
            total = tl.load(of_states + (at - start + state_of_row)[:, None] * stride + (left + column)[None, :])
            weight = tl.load(
                parameters + offsets[1] + action_index[:, None] * width_0 + (left + column)[None, :],
                mask=(action_index[:, None] < action_dim) & (left + column < width_0)[None, :],
                other=0.0,
            )
            total = product(inputs, weight, total, precision)
            tl.store(activations + in_rows + (left + column)[None, :], total if has_norm else rectified(total))
        tl.debug_barrier()
        if has_norm:
            normalise(
                parameters + offsets[norms],
                parameters + offsets[norms + 1],
                activations,
                normalised,
                inverses,
                normalised_widths[0],
                rows,
                block,
                stride,
                epsilon,
            )
            tl.debug_barrier()
        for layer in tl.static_range(1, layers):
            hidden_layer(
                parameters + offsets[1 + 2 * layer],
                parameters + offsets[2 + 2 * layer],
                activations + (layer - 1) * rows * stride,
                activations + layer * rows * stride,
                widths[layer - 1],
                widths[layer],
                rows,
                block,
                stride,
                precision,
                has_norm,
            )
            tl.debug_barrier()
            if has_norm:
                normalise(
                    parameters + offsets[norms + 2 * layer],
                    parameters + offsets[norms + 2 * layer + 1],
                    activations + layer * rows * stride,
                    normalised + layer * rows * stride,
                    inverses + layer * rows,
                    normalised_widths[layer],
                    rows,
                    block,
                    stride,
                    epsilon,
                )
                tl.debug_barrier()
        last = activations + (layers - 1) * rows * stride + in_rows
        output = tl.zeros([rows], parameters.dtype.element_ty) + output_bias
        for left in range(0, width_last, block):
            weight = tl.load(
                parameters + offsets[3 + 2 * (layers - 1)] + left + column, mask=left + column < width_last, other=0.0
            )
            output += tl.sum(tl.load(last + (left + column)[None, :]) * weight[None, :], 1)

        # Loss.
        tile_state = at + tl.arange(0, tile)
        tile_used = tile_state < end
        tile_column = tl.arange(0, columns)[None, :]
        sampled = tile_used[:, None] & (tile_column >= 1) & (tile_column < used_columns)
        density = tl.load(
            log_density + (run * batch + tile_state)[:, None] * (3 * n) + tile_column - 1, mask=sampled, other=0.0
        )
        of_value, more_squared, more_difference, more_current, more_following = tile_loss(
            tl.reshape(output, [tile, columns]),
            density,
            tl.load(target + run * batch + tile_state, mask=tile_used, other=0.0),
            tl.load(floor + run * batch + tile_state, mask=tile_used, other=0.0),
            tile_used,
            weight_of_loss,
            temperature_of_run,
            low,
            high,
            batch,
            n,
            columns,
            chosen,
        )
        squared += more_squared
        difference += more_difference
        below_current += more_current
        below_following += more_following
        tl.store(
            value_gradient + (critic * batch + tile_state)[:, None] * used_columns + tile_column,
            of_value,
            mask=tile_used[:, None] & (tile_column < used_columns),
        )
        of_row = tl.reshape(of_value, [rows])
        of_output_bias += tl.sum(of_row, 0)

        # Backward.
        delta = deltas + in_rows
        for left in range(0, width_last, block):
            wide = left + column < width_last
            weight = tl.load(parameters + offsets[3 + 2 * (layers - 1)] + left + column, mask=wide, other=0.0)
            active = tl.load(last + (left + column)[None, :])
            add_to(
                gradient + offsets[3 + 2 * (layers - 1)] + left + column,
                tl.sum(active * of_row[:, None], 0),
                wide,
                is_first,
            )
            change = of_row[:, None] * weight[None, :]
            tl.store(delta + (left + column)[None, :], tl.where(active <= 0.0, 0.0, change))
        tl.debug_barrier()
        if has_norm:
            normalise_backward(
                parameters + offsets[norms + 2 * (layers - 1)],
                gradient + offsets[norms + 2 * (layers - 1)],
                gradient + offsets[norms + 2 * (layers - 1) + 1],
                normalised + (layers - 1) * rows * stride,
                inverses + (layers - 1) * rows,
                deltas,
                is_first,
                widths[layers - 1],
                normalised_widths[layers - 1],
                rows,
                block,
                stride,
            )
            tl.debug_barrier()
        for layer in tl.static_range(layers - 1, 0, -1):
            hidden_layer_backward(
                parameters + offsets[1 + 2 * layer],
                gradient + offsets[1 + 2 * layer],
                gradient + offsets[2 + 2 * layer],
                activations + (layer - 1) * rows * stride,
                deltas + (layers - 1 - layer) % 2 * rows * stride,
                deltas + (layers - layer) % 2 * rows * stride,
                is_first,
                widths[layer - 1],
                widths[layer],
                rows,
                block,
                stride,
                precision,
            )
            tl.debug_barrier()
            if has_norm:
                normalise_backward(
                    parameters + offsets[norms + 2 * (layer - 1)],
                    gradient + offsets[norms + 2 * (layer - 1)],
                    gradient + offsets[norms + 2 * (layer - 1) + 1],
                    normalised + (layer - 1) * rows * stride,
                    inverses + (layer - 1) * rows,
                    deltas + (layers - layer) % 2 * rows * stride,
                    is_first,
                    widths[layer - 1],
                    normalised_widths[layer - 1],
                    rows,
                    block,
                    stride,
                )
                tl.debug_barrier()
        delta = deltas + (layers - 1) % 2 * rows * stride + in_rows
        for left in range(0, width_0, block):
            change = tl.load(delta + (left + column)[None, :])
            of_weight = tl.zeros([action_block, block], parameters.dtype.element_ty)
            add_to(
                gradient + offsets[1] + action_index[:, None] * width_0 + (left + column)[None, :],
                product(tl.trans(inputs), change, of_weight, precision),
                (action_index[:, None] < action_rows) & (left + column < width_0)[None, :],
                is_first,
            )
            # Every element of the state's part has been read by the forward pass of this tile.
            tl.store(
                of_states + (at - start + tl.arange(0, tile))[:, None] * stride + (left + column)[None, :],
                tl.sum(tl.reshape(change, [tile, columns, block]), 1),
            )
        tl.debug_barrier()

    # The gradient of the state's part.
    for left in range(0, width_0, block):
        wide = left + column < width_0
        of_bias = tl.zeros([block], parameters.dtype.element_ty)
        for first in range(0, part, strip):
            index = start + first + in_strip
            change = tl.load(
                of_states + (first + in_strip)[:, None] * stride + (left + column)[None, :],
                mask=(index < end)[:, None],
                other=0.0,
            )
            of_bias += tl.sum(change, 0)
        tl.store(gradient + offsets[2] + left + column, of_bias, mask=wide)
        for dim in range(0, state_dim, state_block):
            dims = dim + state_index
            of_weight = tl.zeros([state_block, block], parameters.dtype.element_ty)
            for first in range(0, part, strip):
                index = start + first + in_strip
                inputs = tl.load(
                    states + (run * batch + index[None, :]) * state_dim + dims[:, None],
                    mask=(index[None, :] < end) & (dims[:, None] < state_dim),
                    other=0.0,
                )
                change = tl.load(
                    of_states + (first + in_strip)[:, None] * stride + (left + column)[None, :],
                    mask=(index < end)[:, None],
                    other=0.0,
                )
                of_weight = product(inputs, change, of_weight, precision)
            tl.store(
                gradient + offsets[0] + dims[:, None] * width_0 + (left + column)[None, :],
                of_weight,
                mask=(dims[:, None] < state_dim) & wide[None, :],
            )
    tl.store(gradient + offsets[4 + 2 * (layers - 1)], of_output_bias)
    place = sums + (critic * parts + number) * 4
    tl.store(place, squared)
    tl.store(place + 1, difference)
    tl.store(place + 2, below_current)
    tl.store(place + 3, below_following)


@triton.jit
def sum_of_parts_kernel(
    parts,  # [R * C, count, row]
    total,  # [R * C, row]
    count: tl.constexpr,
    row: tl.constexpr,
    block: tl.constexpr,
):
    """The sum of the gradients of the parts, in their order."""
    critic, index = tl.program_id(0), tl.program_id(1) * block + tl.arange(0, block)
    result = tl.zeros([block], parts.dtype.element_ty)
    for part in range(count):
        result += tl.load(parts + (critic * count + part) * row + index, mask=index < row, other=0.0)
    tl.store(total + critic * row + index, result, mask=index < row)
