// Vectors as wide as the machine's registers, and the sizes that follow from them.
#pragma once

#include <cstddef>

namespace floorbench {

#if defined(__AVX512F__)
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

// The elements' sum in a fixed order.
template <typename Real>
inline Real sum(Vector<Real> value) {
    Real total[LANES<Real>];
    for (int lane = 0; lane < LANES<Real>; ++lane) total[lane] = value[lane];
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
