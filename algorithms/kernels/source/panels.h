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

// Copy a row-major matrix into panels, leaving the padding undefined: for the first factor of a product.
template <typename Real>
void pack_inputs(const Real* matrix, long rows, long columns, Panels<Real> into) {
    for (long first = 0; first < columns; first += PANEL<Real>) {
        const long width = columns - first < PANEL<Real> ? columns - first : PANEL<Real>;
        const Real* from = matrix + first;
        Real* to = into.panel(first / PANEL<Real>);
        for (long row = 0; row < rows; ++row, from += columns, to += PANEL<Real>)
            for (long column = 0; column < width; ++column) to[column] = from[column];
    }
}

// Copy the transpose of a row-major matrix [rows, columns] into panels, in squares where these fit.
template <typename Real>
void pack_transposed(const Real* matrix, long rows, long columns, Panels<Real> into) {
    constexpr long SIDE = LANES<Real>;
    const long square_rows = rows / SIDE * SIDE, square_columns = columns / SIDE * SIDE;
    if (rows % PANEL<Real>) std::memset(into.panel(into.count() - 1), 0, columns * PANEL<Real> * sizeof(Real));
    for (long row = 0; row < square_rows; row += SIDE) {
        Real* to = &into.at(0, row);
        for (long column = 0; column < square_columns; column += SIDE) {
            Vector<Real> square[SIDE];
            for (long line = 0; line < SIDE; ++line)
                square[line] = load_unaligned(matrix + (row + line) * columns + column);
            transpose<Real>(square);
            for (long line = 0; line < SIDE; ++line) store(to + (column + line) * PANEL<Real>, square[line]);
        }
    }
    for (long row = 0; row < rows; ++row)
        for (long column = row < square_rows ? square_columns : 0; column < columns; ++column)
            into.at(column, row) = matrix[row * columns + column];
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

// sums[row] += numbers[row * STEP] * right for ROWS rows.
template <typename Real, int ROWS, int STEP, int VECTORS>
inline __attribute__((always_inline)) void add_row(Vector<Real> (&sums)[ROWS][VECTORS], const Real* numbers,
                                                   const Real* right) {
    const Vector<Real> low = load(right), high = load(right + (VECTORS - 1) * LANES<Real>);
    unrolled<ROWS>([&](auto row) __attribute__((always_inline)) {
        const Real number = numbers[row * STEP];
        sums[row][0] += number * low;
        if constexpr (VECTORS > 1) sums[row][1] += number * high;
    });
}

// With one of the PAIR VECTORS, the columns of the second one are all padding and become zero.
template <typename Real, Epilogue epilogue, int VECTORS, int ROWS>
void product_block(const Real* in, long panel_step, long inputs, const Real* weight, const Real* start, Real* out) {
    Vector<Real> sums[ROWS][VECTORS];
    const Vector<Real> first_low = start ? load(start) : Vector<Real>{};
    const Vector<Real> first_high = start ? load(start + LANES<Real>) : Vector<Real>{};
    unrolled<ROWS>([&](auto row) {
        sums[row][0] = first_low;
        if constexpr (VECTORS > 1) sums[row][1] = first_high;
    });
    for (long first = 0; first < inputs; first += PANEL<Real>, in += panel_step) {
        const long count = inputs - first < PANEL<Real> ? inputs - first : PANEL<Real>;
        for (long input = 0; input < count; ++input, weight += PANEL<Real>)
            add_row<Real, ROWS, PANEL<Real>>(sums, in + input, weight);
    }
    unrolled<ROWS>([&](auto row) {
        unrolled<PAIR>([&](auto half) {
            Real* to = out + row * PANEL<Real> + half * LANES<Real>;
            Vector<Real> value = {};
            if constexpr (half < VECTORS) value = sums[row][half];
            if (epilogue == Epilogue::relu) value = relu<Real>(value);
            if (epilogue == Epilogue::relu_backward) value = relu_backward<Real>(value, load(to));
            store(to, value);
        });
    });
}

// into[row, :] += sum over t of left[t, row] * right[t, :] for ROWS consecutive rows and one panel of columns, or the
// first of its VECTORS.
template <typename Real, int VECTORS, int ROWS>
void outer_block(const Real* left, const Real* right, long terms, Real* into) {
    Vector<Real> sums[ROWS][VECTORS];
    const auto at = [&](auto row, auto half) { return into + row * PANEL<Real> + half * LANES<Real>; };
    unrolled<ROWS>([&](auto row) {
        unrolled<VECTORS>([&](auto half) { sums[row][half] = load(at(row, half)); });
    });
    for (long term = 0; term < terms; ++term, left += PANEL<Real>, right += PANEL<Real>)
        add_row<Real, ROWS, 1>(sums, left, right);
    unrolled<ROWS>([&](auto row) {
        unrolled<VECTORS>([&](auto half) { store(at(row, half), sums[row][half]); });
    });
}

// The functions above, instantiated for 1 ... ROW_BLOCK rows.
template <typename Real, Epilogue epilogue, int VECTORS, int... ROWS>
constexpr auto product_blocks(std::integer_sequence<int, ROWS...>) {
    return std::array{&product_block<Real, epilogue, VECTORS, ROWS + 1>...};
}

template <typename Real, int VECTORS, int... ROWS>
constexpr auto outer_blocks(std::integer_sequence<int, ROWS...>) {
    return std::array{&outer_block<Real, VECTORS, ROWS + 1>...};
}

using RowCounts = std::make_integer_sequence<int, ROW_BLOCK>;

// Call `block(first, count)` for blocks of nearly equal size with at most `most` rows.
template <typename Block>
inline void in_blocks(long rows, long most, const Block& block) {
    const long blocks = (rows + most - 1) / most;
    for (long number = 0; number < blocks; ++number) {
        const long first = rows * number / blocks, after = rows * (number + 1) / blocks;
        block(first, after - first);
    }
}

// Whether a panel's columns fit into its first vector.
template <typename Real>
bool is_narrow(Panels<Real> matrix, long panel) {
    return matrix.columns - panel * PANEL<Real> <= LANES<Real>;
}

// Up to so many inputs, half as many rows are faster where there are 32 registers: a block's start and end take time in
// proportion to its sums.
constexpr long SHORT_SUM = 64, SHORT_ROW_BLOCK = REGISTERS == 32 ? ROW_BLOCK / 2 : ROW_BLOCK;

// out[first_row ... first_row + rows] = epilogue(start + in[same rows] * weight).
//
// `start` is a row whose panels lie `start_step` elements apart, or null for zero.
template <typename Real, Epilogue epilogue>
void product(Panels<Real> in, Panels<Real> weight, const Real* start, long start_step, Panels<Real> out, long first_row,
             long rows) {
    static constexpr auto wide = product_blocks<Real, epilogue, PAIR>(RowCounts{});
    static constexpr auto narrow = product_blocks<Real, epilogue, 1>(RowCounts{});
    for (long panel = 0; panel < out.count(); ++panel) {
        const auto& blocks = is_narrow(out, panel) ? narrow : wide;
        const long most = in.columns <= SHORT_SUM && !is_narrow(out, panel) ? SHORT_ROW_BLOCK : ROW_BLOCK;
        in_blocks(rows, most, [&](long first, long count) {
            blocks[count - 1](in.row(first_row + first), in.rows * PANEL<Real>, in.columns, weight.panel(panel),
                              start ? start + panel * start_step : nullptr,
                              out.panel(panel) + (first_row + first) * PANEL<Real>);
        });
    }
}

// into += left^T * right over the first `terms` rows of both.
template <typename Real>
void add_outer(Panels<Real> left, Panels<Real> right, long terms, Panels<Real> into) {
    static constexpr auto wide = outer_blocks<Real, PAIR>(RowCounts{});
    static constexpr auto narrow = outer_blocks<Real, 1>(RowCounts{});
    for (long panel = 0; panel < right.count(); ++panel) {
        const auto& blocks = is_narrow(right, panel) ? narrow : wide;
        for (long from = 0; from < left.count(); ++from) {
            const long left_over = left.columns - from * PANEL<Real>;
            in_blocks(left_over < PANEL<Real> ? left_over : PANEL<Real>, ROW_BLOCK, [&](long first, long count) {
                Real* to = into.panel(panel) + (from * PANEL<Real> + first) * PANEL<Real>;
                blocks[count - 1](left.panel(from) + first, right.panel(panel), terms, to);
            });
        }
    }
}

// into[row] = dot product of the row with a matrix of one row, plus `offset`; with a WEIGHT_STEP of PANEL, with the same
// row of a matrix.
template <typename Real, int WEIGHT_STEP = 0>
void row_sums(Panels<Real> matrix, long rows, Panels<Real> weight, Real offset, Real* into) {
    // As many rows at once as give 8 independent sums.
    constexpr int PANELS = PARTIAL_SUMS / PAIR, AT_ONCE = 8 / PARTIAL_SUMS < LANES<Real> ? 8 / PARTIAL_SUMS : LANES<Real>;
    for (long from = 0; from < rows; from += LANES<Real>, into += LANES<Real>) {
        const long last = rows - from < LANES<Real> ? rows - from - 1 : LANES<Real> - 1;
        Vector<Real> sums[LANES<Real>];
        unrolled<LANES<Real> / AT_ONCE>([&](auto number) __attribute__((always_inline)) {
            Vector<Real> partial[AT_ONCE][PARTIAL_SUMS] = {};
            long row[AT_ONCE];
            unrolled<AT_ONCE>([&](auto of) {
                const long index = number * AT_ONCE + of;
                row[of] = from + (index < last ? index : last);
            });
            for (long first = 0; first < matrix.count(); first += PANELS)
                unrolled<PARTIAL_SUMS>([&](auto sum) __attribute__((always_inline)) {
                    if (sum >= PAIR && first + sum / PAIR >= matrix.count()) return;
                    const long at = sum % PAIR * LANES<Real>;
                    const Real* left = matrix.panel(first + sum / PAIR) + at;
                    const Real* right = weight.panel(first + sum / PAIR) + at;
                    unrolled<AT_ONCE>([&](auto of) __attribute__((always_inline)) {
                        partial[of][sum] += load(left + row[of] * PANEL<Real>) * load(right + row[of] * WEIGHT_STEP);
                    });
                });
            unrolled<AT_ONCE>([&](auto of) { sums[number * AT_ONCE + of] = sum_by_halves<Real>(partial[of]); });
        });
        const Vector<Real> totals = sums_of_elements<Real>(sums) + offset;
        if (last + 1 == LANES<Real>)
            std::memcpy(into, &totals, sizeof totals);
        else
            std::memcpy(into, &totals, (last + 1) * sizeof(Real));
    }
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
