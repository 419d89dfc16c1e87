// Matrices stored in panels of columns, and their products.
//
// A panel holds PANEL columns of all rows, row by row, so that a block of a product reads and writes contiguous memory.
// The last panel is padded with zero columns. Every element of a product is one sum in a fixed order, which depends
// neither on the block that computes it nor on the register width.
#pragma once

#include <array>
#include <cstring>
#include <utility>

#include "vectors.h"

namespace floorbench {

template <typename Real>
struct Panels {
    Real* data;
    long rows;     // allocated
    long columns;  // without padding

    static long size(long rows, long columns) { return panels_of<Real>(columns) * rows * PANEL<Real>; }
    long count() const { return panels_of<Real>(columns); }
    Real* panel(long number) const { return data + number * rows * PANEL<Real>; }
    Real* row(long number) const { return data + number * PANEL<Real>; }
    Real& at(long row, long column) const {
        return panel(column / PANEL<Real>)[row * PANEL<Real> + column % PANEL<Real>];
    }
    void clear() const { std::memset(data, 0, size(rows, columns) * sizeof(Real)); }
};

// Copy a row-major matrix [rows, columns] into panels.
template <typename Real>
void pack(const Real* matrix, long rows, long columns, Panels<Real> into) {
    for (long number = 0; number < into.count(); ++number) {
        const long first = number * PANEL<Real>, width = columns - first < PANEL<Real> ? columns - first : PANEL<Real>;
        Real* to = into.panel(number);
        for (long row = 0; row < rows; ++row, to += PANEL<Real>) {
            std::memcpy(to, matrix + row * columns + first, width * sizeof(Real));
            if (width < PANEL<Real>) std::memset(to + width, 0, (PANEL<Real> - width) * sizeof(Real));
        }
    }
}

// Copy the transpose of a row-major matrix [rows, columns] into panels.
template <typename Real>
void pack_transposed(const Real* matrix, long rows, long columns, Panels<Real> into) {
    for (long number = 0; number < into.count(); ++number) {
        const long first = number * PANEL<Real>, width = rows - first < PANEL<Real> ? rows - first : PANEL<Real>;
        Real* panel = into.panel(number);
        if (width < PANEL<Real>) std::memset(panel, 0, columns * PANEL<Real> * sizeof(Real));
        for (long row = 0; row < width; ++row) {
            const Real* from = matrix + (first + row) * columns;
            for (long column = 0; column < columns; ++column) panel[column * PANEL<Real> + row] = from[column];
        }
    }
}

// Copy the first `rows` rows back into a row-major matrix.
template <typename Real>
void unpack(Panels<Real> from, long rows, Real* matrix) {
    for (long number = 0; number < from.count(); ++number) {
        const long first = number * PANEL<Real>, left = from.columns - first;
        const long width = left < PANEL<Real> ? left : PANEL<Real>;
        for (long row = 0; row < rows; ++row)
            std::memcpy(matrix + row * from.columns + first, from.panel(number) + row * PANEL<Real>,
                        width * sizeof(Real));
    }
}

// What is applied to a product before it is stored.
enum class Epilogue {
    none,
    relu,
    relu_backward,  // of the ReLU whose output the product overwrites
};

template <typename Real, Epilogue epilogue, int ROWS>
void product_block(const Real* in, long panel_step, long inputs, const Real* weight, const Real* start, Real* out) {
    Vector<Real> sums[ROWS][PAIR];
    for (int row = 0; row < ROWS; ++row)
        for (int half = 0; half < PAIR; ++half)
            sums[row][half] = start ? load(start + half * LANES<Real>) : Vector<Real>{};
    for (long first = 0; first < inputs; first += PANEL<Real>, in += panel_step) {
        const long count = inputs - first < PANEL<Real> ? inputs - first : PANEL<Real>;
        for (long input = 0; input < count; ++input, weight += PANEL<Real>) {
            const Vector<Real> low = load(weight), high = load(weight + LANES<Real>);
            for (int row = 0; row < ROWS; ++row) {
                const Real number = in[row * PANEL<Real> + input];
                sums[row][0] += number * low;
                sums[row][1] += number * high;
            }
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int half = 0; half < PAIR; ++half) {
            Real* to = out + row * PANEL<Real> + half * LANES<Real>;
            Vector<Real> value = sums[row][half];
            if (epilogue == Epilogue::relu) value = relu<Real>(value);
            if (epilogue == Epilogue::relu_backward) value = relu_backward<Real>(value, load(to));
            store(to, value);
        }
}

// into[row, :] += sum over t of left[t, row] * right[t, :] for ROWS consecutive rows and one panel of columns.
template <typename Real, int ROWS>
void outer_block(const Real* left, const Real* right, long terms, Real* into) {
    Vector<Real> sums[ROWS][PAIR];
    for (int row = 0; row < ROWS; ++row)
        for (int half = 0; half < PAIR; ++half) sums[row][half] = load(into + row * PANEL<Real> + half * LANES<Real>);
    for (long term = 0; term < terms; ++term, left += PANEL<Real>, right += PANEL<Real>) {
        const Vector<Real> low = load(right), high = load(right + LANES<Real>);
        for (int row = 0; row < ROWS; ++row) {
            const Real number = left[row];
            sums[row][0] += number * low;
            sums[row][1] += number * high;
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int half = 0; half < PAIR; ++half) store(into + row * PANEL<Real> + half * LANES<Real>, sums[row][half]);
}

// The functions above, instantiated for 1 ... ROW_BLOCK rows.
template <typename Real, Epilogue epilogue, int... ROWS>
constexpr auto product_blocks(std::integer_sequence<int, ROWS...>) {
    return std::array{&product_block<Real, epilogue, ROWS + 1>...};
}

template <typename Real, int... ROWS>
constexpr auto outer_blocks(std::integer_sequence<int, ROWS...>) {
    return std::array{&outer_block<Real, ROWS + 1>...};
}

using RowCounts = std::make_integer_sequence<int, ROW_BLOCK>;

// Call `block(first, count)` for blocks of nearly equal size with at most ROW_BLOCK rows.
template <typename Block>
inline void in_blocks(long rows, const Block& block) {
    const long blocks = (rows + ROW_BLOCK - 1) / ROW_BLOCK;
    for (long number = 0; number < blocks; ++number) {
        const long first = rows * number / blocks, after = rows * (number + 1) / blocks;
        block(first, after - first);
    }
}

// out[first_row ... first_row + rows] = epilogue(start + in[same rows] * weight).
//
// `start` is a row whose panels lie `start_step` elements apart, or null for zero.
template <typename Real, Epilogue epilogue>
void product(Panels<Real> in, Panels<Real> weight, const Real* start, long start_step, Panels<Real> out, long first_row,
             long rows) {
    static constexpr auto blocks = product_blocks<Real, epilogue>(RowCounts{});
    for (long panel = 0; panel < out.count(); ++panel)
        in_blocks(rows, [&](long first, long count) {
            blocks[count - 1](in.row(first_row + first), in.rows * PANEL<Real>, in.columns, weight.panel(panel),
                              start ? start + panel * start_step : nullptr,
                              out.panel(panel) + (first_row + first) * PANEL<Real>);
        });
}

// into += left^T * right over the first `terms` rows of both.
template <typename Real>
void add_outer(Panels<Real> left, Panels<Real> right, long terms, Panels<Real> into) {
    static constexpr auto blocks = outer_blocks<Real>(RowCounts{});
    for (long panel = 0; panel < right.count(); ++panel)
        for (long from = 0; from < left.count(); ++from) {
            const long left_over = left.columns - from * PANEL<Real>;
            in_blocks(left_over < PANEL<Real> ? left_over : PANEL<Real>, [&](long first, long count) {
                Real* to = into.panel(panel) + (from * PANEL<Real> + first) * PANEL<Real>;
                blocks[count - 1](left.panel(from) + first, right.panel(panel), terms, to);
            });
        }
}

// Dot product of a row of a matrix with a matrix of one row.
template <typename Real>
Real row_sum(Panels<Real> matrix, long row, Panels<Real> weight) {
    constexpr int PANELS = PARTIAL_SUMS / PAIR;
    Vector<Real> partial[PARTIAL_SUMS] = {};
    for (long first = 0; first < matrix.count(); first += PANELS)
        for (int index = 0; index < PANELS && first + index < matrix.count(); ++index)
            for (int half = 0; half < PAIR; ++half)
                partial[index * PAIR + half] +=
                    load(matrix.panel(first + index) + row * PANEL<Real> + half * LANES<Real>) *
                    load(weight.panel(first + index) + half * LANES<Real>);
    return sum<Real>(partial);
}

// into += sum of the first `terms` rows.
template <typename Real>
void add_rows(Panels<Real> matrix, long terms, Real* into) {
    for (long number = 0; number < matrix.count(); ++number, into += PANEL<Real>) {
        Vector<Real> low = load(into), high = load(into + LANES<Real>);
        const Real* row = matrix.panel(number);
        for (long term = 0; term < terms; ++term, row += PANEL<Real>) {
            low += load(row);
            high += load(row + LANES<Real>);
        }
        store(into, low);
        store(into + LANES<Real>, high);
    }
}

}  // namespace floorbench
