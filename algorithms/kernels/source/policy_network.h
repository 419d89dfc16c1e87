// The policy of algorithms/policy_network.py on a whole batch: its Gaussians, samples of them, and its gradient.
#pragma once

#include <vector>

#include "arena.h"
#include "elementary.h"
#include "panels.h"

namespace floorbench {

// Sizes of a policy and where its tensors begin in a row of parameters: weight and bias of each layer, the output's
// included, then the multiplier and the offset of the log-std.
struct PolicyShape {
    long states, actions;
    std::vector<long> widths;
    std::vector<long> offsets;

    long layers() const { return static_cast<long>(widths.size()); }
    long inputs(long layer) const { return layer ? widths[layer - 1] : states; }
    long weight(long layer) const { return offsets[2 * layer]; }
    long bias(long layer) const { return offsets[2 * layer + 1]; }
    long multiplier() const { return offsets[2 * layers()]; }
    long offset() const { return offsets[2 * layers() + 1]; }
};

template <typename Real>
class Policy {
public:
    static constexpr Real LOG_STD_MIN = -20, LOG_STD_MAX = 2;

    // The Gaussians at states [B, S]. The arena keeps everything until it is reset; `room` says how much that is.
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
            const auto connect = layer + 1 < shape.layers() ? product<Real, Finish::rectify>
                                                            : product<Real, Finish::plain>;
            connect(signals_[layer], weight, bias.data, PANEL<Real>, signals_[layer + 1], 0, batch);
        }
    }

    static size_t room(const PolicyShape& shape, long batch) {
        size_t total = Arena::bytes<Real>(Panels<Real>::size(batch | 1, shape.states));
        for (long layer = 0; layer < shape.layers(); ++layer)
            total += Arena::bytes<Real>(Panels<Real>::size(shape.inputs(layer), shape.widths[layer])) +
                     Arena::bytes<Real>(Panels<Real>::size(1, shape.widths[layer])) +
                     Arena::bytes<Real>(Panels<Real>::size(batch | 1, shape.widths[layer]));
        return total;
    }

    Real mean(long state, long action) const { return signals_.back().at(state, action); }
    Real raw_log_std(long state, long action) const { return signals_.back().at(state, shape_.actions + action); }
    Real unclipped_log_std(long state, long action) const {
        return multiplier() * raw_log_std(state, action) + parameters_[shape_.offset()];
    }
    Real log_std(long state, long action) const {
        const Real own = unclipped_log_std(state, action);
        return own < LOG_STD_MIN ? LOG_STD_MIN : own > LOG_STD_MAX ? LOG_STD_MAX : own;
    }

    // n actions [B, n, A] per state from standard normal noise [B, n, A], with their log-probabilities [B, n]. `work`
    // has room for `sampling_room` numbers.
    void sample(const Real* noise, long n, Real* work, Real* actions, Real* log_prob) const {
        constexpr Real HALF_LOG_2_PI = 0.918938533204672742;
        const long width = shape_.actions, count = batch_ * n * width;
        Real *raw = work, *log_slope = work + whole(count);
        for (long state = 0; state < batch_; ++state)
            for (long action = 0; action < width; ++action) {
                const Real center = mean(state, action), scale = std::exp(log_std(state, action));
                for (long at = state * n * width + action; at < (state + 1) * n * width; at += width)
                    raw[at] = center + scale * noise[at];
            }
        for (long at = count; at < whole(count); ++at) raw[at] = 0;
        squash(raw, log_slope, count);
        std::memcpy(actions, raw, count * sizeof(Real));
        for (long state = 0; state < batch_; ++state)
            for (long own = 0; own < n; ++own) {
                Real total = 0;
                for (long action = 0; action < width; ++action) {
                    const long at = (state * n + own) * width + action;
                    total += Real(-0.5) * noise[at] * noise[at] - log_std(state, action) - HALF_LOG_2_PI - log_slope[at];
                }
                log_prob[state * n + own] = total;
            }
    }

    static long whole(long count) { return (count + LANES<Real> - 1) / LANES<Real> * LANES<Real>; }
    static long sampling_room(const PolicyShape& shape, long batch, long n) {
        return 2 * whole(batch * n * shape.actions);
    }

    // Write into a row of parameters what the loss's slopes [B, A] in mean and log-std mean for them. Uses up the
    // activations; the arena has `backward_room` left.
    void backward(const Real* of_mean, const Real* of_log_std, Arena& arena, Real* gradient) {
        const long width = shape_.actions;
        Panels<Real>& output = signals_.back();
        double of_multiplier = 0, of_offset = 0;
        for (long state = 0; state < batch_; ++state)
            for (long action = 0; action < width; ++action) {
                const Real raw = raw_log_std(state, action), unclipped = unclipped_log_std(state, action);
                const bool inside = unclipped >= LOG_STD_MIN && unclipped <= LOG_STD_MAX;
                const Real own = inside ? of_log_std[state * width + action] : 0;
                of_multiplier += own * raw;
                of_offset += own;
                output.at(state, action) = of_mean[state * width + action];
                output.at(state, width + action) = own * multiplier();
            }
        gradient[shape_.multiplier()] = of_multiplier;
        gradient[shape_.offset()] = of_offset;
        for (long state = 0; state < batch_; ++state)
            for (long column = 2 * width; column < output.columns; ++column) output.at(state, column) = 0;
        for (long layer = shape_.layers() - 1; layer >= 0; --layer) {
            const long inputs = shape_.inputs(layer), outputs = shape_.widths[layer];
            const auto cleared = [&](long rows) {
                const Panels<Real> made{arena.take<Real>(Panels<Real>::size(rows, outputs)), rows, outputs};
                made.clear();
                return made;
            };
            const Panels<Real> of_weight = cleared(inputs), of_bias = cleared(1);
            add_outer(signals_[layer], signals_[layer + 1], batch_, of_weight);
            add_rows(signals_[layer + 1], batch_, of_bias.data);
            unpack(of_weight, inputs, gradient + shape_.weight(layer));
            unpack(of_bias, 1, gradient + shape_.bias(layer));
            if (!layer) break;
            const Panels<Real> transposed{arena.take<Real>(Panels<Real>::size(outputs, inputs)), outputs, inputs};
            pack_transposed(parameters_ + shape_.weight(layer), inputs, outputs, transposed);
            product<Real, Finish::mask>(signals_[layer + 1], transposed, nullptr, 0, signals_[layer], 0, batch_);
        }
    }

    static size_t backward_room(const PolicyShape& shape) {
        size_t total = 0;
        for (long layer = 0; layer < shape.layers(); ++layer) {
            const long inputs = shape.inputs(layer), outputs = shape.widths[layer];
            total += Arena::bytes<Real>(Panels<Real>::size(inputs, outputs)) +
                     Arena::bytes<Real>(Panels<Real>::size(1, outputs)) +
                     Arena::bytes<Real>(Panels<Real>::size(outputs, inputs));
        }
        return total;
    }

private:
    Real multiplier() const { return parameters_[shape_.multiplier()]; }

    const PolicyShape& shape_;
    const Real* parameters_;
    long batch_;
    std::vector<Panels<Real>> signals_;  // states, then the output of each layer
};

}  // namespace floorbench
