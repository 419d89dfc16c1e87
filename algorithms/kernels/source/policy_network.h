// The policy of algorithms/policy_network.py on a whole batch: distributions, samples and gradient.
#pragma once

#include <vector>

#include "layer_norm.h"

namespace floorbench {

// Sizes of a policy and the offsets of its tensors in a row of parameters: weight and bias of each layer, including the
// output layer, then multiplier and offset of the log-std; with layer normalisation, scale and shift of each hidden layer.
struct PolicyShape {
    long states, actions;
    std::vector<long> widths;
    std::vector<long> offsets;
    std::vector<long> normalised;  // columns of each hidden layer that are normalised; empty without layer normalisation

    long layers() const { return static_cast<long>(widths.size()); }
    long inputs(long layer) const { return layer ? widths[layer - 1] : states; }
    long weight(long layer) const { return offsets[2 * layer]; }
    long bias(long layer) const { return offsets[2 * layer + 1]; }
    long multiplier() const { return offsets[2 * layers()]; }
    long offset() const { return offsets[2 * layers() + 1]; }
    long scale(long layer) const { return offsets[2 * layers() + 2 + 2 * layer]; }
    long shift(long layer) const { return offsets[2 * layers() + 3 + 2 * layer]; }
};

template <typename Real>
class Policy {
public:
    static constexpr Real LOG_STD_MIN = -20, LOG_STD_MAX = 2;

    // Compute the distributions at states [B, S]. Takes `bytes` of the arena, which must not be reset afterwards.
    Policy(const PolicyShape& shape, const Real* parameters, const Real* states, long batch, Arena& arena)
        : shape_(shape), parameters_(parameters), batch_(batch) {
        const auto matrix = [&](long rows, long columns) {
            return Panels<Real>{arena.take<Real>(Panels<Real>::size(rows, columns)), rows, columns};
        };
        signals_.push_back(matrix(batch | 1, shape.states));
        pack(states, batch, shape.states, signals_[0]);
        for (long layer = 0; layer < shape.layers(); ++layer) {
            const Panels<Real> weight = matrix(shape.inputs(layer), shape.widths[layer]);
            const Panels<Real> bias = matrix(1, shape.widths[layer]);
            pack(parameters + shape.weight(layer), weight.rows, weight.columns, weight);
            pack(parameters + shape.bias(layer), 1, bias.columns, bias);
            signals_.push_back(matrix(batch | 1, shape.widths[layer]));
            const bool is_hidden = layer + 1 < shape.layers(), is_normalised = is_hidden && !shape.normalised.empty();
            const auto connect =
                is_hidden && !is_normalised ? product<Real, Epilogue::relu> : product<Real, Epilogue::none>;
            connect(signals_[layer], weight, bias.data, PANEL<Real>, signals_[layer + 1], 0, batch);
            if (!is_normalised) continue;
            norms_.emplace_back(shape.normalised[layer], shape.widths[layer], batch, arena);
            norm_parameters_.emplace_back(shape.widths[layer], arena);
            pack(parameters + shape.scale(layer), 1, shape.widths[layer], norm_parameters_[layer].scale);
            pack(parameters + shape.shift(layer), 1, shape.widths[layer], norm_parameters_[layer].shift);
            norms_[layer].forward(norm_parameters_[layer], signals_[layer + 1], batch);
        }
        log_std_ = arena.take<Real>(batch * shape.actions);
        std_ = arena.take<Real>(batch * shape.actions);
        for (long state = 0; state < batch; ++state)
            for (long action = 0; action < shape.actions; ++action) {
                const long at = state * shape.actions + action;
                const Real unclipped = unclipped_log_std(state, action);
                log_std_[at] = unclipped < LOG_STD_MIN ? LOG_STD_MIN : unclipped > LOG_STD_MAX ? LOG_STD_MAX : unclipped;
                std_[at] = std::exp(log_std_[at]);
            }
    }

    static size_t bytes(const PolicyShape& shape, long batch) {
        size_t total = Arena::bytes<Real>(Panels<Real>::size(batch | 1, shape.states)) +
                       2 * Arena::bytes<Real>(batch * shape.actions);
        for (long layer = 0; layer < shape.layers(); ++layer)
            total += Arena::bytes<Real>(Panels<Real>::size(shape.inputs(layer), shape.widths[layer])) +
                     Arena::bytes<Real>(Panels<Real>::size(1, shape.widths[layer])) +
                     Arena::bytes<Real>(Panels<Real>::size(batch | 1, shape.widths[layer]));
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            total += LayerNorm<Real>::bytes(shape.widths[layer], batch) +
                     NormParameters<Real>::bytes(shape.widths[layer]);
        return total;
    }

    Real mean(long state, long action) const { return signals_.back().at(state, action); }
    Real raw_log_std(long state, long action) const { return signals_.back().at(state, shape_.actions + action); }
    Real unclipped_log_std(long state, long action) const {
        return multiplier() * raw_log_std(state, action) + parameters_[shape_.offset()];
    }
    Real standard_deviation(long state, long action) const { return std_[state * shape_.actions + action]; }

