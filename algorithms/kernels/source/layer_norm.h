// Layer normalisation of one hidden layer with the ReLU after it, as in algorithms/value_network.py: a row is shifted and
// scaled to mean 0 and variance 1, then scaled and shifted by learned rows.
#pragma once

#include <cmath>

#include "panels.h"

namespace floorbench {

// A learned scale and shift, or their gradients, one row each.
template <typename Real>
struct NormParameters {
    Panels<Real> scale, shift;

    NormParameters(long width, Arena& arena)
        : scale{arena.take<Real>(Panels<Real>::size(1, width)), 1, width},
          shift{arena.take<Real>(Panels<Real>::size(1, width)), 1, width} {}

    static size_t bytes(long width) { return 2 * Arena::bytes<Real>(Panels<Real>::size(1, width)); }
};

template <typename Real>
class LayerNorm {
public:
    static constexpr Real EPSILON = 1e-6;

    // For up to `rows` rows with `width` columns in memory, of which the first `used` are normalised and the others are
    // zero. Takes `bytes` of the arena.
    LayerNorm(long used, long width, long rows, Arena& arena)
        : normalised_{arena.take<Real>(Panels<Real>::size(rows, width)), rows, width},
          ones_{arena.take<Real>(Panels<Real>::size(1, width)), 1, width},
          inverse_(arena.take<Real>(rows)),
          sums_{arena.take<Real>(rows), arena.take<Real>(rows)},
          used_(used) {
        ones_.clear();
        for (long column = 0; column < used; ++column) ones_.at(0, column) = 1;
    }

    static size_t bytes(long width, long rows) {
        return Arena::bytes<Real>(Panels<Real>::size(rows, width)) +
               Arena::bytes<Real>(Panels<Real>::size(1, width)) + 3 * Arena::bytes<Real>(rows);
    }

    // Replace the first `rows` rows of the linear map's output by the output of the ReLU.
    void forward(const NormParameters<Real>& parameters, Panels<Real> layer, long rows) {
        row_sums(layer, rows, ones_, Real(0), sums_[0]);
        for (long row = 0; row < rows; ++row) sums_[0][row] /= used_;
        for_each_vector(rows, [&](long panel, long column, long row, long at) {
            const Vector<Real> centred = load(layer.panel(panel) + at) - sums_[0][row];
            store(normalised_.panel(panel) + at, centred * load(ones_.panel(panel) + column));
        });
        row_sums<Real, PANEL<Real>>(normalised_, rows, normalised_, Real(0), sums_[1]);
        for (long row = 0; row < rows; ++row) inverse_[row] = 1 / std::sqrt(sums_[1][row] / used_ + EPSILON);
        for_each_vector(rows, [&](long panel, long column, long row, long at) {
            const Vector<Real> normalised = load(normalised_.panel(panel) + at) * inverse_[row];
            store(normalised_.panel(panel) + at, normalised);
            const Vector<Real> scaled = normalised * load(parameters.scale.panel(panel) + column);
            store(layer.panel(panel) + at, relu<Real>(scaled + load(parameters.shift.panel(panel) + column)));
        });
    }

    // Replace the gradient before the ReLU (after scale and shift) by that of the linear map's output, and add those of
    // scale and shift to `gradient` unless it is null.
    void backward(const NormParameters<Real>& parameters, Panels<Real> delta, long rows,
                  const NormParameters<Real>* gradient) {
        if (gradient) add_gradient(delta, rows, *gradient);
        for_each_vector(rows, [&](long panel, long column, long, long at) {
            Real* to = delta.panel(panel) + at;
            store(to, load(to) * load(parameters.scale.panel(panel) + column));
        });
        row_sums(delta, rows, ones_, Real(0), sums_[0]);
        row_sums<Real, PANEL<Real>>(delta, rows, normalised_, Real(0), sums_[1]);
        for (long row = 0; row < rows; ++row) {
            sums_[0][row] /= used_;
            sums_[1][row] /= used_;
        }
        for_each_vector(rows, [&](long panel, long column, long row, long at) {
            Real* to = delta.panel(panel) + at;
            const Vector<Real> across = load(to) - sums_[0][row] - sums_[1][row] * load(normalised_.panel(panel) + at);
            store(to, across * inverse_[row] * load(ones_.panel(panel) + column));
        });
    }

private:
    // Call `function(panel, column in the panel, row, offset in the panel)` for every vector of the first `rows` rows.
    template <typename Function>
    void for_each_vector(long rows, const Function& function) const {
        for (long panel = 0; panel < normalised_.count(); ++panel)
            for (long row = 0; row < rows; ++row)
                for (long column = 0; column < PANEL<Real>; column += LANES<Real>)
                    function(panel, column, row, row * PANEL<Real> + column);
    }

    void add_gradient(Panels<Real> delta, long rows, const NormParameters<Real>& gradient) const {
        for (long panel = 0; panel < delta.count(); ++panel)
            for (long column = 0; column < PANEL<Real>; column += LANES<Real>) {
                Real *to_scale = gradient.scale.panel(panel) + column, *to_shift = gradient.shift.panel(panel) + column;
                Vector<Real> of_scale = load(to_scale), of_shift = load(to_shift);
                for (long row = 0; row < rows; ++row) {
                    const Vector<Real> of_row = load(delta.panel(panel) + row * PANEL<Real> + column);
                    of_scale += of_row * load(normalised_.panel(panel) + row * PANEL<Real> + column);
                    of_shift += of_row;
                }
                store(to_scale, of_scale);
                store(to_shift, of_shift);
            }
    }

    Panels<Real> normalised_, ones_;
    Real *inverse_, *sums_[2];  // of each row: inverse of the standard deviation, intermediate sums
    long used_;
};

}  // namespace floorbench
