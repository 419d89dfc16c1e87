// The networks of algorithms/value_network.py, evaluated on tiles of a few states with all their actions.
//
// The state's part of the first layer is computed once per state. A tile's activations stay in the cache.
#pragma once

#include <vector>

#include "first_layer.h"
#include "layer_norm.h"

namespace floorbench {

// Sizes of a network and the offsets of its tensors in a row of parameters: state_weight, action_weight, bias_0, then
// weight and bias of each further layer, output_weight, output_bias; with layer normalisation, scale and shift of each
// layer.
struct NetworkShape {
    long states, actions;
    std::vector<long> widths;
    std::vector<long> offsets;
    std::vector<long> normalised;  // columns of each layer that are normalised; empty without layer normalisation

    long layers() const { return static_cast<long>(widths.size()); }
    long state_weight() const { return offsets[0]; }
    long action_weight() const { return offsets[1]; }
    long weight(long layer) const { return offsets[1 + 2 * layer]; }
    long bias(long layer) const { return offsets[2 + 2 * layer]; }
    long output_weight() const { return offsets[2 * layers() + 1]; }
    long output_bias() const { return offsets[2 * layers() + 2]; }
    long scale(long layer) const { return offsets[2 * layers() + 3 + 2 * layer]; }
    long shift(long layer) const { return offsets[2 * layers() + 4 + 2 * layer]; }
};

// The parameters of a network, or their gradient, in panels.
template <typename Real>
struct PanelNetwork {
    Panels<Real> state_weight, action_weight;
    std::vector<Panels<Real>> weights;  // of layers 1, 2, ...
    std::vector<Panels<Real>> biases;   // of all layers, one row each
    Panels<Real> output_weight;
    Real output_bias;
    std::vector<NormParameters<Real>> norms;  // of all layers, if they are normalised

    PanelNetwork(const NetworkShape& shape, Arena& arena) {
        const auto matrix = [&](long rows, long columns) {
            return Panels<Real>{arena.take<Real>(Panels<Real>::size(rows, columns)), rows, columns};
        };
        state_weight = matrix(shape.states, shape.widths[0]);
        action_weight = matrix(shape.actions, shape.widths[0]);
        for (long layer = 0; layer < shape.layers(); ++layer) {
            if (layer) weights.push_back(matrix(shape.widths[layer - 1], shape.widths[layer]));
            biases.push_back(matrix(1, shape.widths[layer]));
        }
        output_weight = matrix(1, shape.widths.back());
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            norms.emplace_back(shape.widths[layer], arena);
    }

    static size_t bytes(const NetworkShape& shape) {
        const auto matrix = [](long rows, long columns) {
            return Arena::bytes<Real>(Panels<Real>::size(rows, columns));
        };
        size_t total = matrix(shape.states, shape.widths[0]) + matrix(shape.actions, shape.widths[0]);
        for (long layer = 0; layer < shape.layers(); ++layer)
            total +=
                matrix(1, shape.widths[layer]) + (layer ? matrix(shape.widths[layer - 1], shape.widths[layer]) : 0);
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            total += NormParameters<Real>::bytes(shape.widths[layer]);
        return total + matrix(1, shape.widths.back());
    }

    // Call `function(matrix, rows, offset)` for every tensor except the output bias.
    template <typename Function>
    void for_each_tensor(const NetworkShape& shape, const Function& function) const {
        function(state_weight, shape.states, shape.state_weight());
        function(action_weight, shape.actions, shape.action_weight());
        for (long layer = 0; layer < shape.layers(); ++layer) {
            function(biases[layer], 1, shape.bias(layer));
            if (layer) function(weights[layer - 1], shape.widths[layer - 1], shape.weight(layer));
        }
        function(output_weight, 1, shape.output_weight());
        for (size_t layer = 0; layer < norms.size(); ++layer) {
            function(norms[layer].scale, 1, shape.scale(layer));
            function(norms[layer].shift, 1, shape.shift(layer));
        }
    }

    void read(const NetworkShape& shape, const Real* parameters) {
        for_each_tensor(shape, [&](Panels<Real> matrix, long rows, long offset) {
            pack(parameters + offset, rows, matrix.columns, matrix);
        });
        output_bias = parameters[shape.output_bias()];
    }

    void write(const NetworkShape& shape, Real* parameters) const {
        for_each_tensor(
            shape, [&](Panels<Real> matrix, long rows, long offset) { unpack(matrix, rows, parameters + offset); });
        parameters[shape.output_bias()] = output_bias;
    }

