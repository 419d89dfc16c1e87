// The limits of this machine that the speed of kernels is compared with: loops that do nothing but multiply and add in
// registers, or read memory. The caller measures the time.
#pragma once

#include <cstdint>

#include "vectors.h"

namespace floorbench {

// Independent sums, enough to hide the latency of two fused multiply-adds per cycle; with the factors they fit into 16
// registers.
constexpr int INDEPENDENT_SUMS = 12;

// Make `rounds` rounds of fused multiply-adds; returns the number of floating-point operations, two for each element.
inline int64_t multiply_add(int64_t rounds) {
    Vector<float> sums[INDEPENDENT_SUMS] = {}, factor = Vector<float>{} + 0.5f, term = Vector<float>{} + 1.0f;
    keep(factor);
    keep(term);
    unrolled<INDEPENDENT_SUMS>([&](auto sum) { keep(sums[sum]); });
    for (long round = 0; round < rounds; ++round)
        unrolled<INDEPENDENT_SUMS>([&](auto sum) { sums[sum] = sums[sum] * factor + term; });
    unrolled<INDEPENDENT_SUMS>([&](auto sum) { keep(sums[sum]); });
    return 2 * rounds * INDEPENDENT_SUMS * LANES<float>;
}

// Read `count` elements `rounds` times, except for the remainder of a division by the 8 vectors that are read at once;
// returns the number of bytes read.
inline long read_memory(const float* memory, long count, long rounds) {
    constexpr int AT_ONCE = 8;
    constexpr long STEP = AT_ONCE * LANES<float>;
    Vector<float> sums[AT_ONCE] = {};
    for (long round = 0; round < rounds; ++round)
        for (long first = 0; first + STEP <= count; first += STEP)
            unrolled<AT_ONCE>([&](auto sum) { sums[sum] += load(memory + first + sum * LANES<float>); });
    unrolled<AT_ONCE>([&](auto sum) { keep(sums[sum]); });
    return rounds * (count / STEP * STEP) * static_cast<long>(sizeof(float));
}

}  // namespace floorbench
