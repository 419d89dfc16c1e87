// exp(x) for x <= 0, inlined: the loss takes it of every value.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace floorbench {

// 2^(i / 32).
inline const std::array<double, 32> ROOTS_OF_TWO = [] {
    std::array<double, 32> roots;
    for (int number = 0; number < 32; ++number) roots[number] = std::exp2(number / 32.0L);
    return roots;
}();

// The same bits as glibc's expf for every x <= 0: 2^(k / 32) from the table times a polynomial in the rest, in double
// precision. The three coefficients are those of glibc (from Arm's optimized routines), scaled by powers of 32.
inline float exponential_below_zero(float x) {
    constexpr double ROUNDING = 0x1.8p52;  // adding and subtracting it rounds to the nearest integer
    const double turns = 0x1.71547652b82fep+5 * (x < -104.0f ? -104.0f : x), rounded = turns + ROUNDING;
    const int64_t number = std::bit_cast<int64_t>(rounded);
    const double rest = turns - (rounded - ROUNDING);
    const double third = 0x1.c6af84b912394p-20 * rest + 0x1.ebfce50fac4f3p-13;
    const double series = third * (rest * rest) + (0x1.62e42ff0c52d6p-6 * rest + 1);
    const int64_t bits = std::bit_cast<int64_t>(ROOTS_OF_TWO[number & 31]) + ((number >> 5) << 52);
    return static_cast<float>(series * std::bit_cast<double>(bits));
}

inline double exponential_below_zero(double x) { return std::exp(x); }

// Replace numbers by exp(number - peak), where the peak is the largest or more.
template <typename Real>
inline void exponentials_below_zero(Real* numbers, long count, Real peak) {
#pragma omp simd
    for (long at = 0; at < count; ++at) numbers[at] = exponential_below_zero(numbers[at] - peak);
}

}  // namespace floorbench
