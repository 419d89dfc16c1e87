// Exponential, and what a tanh does to actions and densities: vectors of floats by series, doubles by the C library.
#pragma once

#include <bit>
#include <cmath>

#include "vectors.h"

namespace floorbench {

// exp(x) of x <= 0 to a unit in the last place or two; below -87 it stops falling.
inline Vector<float> exponential(Vector<float> x) {
    typedef int Integers __attribute__((vector_size(VECTOR_BYTES)));
    const Vector<float> lowest = Vector<float>{} - 87.0f;
    x = x < lowest ? lowest : x;
    // x = turns * log 2 + rest; adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
    constexpr float ROUNDING = 12582912.0f;
    const Vector<float> turns = (x * 1.44269504088896341f + ROUNDING) - ROUNDING;
    const Vector<float> rest = (x - turns * 0.693145751953125f) - turns * 1.42860682030941723e-6f;
    Vector<float> series = Vector<float>{} + 1.0f / 5040;
    for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        series = series * rest + factor;
    const Integers exponent = (__builtin_convertvector(turns, Integers) + 127) << 23;
    return series * std::bit_cast<Vector<float>>(exponent);
}

// log(1 + x) of 0 <= x <= 1, by the series of the inverse hyperbolic tangent.
inline Vector<float> log_one_plus(Vector<float> x) {
    const Vector<float> ratio = x / (x + 2.0f), square = ratio * ratio;
    Vector<float> series = Vector<float>{} + 1.0f / 15;
    for (const float factor : {1.0f / 13, 1.0f / 11, 1.0f / 9, 1.0f / 7, 1.0f / 5, 1.0f / 3, 1.0f})
        series = series * square + factor;
    return 2.0f * ratio * series;
}

// Replace `raw` by its tanh, and write log(1 - tanh^2) without cancellation. `count` is rounded up to whole vectors.
inline void squash(float* raw, float* log_slope, long count) {
    constexpr float LOG_2 = 0.693147180559945309f;
    for (long first = 0; first < count; first += LANES<float>) {
        const Vector<float> x = load(raw + first), zero = {};
        const Vector<float> decay = exponential(x < zero ? x + x : -(x + x));
        const Vector<float> tanh = (1.0f - decay) / (1.0f + decay), twice = x + x;
        store(raw + first, x < zero ? -tanh : tanh);
        store(log_slope + first, 2.0f * (LOG_2 - x - ((twice < zero ? -twice : zero) + log_one_plus(decay))));
    }
}

inline void squash(double* raw, double* log_slope, long count) {
    for (long at = 0; at < count; ++at) {
        const double x = raw[at];
        log_slope[at] = 2 * (std::log(2.0) - x - (std::fmax(-2 * x, 0) + std::log1p(std::exp(-2 * std::fabs(x)))));
        raw[at] = std::tanh(x);
    }
}

}  // namespace floorbench
