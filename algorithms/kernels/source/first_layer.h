// The actions' part of the first layer: products with so few numbers per row that registers hold a whole factor or sum.
//
// Rows come in groups, one per state; the state's part of the layer is the same for a whole group.
#pragma once

#include "panels.h"

namespace floorbench {

// A row-major matrix.
template <typename Real>
struct Matrix {
    const Real* data;
    long columns;
};

// Vectors of PANELS neighbouring panels: `vector` 0 ... PAIR * PANELS - 1 of a row.
template <typename Real>
inline Real* vector_of(Real* row, long panel_step, int vector) {
    return row + vector / PAIR * panel_step + vector % PAIR * LANES<Real>;
}

// out[row] = ReLU(start of the row's group + in[row] * weight) for PANELS panels and groups of `count` rows. The starts
// are consecutive rows.
template <typename Real, int INPUTS, int PANELS>
void grouped_block(Matrix<Real> in, Panels<Real> weight, Panels<Real> start, Panels<Real> out, long panel, long groups,
                   long count) {
    constexpr int VECTORS = PAIR * PANELS;
    const auto row_of = [panel](Panels<Real> matrix, long row, int vector) {
        return vector_of(matrix.panel(panel) + row * PANEL<Real>, matrix.rows * PANEL<Real>, vector);
    };
    Vector<Real> weights[INPUTS][VECTORS];
    unrolled<INPUTS>([&](auto input) {
        unrolled<VECTORS>([&](auto vector) { weights[input][vector] = load(row_of(weight, input, vector)); });
    });
    const Real* numbers = in.data;
    for (long group = 0, row = 0; group < groups; ++group) {
        Vector<Real> of_group[VECTORS];
        unrolled<VECTORS>([&](auto vector) { of_group[vector] = load(row_of(start, group, vector)); });
        for (const long after = row + count; row < after; ++row, numbers += INPUTS) {
            Vector<Real> sums[VECTORS];
            unrolled<VECTORS>([&](auto vector) { sums[vector] = of_group[vector]; });
            unrolled<INPUTS>([&](auto input) {
                const Real number = numbers[input];
                unrolled<VECTORS>([&](auto vector) { sums[vector] += number * weights[input][vector]; });
            });
            unrolled<VECTORS>([&](auto vector) { store(row_of(out, row, vector), relu<Real>(sums[vector])); });
        }
    }
}

// into[input] += sum over rows of in[row, input] * right[row], and of_groups[group] = sum of the group's rows of `right`,
// for PANELS panels.
template <typename Real, int INPUTS, int PANELS>
void grouped_gradient_block(Matrix<Real> in, Panels<Real> right, Panels<Real> into, Panels<Real> of_groups, long panel,
                            long groups, long count) {
    constexpr int VECTORS = PAIR * PANELS;
    const auto row_of = [panel](Panels<Real> matrix, long row, int vector) {
        return vector_of(matrix.panel(panel) + row * PANEL<Real>, matrix.rows * PANEL<Real>, vector);
    };
    Vector<Real> sums[INPUTS][VECTORS];
    unrolled<INPUTS>([&](auto input) {
        unrolled<VECTORS>([&](auto vector) { sums[input][vector] = load(row_of(into, input, vector)); });
    });
    const Real* numbers = in.data;
    for (long group = 0, row = 0; group < groups; ++group) {
        Vector<Real> of_group[VECTORS] = {};
        for (const long after = row + count; row < after; ++row, numbers += INPUTS) {
            Vector<Real> of_row[VECTORS];
            unrolled<VECTORS>([&](auto vector) __attribute__((always_inline)) {
                of_row[vector] = load_once(row_of(right, row, vector));
                of_group[vector] += of_row[vector];
            });
            unrolled<INPUTS>([&](auto input) {
                const Real number = numbers[input];
                unrolled<VECTORS>([&](auto vector) { sums[input][vector] += number * of_row[vector]; });
            });
        }
        unrolled<VECTORS>([&](auto vector) { store(row_of(of_groups, group, vector), of_group[vector]); });
    }
    unrolled<INPUTS>([&](auto input) {
        unrolled<VECTORS>([&](auto vector) { store(row_of(into, input, vector), sums[input][vector]); });
    });
}

// The functions above, instantiated for 1, 2, ... inputs.
template <typename Real, int PANELS, int... INPUTS>
constexpr auto grouped_blocks(std::integer_sequence<int, INPUTS...>) {
    return std::array{&grouped_block<Real, INPUTS + 1, PANELS>...};
}

template <typename Real, int PANELS, int... INPUTS>
constexpr auto grouped_gradient_blocks(std::integer_sequence<int, INPUTS...>) {
    return std::array{&grouped_gradient_block<Real, INPUTS + 1, PANELS>...};
}

template <int PANELS>
using FewInputs = std::make_integer_sequence<int, few_inputs(PANELS)>;

// Call `two(panel)` for pairs of panels, as far as these fit into the registers with `inputs` inputs, else `one(panel)`.
template <typename One, typename Two>
inline void in_panels(long panels, long inputs, const One& one, const Two& two) {
    long panel = 0;
    if (inputs <= few_inputs(2))
        for (; panel + 2 <= panels; panel += 2) two(panel);
    for (; panel < panels; ++panel) one(panel);
}

// out = ReLU(start of the row's group + in * weight) for `groups` of `count` rows each; `start` has a row per group. For
// at most few_inputs(1) inputs.
template <typename Real>
void grouped_product(Matrix<Real> in, Panels<Real> weight, Panels<Real> start, Panels<Real> out, long groups,
                     long count) {
    static constexpr auto one = grouped_blocks<Real, 1>(FewInputs<1>{});
    static constexpr auto two = grouped_blocks<Real, 2>(FewInputs<2>{});
    in_panels(
        out.count(), in.columns,
        [&](long panel) { one[in.columns - 1](in, weight, start, out, panel, groups, count); },
        [&](long panel) { two[in.columns - 1](in, weight, start, out, panel, groups, count); });
}

// into += in^T * right, and of_groups = sums over the groups of `count` rows of `right`. For at most few_inputs(1) inputs.
template <typename Real>
void add_grouped_outer(Matrix<Real> in, Panels<Real> right, Panels<Real> into, Panels<Real> of_groups, long groups,
                       long count) {
    static constexpr auto one = grouped_gradient_blocks<Real, 1>(FewInputs<1>{});
    static constexpr auto two = grouped_gradient_blocks<Real, 2>(FewInputs<2>{});
    in_panels(
        right.count(), in.columns,
        [&](long panel) { one[in.columns - 1](in, right, into, of_groups, panel, groups, count); },
        [&](long panel) { two[in.columns - 1](in, right, into, of_groups, panel, groups, count); });
}

}  // namespace floorbench