    // Sample n actions [B, n, A] per state from standard normal noise [B, n, A], with log-probabilities [B, n]. `work`
    // is a buffer of `sampling_size` elements.
    void sample(const Real* noise, long n, Real* work, Real* actions, Real* log_prob) const {
        constexpr Real HALF_LOG_2_PI = 0.918938533204672742;
        const long width = shape_.actions, count = batch_ * n * width;
        Real *raw = work, *log_derivative = work + padded(count);
        for (long state = 0; state < batch_; ++state)
            for (long action = 0; action < width; ++action) {
                const Real center = mean(state, action), scale = standard_deviation(state, action);
                for (long at = state * n * width + action; at < (state + 1) * n * width; at += width)
                    raw[at] = center + scale * noise[at];
            }
        for (long at = count; at < padded(count); ++at) raw[at] = 0;
        squash(raw, log_derivative, count);
        std::memcpy(actions, raw, count * sizeof(Real));
        const Real* log_std = log_std_;
        for (long state = 0, at = 0; state < batch_; ++state, log_std += width)
            for (long index = 0; index < n; ++index) {
                Real total = 0;
                for (long action = 0; action < width; ++action, ++at) {
                    // Rounded: a multiply-add would change the bits of earlier runs.
                    Real square = Real(-0.5) * noise[at] * noise[at];
                    keep(square);
                    total += square - log_std[action] - HALF_LOG_2_PI - log_derivative[at];
                }
                *log_prob++ = total;
            }
    }

    static long padded(long count) { return (count + LANES<Real> - 1) / LANES<Real> * LANES<Real>; }
    static long sampling_size(const PolicyShape& shape, long batch, long n) {
        return 2 * padded(batch * n * shape.actions);
    }

    // Write the gradient with respect to the parameters, given the loss's gradients [B, A] with respect to mean and
    // log-std. Overwrites the activations; takes `backward_bytes` of the arena.
    void backward(const Real* of_mean, const Real* of_log_std, Arena& arena, Real* gradient) {
        const long width = shape_.actions;
        Panels<Real>& output = signals_.back();
        double of_multiplier = 0, of_offset = 0;
        for (long state = 0; state < batch_; ++state)
            for (long action = 0; action < width; ++action) {
                const Real raw = raw_log_std(state, action), unclipped = unclipped_log_std(state, action);
                const bool inside = unclipped >= LOG_STD_MIN && unclipped <= LOG_STD_MAX;
                const Real gradient_of_log_std = inside ? of_log_std[state * width + action] : 0;
                of_multiplier += gradient_of_log_std * raw;
                of_offset += gradient_of_log_std;
                output.at(state, action) = of_mean[state * width + action];
                output.at(state, width + action) = gradient_of_log_std * multiplier();
            }
        gradient[shape_.multiplier()] = of_multiplier;
        gradient[shape_.offset()] = of_offset;
        for (long state = 0; state < batch_; ++state)
            for (long column = 2 * width; column < output.columns; ++column) output.at(state, column) = 0;
        for (long layer = shape_.layers() - 1; layer >= 0; --layer) {
            const long inputs = shape_.inputs(layer), outputs = shape_.widths[layer];
            const auto zeros = [&](long rows) {
                const Panels<Real> matrix{arena.take<Real>(Panels<Real>::size(rows, outputs)), rows, outputs};
                matrix.clear();
                return matrix;
            };
            const Panels<Real> of_weight = zeros(inputs), of_bias = zeros(1);
            add_outer(signals_[layer], signals_[layer + 1], batch_, of_weight);
            add_rows(signals_[layer + 1], batch_, of_bias.data);
            unpack(of_weight, inputs, gradient + shape_.weight(layer));
            unpack(of_bias, 1, gradient + shape_.bias(layer));
            if (!layer) break;
            const Panels<Real> transposed{arena.take<Real>(Panels<Real>::size(outputs, inputs)), outputs, inputs};
            pack_transposed(parameters_ + shape_.weight(layer), inputs, outputs, transposed);
            product<Real, Epilogue::relu_backward>(signals_[layer + 1], transposed, nullptr, 0, signals_[layer], 0,
                                                   batch_);
            if (norms_.empty()) continue;
            const NormParameters<Real> of_norm(inputs, arena);
            of_norm.scale.clear();
            of_norm.shift.clear();
            norms_[layer - 1].backward(norm_parameters_[layer - 1], signals_[layer], batch_, &of_norm);
            unpack(of_norm.scale, 1, gradient + shape_.scale(layer - 1));
            unpack(of_norm.shift, 1, gradient + shape_.shift(layer - 1));
        }
    }

    static size_t backward_bytes(const PolicyShape& shape) {
        size_t total = 0;
        for (long layer = 0; layer < shape.layers(); ++layer) {
            const long inputs = shape.inputs(layer), outputs = shape.widths[layer];
            total += Arena::bytes<Real>(Panels<Real>::size(inputs, outputs)) +
                     Arena::bytes<Real>(Panels<Real>::size(1, outputs)) +
                     Arena::bytes<Real>(Panels<Real>::size(outputs, inputs));
        }
        for (size_t layer = 0; layer < shape.normalised.size(); ++layer)
            total += NormParameters<Real>::bytes(shape.widths[layer]);
        return total;
    }

private:
    Real multiplier() const { return parameters_[shape_.multiplier()]; }

    const PolicyShape& shape_;
    const Real* parameters_;
    long batch_;
    std::vector<Panels<Real>> signals_;  // states, then the output of each layer
    Real *log_std_, *std_;               // [B, A], clipped
    std::vector<LayerNorm<Real>> norms_;  // of the hidden layers, if they are normalised
    std::vector<NormParameters<Real>> norm_parameters_;
};

}  // namespace floorbench