    void clear(const NetworkShape& shape) {
        for_each_tensor(shape, [](Panels<Real> matrix, long, long) { matrix.clear(); });
        output_bias = 0;
    }
};

// Transposed weights of layers 1, 2, ... for the backward pass.
template <typename Real>
std::vector<Panels<Real>> transposed_weights(const NetworkShape& shape, const Real* parameters, Arena& arena) {
    std::vector<Panels<Real>> transposed;
    for (long layer = 1; layer < shape.layers(); ++layer) {
        const long inputs = shape.widths[layer - 1], outputs = shape.widths[layer];
        transposed.push_back({arena.take<Real>(Panels<Real>::size(outputs, inputs)), outputs, inputs});
        pack_transposed(parameters + shape.weight(layer), inputs, outputs, transposed.back());
    }
    return transposed;
}

template <typename Real>
size_t transposed_weights_bytes(const NetworkShape& shape) {
    size_t total = 0;
    for (long layer = 1; layer < shape.layers(); ++layer)
        total += Arena::bytes<Real>(Panels<Real>::size(shape.widths[layer], shape.widths[layer - 1]));
    return total;
}

// A few states with `count` actions each: their inputs, activations and values.
template <typename Real>
struct Tile {
    long count;                        // actions per state
    Panels<Real> states, actions;      // inputs; actions only if there are too many for `given_actions` to suffice
    Matrix<Real> given_actions;        // of the last forward pass
    Panels<Real> of_states;            // the states' part of the first layer, then its gradient
    std::vector<Panels<Real>> hidden;  // activations of each layer, then the gradient of the linear map's output
    std::vector<LayerNorm<Real>> norms;  // of each layer, if they are normalised
    Real* values;

    // Odd numbers of rows keep panels from mapping to the same cache lines.
    Tile(const NetworkShape& shape, long states_per_tile, long actions_per_state, Arena& arena)
        : count(actions_per_state) {
        const auto matrix = [&](long rows, long columns) {
            return Panels<Real>{arena.take<Real>(Panels<Real>::size(rows | 1, columns)), rows | 1, columns};
        };
        const long rows = states_per_tile * count;
        states = matrix(states_per_tile, shape.states);
        actions = matrix(rows, shape.actions);
        of_states = matrix(states_per_tile, shape.widths[0]);
        for (const long width : shape.widths) hidden.push_back(matrix(rows, width));
        values = arena.take<Real>(rows);
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            norms.emplace_back(shape.normalised[layer], shape.widths[layer], rows | 1, arena);
    }

    static size_t bytes(const NetworkShape& shape, long states_per_tile, long count) {
        const auto matrix = [](long rows, long columns) {
            return Arena::bytes<Real>(Panels<Real>::size(rows | 1, columns));
        };
        const long rows = states_per_tile * count;
        size_t total = matrix(states_per_tile, shape.states) + matrix(states_per_tile, shape.widths[0]);
        total += matrix(rows, shape.actions) + Arena::bytes<Real>(rows);
        for (const long width : shape.widths) total += matrix(rows, width);
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            total += LayerNorm<Real>::bytes(shape.widths[layer], rows | 1);
        return total;
    }

    // Compute the values of `used` states [used, S] with actions [used, count, A].
    void forward(const PanelNetwork<Real>& network, const Real* from_states, const Real* from_actions, long used) {
        const long rows = used * count;
        pack_inputs(from_states, used, states.columns, states);
        given_actions = {from_actions, actions.columns};
        if (!few_actions() || !norms.empty()) pack_inputs(from_actions, rows, actions.columns, actions);
        product<Real, Epilogue::none>(states, network.state_weight, network.biases[0].data, PANEL<Real>, of_states, 0,
                                      used);
        const auto connect = norms.empty() ? product<Real, Epilogue::relu> : product<Real, Epilogue::none>;
        if (few_actions() && norms.empty())
            grouped_product(given_actions, network.action_weight, of_states, hidden[0], used, count);
        else
            for (long state = 0; state < used; ++state)
                connect(actions, network.action_weight, of_states.row(state), of_states.rows * PANEL<Real>, hidden[0],
                        state * count, count);
        for (size_t layer = 0; layer < hidden.size(); ++layer) {
            if (layer)
                connect(hidden[layer - 1], network.weights[layer - 1], network.biases[layer].data, PANEL<Real>,
                        hidden[layer], 0, rows);
            if (!norms.empty()) norms[layer].forward(network.norms[layer], hidden[layer], rows);
        }
        row_sums(hidden.back(), rows, network.output_weight, network.output_bias, values);
    }

    bool few_actions() const { return actions.columns <= few_inputs(1); }

