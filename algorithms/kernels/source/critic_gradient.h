// Passes of one critic over a batch, tile by tile: values, values with their gradients with respect to the actions, and
// the critic loss with its gradient. The loss of a state depends on the values of this state only, so one pass
// suffices.
#pragma once

#include "critic_loss.h"
#include "value_network.h"

namespace floorbench {

// Approximate number of rows (states times actions) of a tile: large enough to amortise reading the weights, small
// enough for the cache.
constexpr long TILE_ROWS = 128;

inline long states_per_tile(long batch, long count) {
    const long most = TILE_ROWS / count > 0 ? TILE_ROWS / count : 1;
    return most < batch ? most : batch;
}

// B states [B, S] with K actions each [B, K, A].
template <typename Real>
struct BatchInputs {
    const Real *states, *actions;
    long batch, count;
};

// Call `function(first, used)` for each tile.
template <typename Function>
inline void in_tiles(long batch, long count, const Function& function) {
    const long most = states_per_tile(batch, count);
    for (long first = 0; first < batch; first += most) function(first, batch - first < most ? batch - first : most);
}

// Values [B, K] of one critic.
template <typename Real>
void critic_values(const NetworkShape& shape, const Real* parameters, const BatchInputs<Real>& inputs, Arena& arena,
                   Real* values) {
    const long states = states_per_tile(inputs.batch, inputs.count);
    arena.reset(PanelNetwork<Real>::bytes(shape) + Tile<Real>::bytes(shape, states, inputs.count));
    PanelNetwork<Real> network(shape, arena);
    network.read(shape, parameters);
    Tile<Real> tile(shape, states, inputs.count, arena);
    in_tiles(inputs.batch, inputs.count, [&](long first, long used) {
        const long row = first * inputs.count;
        tile.forward(network, inputs.states + first * shape.states, inputs.actions + row * shape.actions, used);
        std::memcpy(values + row, tile.values, used * inputs.count * sizeof(Real));
    });
}

// Values [B, K] of one critic and their gradients [B, K, A] with respect to the actions.
template <typename Real>
void critic_action_gradients(const NetworkShape& shape, const Real* parameters, const BatchInputs<Real>& inputs,
                             Arena& arena, Real* values, Real* action_gradients) {
    const long states = states_per_tile(inputs.batch, inputs.count), width = shape.widths[0];
    arena.reset(PanelNetwork<Real>::bytes(shape) + transposed_weights_bytes<Real>(shape) +
                Arena::bytes<Real>(Panels<Real>::size(width, shape.actions)) +
                Tile<Real>::bytes(shape, states, inputs.count) + Arena::bytes<Real>(states * inputs.count));
    PanelNetwork<Real> network(shape, arena);
    network.read(shape, parameters);
    const auto transposed = transposed_weights(shape, parameters, arena);
    const Panels<Real> of_actions{arena.take<Real>(Panels<Real>::size(width, shape.actions)), width, shape.actions};
    pack_transposed(parameters + shape.action_weight(), shape.actions, width, of_actions);
    Tile<Real> tile(shape, states, inputs.count, arena);
    Real* ones = arena.take<Real>(states * inputs.count);
    for (long row = 0; row < states * inputs.count; ++row) ones[row] = 1;
    in_tiles(inputs.batch, inputs.count, [&](long first, long used) {
        const long row = first * inputs.count;
        tile.forward(network, inputs.states + first * shape.states, inputs.actions + row * shape.actions, used);
        std::memcpy(values + row, tile.values, used * inputs.count * sizeof(Real));
        tile.action_gradient(network, transposed, of_actions, ones, used, action_gradients + row * shape.actions);
    });
}

// Returns the sums of the loss over the batch. Writes its gradient with respect to the values [B, K] and to the
// parameters (`gradient_row`).
template <typename Real>
CriticLossSums critic_gradient(const NetworkShape& shape, const Real* parameters, const BatchInputs<Real>& inputs,
                               const Real* target, const Real* log_density, const Real* floor, CriticLossForm form,
                               const CriticLossScalars<Real>& scalars, Arena& arena, Real* value_gradient,
                               Real* gradient_row) {
    const long count = inputs.count, n = (count - 1) / 3, states = states_per_tile(inputs.batch, count);
    arena.reset(2 * PanelNetwork<Real>::bytes(shape) + transposed_weights_bytes<Real>(shape) +
                Tile<Real>::bytes(shape, states, count) + Arena::bytes<Real>(padded_to_vectors<Real>(3 * n)));
    PanelNetwork<Real> network(shape, arena), gradient(shape, arena);
    network.read(shape, parameters);
    gradient.clear(shape);
    const auto transposed = transposed_weights(shape, parameters, arena);
    Tile<Real> tile(shape, states, count, arena);
    Real* work = arena.take<Real>(padded_to_vectors<Real>(3 * n));
    const Real weight = scalars.weight(form);
    CriticLossSums sums;
    in_tiles(inputs.batch, count, [&](long first, long used) {
        tile.forward(network, inputs.states + first * shape.states, inputs.actions + first * count * shape.actions,
                     used);
        for (long state = 0; state < used; ++state) {
            const long at = first + state;
            critic_loss<Real>(tile.values + state * count, n, {target[at], floor[at], log_density + at * 3 * n}, form,
                              scalars, weight, inputs.batch, value_gradient + at * count, work, sums);
        }
        tile.backward(network, transposed, value_gradient + first * count, used, gradient);
    });
    gradient.write(shape, gradient_row);
    return sums;
}

}  // namespace floorbench
