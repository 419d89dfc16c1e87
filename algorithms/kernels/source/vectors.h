// Vectors as wide as the machine's registers, and the sizes that follow from them.
//
// Their width must not show in any number: a machine with wide registers and one with narrow ones give the same bits, if
// both take a product and a sum in one rounding. Elements that stand beside each other never meet but in `sum`.
#pragma once

#include <cstddef>

namespace floorbench {

#if defined(FLOORBENCH_VECTOR_BYTES)  // of a test, which holds one width against another on one machine
constexpr int VECTOR_BYTES = FLOORBENCH_VECTOR_BYTES, REGISTERS = 16;
#elif defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16, REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = 16, REGISTERS = 16;
#endif

// A block of a matrix product is ROW_BLOCK rows by PAIR vectors, all of it in registers: the others hold a row of the
// second factor and one number of the first.
constexpr int PAIR = 2;
constexpr int ROW_BLOCK = (REGISTERS - PAIR - 2) / PAIR;

template <typename Real>
struct VectorOf {
    typedef Real type __attribute__((vector_size(VECTOR_BYTES)));
};

template <typename Real>
using Vector = typename VectorOf<Real>::type;

template <typename Real>
constexpr int LANES = VECTOR_BYTES / sizeof(Real);

// Columns of a panel: what a block of a product is wide.
template <typename Real>
constexpr int PANEL = PAIR * LANES<Real>;

template <typename Real>
constexpr long panels_of(long columns) {
    return (columns + PANEL<Real> - 1) / PANEL<Real>;
}

template <typename Real>
inline Vector<Real> load(const Real* from) {
    return *reinterpret_cast<const Vector<Real>*>(from);
}

template <typename Real>
inline void store(Real* to, Vector<Real> value) {
    *reinterpret_cast<Vector<Real>*>(to) = value;
}

// A sum over columns is made of so many partial sums, of every 32nd float, which as vectors are PARTIAL_SUMS.
constexpr int PARTIAL_BYTES = 128, PARTIAL_SUMS = PARTIAL_BYTES / VECTOR_BYTES;

// The sum of all partial sums, halves of them added to each other.
template <typename Real>
inline Real sum(Vector<Real> (&partial)[PARTIAL_SUMS]) {
    for (int half = PARTIAL_SUMS / 2; half > 0; half /= 2)
        for (int own = 0; own < half; ++own) partial[own] += partial[own + half];
    Real total[LANES<Real>];
    for (int lane = 0; lane < LANES<Real>; ++lane) total[lane] = partial[0][lane];
    for (int half = LANES<Real> / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; ++lane) total[lane] += total[lane + half];
    return total[0];
}

// ReLU that lets NaN through, as torch does.
template <typename Real>
inline Vector<Real> rectified(Vector<Real> value) {
    const Vector<Real> zero = {};
    return value < zero ? zero : value;
}

// The slope below a ReLU whose output is `activation`.
template <typename Real>
inline Vector<Real> passed(Vector<Real> slope, Vector<Real> activation) {
    const Vector<Real> zero = {};
    return activation <= zero ? zero : slope;
}

}  // namespace floorbench