    // `last_layer_gradient` for PANELS panels at once, so that enough sums are computed independently of each other.
    template <int PANELS>
    __attribute__((noinline)) void last_panels_gradient(const PanelNetwork<Real>& network, const Real* value_gradient, long rows, long panel,
                              PanelNetwork<Real>* gradient) {
        constexpr int VECTORS = PAIR * PANELS;
        const auto row_of = [panel](Panels<Real> matrix, long row, int vector) {
            return vector_of(matrix.panel(panel) + row * PANEL<Real>, matrix.rows * PANEL<Real>, vector);
        };
        Vector<Real> weight[VECTORS], of_weight[VECTORS] = {}, of_bias[VECTORS] = {};
        unrolled<VECTORS>([&](auto vector) { weight[vector] = load(row_of(network.output_weight, 0, vector)); });
        for (long row = 0; row < rows; ++row) {
            const Real of_value = value_gradient[row];
            unrolled<VECTORS>([&](auto vector) __attribute__((always_inline)) {
                Real* at = row_of(hidden.back(), row, vector);
                const Vector<Real> activation = load_once(at);
                const Vector<Real> delta = relu_backward<Real>(of_value * weight[vector], activation);
                of_weight[vector] += of_value * activation;
                of_bias[vector] += delta;
                store(at, delta);
            });
        }
        if (!gradient) return;
        const auto add = [](Real* to, Vector<Real> sum) { store(to, load(to) + sum); };
        unrolled<VECTORS>([&](auto vector) {
            add(row_of(gradient->output_weight, 0, vector), of_weight[vector]);
            if (hidden.size() > 1 && norms.empty()) add(row_of(gradient->biases.back(), 0, vector), of_bias[vector]);
        });
    }

    // Backpropagate through the output layer and the last ReLU; with `gradient`, add the gradient of the output and,
    // without layer normalisation, of the last bias.
    void last_layer_gradient(const PanelNetwork<Real>& network, const Real* value_gradient, long used,
                             PanelNetwork<Real>* gradient) {
        const long rows = used * count, panels = hidden.back().count();
        long panel = 0;
        for (; panel + 2 <= panels; panel += 2) last_panels_gradient<2>(network, value_gradient, rows, panel, gradient);
        if (panel < panels) last_panels_gradient<1>(network, value_gradient, rows, panel, gradient);
        if (gradient)
            for (long row = 0; row < rows; ++row) gradient->output_bias += value_gradient[row];
    }

    // Backpropagate through the layer normalisation of a layer, if there is one.
    void norm_gradient(const PanelNetwork<Real>& network, size_t layer, long rows, PanelNetwork<Real>* gradient) {
        if (norms.empty()) return;
        norms[layer].backward(network.norms[layer], hidden[layer], rows, gradient ? &gradient->norms[layer] : nullptr);
    }

    // Backpropagate `value_gradient` [used, count] and add the gradient of the parameters to `gradient`.
    void backward(const PanelNetwork<Real>& network, const std::vector<Panels<Real>>& transposed,
                  const Real* value_gradient, long used, PanelNetwork<Real>& gradient) {
        const long rows = used * count;
        const size_t last = hidden.size() - 1;
        last_layer_gradient(network, value_gradient, used, &gradient);
        norm_gradient(network, last, rows, &gradient);
        if (last && !norms.empty()) add_rows(hidden[last], rows, gradient.biases[last].data);
        for (size_t layer = last; layer > 0; --layer) {
            add_outer(hidden[layer - 1], hidden[layer], rows, gradient.weights[layer - 1]);
            product<Real, Epilogue::relu_backward>(hidden[layer], transposed[layer - 1], nullptr, 0, hidden[layer - 1],
                                                   0, rows);
            norm_gradient(network, layer - 1, rows, &gradient);
            if (layer > 1) add_rows(hidden[layer - 1], rows, gradient.biases[layer - 1].data);
        }
        if (few_actions())
            add_grouped_outer(given_actions, hidden[0], gradient.action_weight, of_states, used, count);
        else {
            add_outer(actions, hidden[0], rows, gradient.action_weight);
            of_states.clear();
            for (long panel = 0; panel < of_states.count(); ++panel)
                for (long state = 0; state < used; ++state) {
                    const Panels<Real> rows_of_state{hidden[0].panel(panel) + state * count * PANEL<Real>, count,
                                                     PANEL<Real>};
                    add_rows(rows_of_state, count, of_states.panel(panel) + state * PANEL<Real>);
                }
        }
        add_outer(states, of_states, used, gradient.state_weight);
        add_rows(of_states, used, gradient.biases[0].data);
    }

    // Gradient [used, count, A] of every value with respect to its action; `ones` is a row of used * count ones.
    void action_gradient(const PanelNetwork<Real>& network, const std::vector<Panels<Real>>& transposed,
                         Panels<Real> action_weight_transposed, const Real* ones, long used, Real* into) {
        const long rows = used * count;
        last_layer_gradient(network, ones, used, nullptr);
        norm_gradient(network, hidden.size() - 1, rows, nullptr);
        for (size_t layer = hidden.size() - 1; layer > 0; --layer) {
            product<Real, Epilogue::relu_backward>(hidden[layer], transposed[layer - 1], nullptr, 0, hidden[layer - 1],
                                                   0, rows);
            norm_gradient(network, layer - 1, rows, nullptr);
        }
        product<Real, Epilogue::none>(hidden[0], action_weight_transposed, nullptr, 0, actions, 0, rows);
        unpack(actions, rows, into);
    }
};

}  // namespace floorbench
