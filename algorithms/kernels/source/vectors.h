// SIMD vectors of the machine's register width, elementary functions on them, and aligned memory for them.
//
// The register width must not change a result: machines with wide and with narrow registers compute the same bits if
// both have fused multiply-add. The elements of a vector are only combined with each other in `sum`.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace floorbench {

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif

#if defined(FLOORBENCH_VECTOR_BYTES)  // tests compare several widths on one machine
constexpr int VECTOR_BYTES = FLOORBENCH_VECTOR_BYTES, REGISTERS = 16;
#elif defined(__AVX512F__) || defined(__aarch64__)
constexpr int VECTOR_BYTES = REGISTER_BYTES, REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = REGISTER_BYTES, REGISTERS = 16;
#endif

// A matrix product is computed in blocks of ROW_BLOCK rows by PAIR vectors that stay in registers; the remaining
// registers hold a row of the second factor and one element of the first.
constexpr int PAIR = 2;
constexpr int ROW_BLOCK = (REGISTERS - PAIR - 2) / PAIR;

// As many rows of the second factor, over `panels` panels of columns, fit into the registers beside two rows and an
// element.
constexpr int few_inputs(int panels) { return (REGISTERS - 2 * PAIR * panels - 1) / (PAIR * panels); }

template <typename Real>
struct VectorOf {
    typedef Real type __attribute__((vector_size(VECTOR_BYTES)));
};

template <typename Real>
using Vector = typename VectorOf<Real>::type;

template <typename Real>
constexpr int LANES = VECTOR_BYTES / sizeof(Real);

// Columns of a panel (see panels.h), which is the width of a block.
template <typename Real>
constexpr int PANEL = PAIR * LANES<Real>;

template <typename Real>
constexpr long panels_of(long columns) {
    return (columns + PANEL<Real> - 1) / PANEL<Real>;
}

// The smallest number of whole vectors that hold `count` elements, in elements.
template <typename Real>
constexpr long padded_to_vectors(long count) {
    return (count + LANES<Real> - 1) / LANES<Real> * LANES<Real>;
}

template <typename Real>
inline Vector<Real> load(const Real* from) {
    return *reinterpret_cast<const Vector<Real>*>(from);
}

template <typename Real>
inline void store(Real* to, Vector<Real> value) {
    *reinterpret_cast<Vector<Real>*>(to) = value;
}

template <typename Real>
inline Vector<Real> load_unaligned(const Real* from) {
    Vector<Real> value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Whether each element belongs to the first `count`.
template <typename Real>
inline auto first_elements(long count) {
    typedef decltype(Vector<Real>{} < Vector<Real>{}) Numbers;
    const Numbers numbers = []<int... LANE>(std::integer_sequence<int, LANE...>) {
        return Numbers{LANE...};
    }(std::make_integer_sequence<int, LANES<Real>>{});
    return numbers < static_cast<decltype(numbers[0] + 0)>(count);
}

// The first `count` elements of a vector in memory; the others are zero. At most LANES are read.
template <typename Real>
inline Vector<Real> load_some(const Real* from, long count) {
#if defined(__AVX512F__)
    const unsigned mask = count < 16 ? (1u << count) - 1 : 0xffff;
    if constexpr (VECTOR_BYTES == 64 && sizeof(Real) == 4) return Vector<Real>(_mm512_maskz_loadu_ps(mask, from));
#endif
    Vector<Real> value = {};
    for (int lane = 0; lane < LANES<Real> && lane < count; ++lane) value[lane] = from[lane];
    return value;
}

// Write the first `count` elements of a vector.
template <typename Real>
inline void store_some(Real* to, Vector<Real> value, long count) {
#if defined(__AVX512F__)
    const unsigned mask = count < 16 ? (1u << count) - 1 : 0xffff;
    if constexpr (VECTOR_BYTES == 64 && sizeof(Real) == 4) return _mm512_mask_storeu_ps(to, mask, __m512(value));
#endif
    for (int lane = 0; lane < LANES<Real> && lane < count; ++lane) to[lane] = value[lane];
}

// Keep a value in a register, unknown to the compiler, which would otherwise read it from memory for every use, compute
// equal sums once and unused ones never.
template <typename Value>
inline void keep(Value& value) {
    if constexpr (sizeof value <= REGISTER_BYTES) {
#if defined(__x86_64__)
        asm volatile("" : "+v"(value));
#elif defined(__aarch64__)
        asm volatile("" : "+w"(value));
#else
        asm volatile("" : "+m"(value));
#endif
    }
}

// Read a vector that is used several times.
template <typename Real>
inline Vector<Real> load_once(const Real* from) {
    Vector<Real> value = load(from);
    keep(value);
    return value;
}

// Call `function` with each of 0 ... COUNT - 1 as a constant, so that arrays indexed by them stay in registers.
template <int COUNT, typename Function>
inline __attribute__((always_inline)) void unrolled(const Function& function) {
    [&]<int... NUMBERS>(std::integer_sequence<int, NUMBERS...>) __attribute__((always_inline)) {
        (function(std::integral_constant<int, NUMBERS>{}), ...);
    }(std::make_integer_sequence<int, COUNT>{});
}

// The elements of half 0 or 1 of both vectors in turn.
template <typename Real, int HALF>
inline Vector<Real> interleave(Vector<Real> left, Vector<Real> right) {
    return [&]<int... LANE>(std::integer_sequence<int, LANE...>) {
#if defined(__clang__)
        return __builtin_shufflevector(left, right, (LANE % 2 * LANES<Real> + (LANE + HALF * LANES<Real>) / 2)...);
#else
        typedef decltype(left < right) Indices;
        return __builtin_shuffle(left, right, Indices{(LANE % 2 * LANES<Real> + (LANE + HALF * LANES<Real>) / 2)...});
#endif
    }(std::make_integer_sequence<int, LANES<Real>>{});
}

// Transpose a square of vectors. An interleaving of its halves rotates the bits of (row, lane) by one; after as many as
// a row has bits, row and lane have changed places.
template <typename Real>
inline void transpose(Vector<Real> (&square)[LANES<Real>]) {
    constexpr int HALF = LANES<Real> / 2;
    for (int step = 1; step < LANES<Real>; step *= 2) {
        Vector<Real> next[LANES<Real>];
        unrolled<HALF>([&](auto row) {
            next[2 * row] = interleave<Real, 0>(square[row], square[row + HALF]);
            next[2 * row + 1] = interleave<Real, 1>(square[row], square[row + HALF]);
        });
        unrolled<LANES<Real>>([&](auto row) { square[row] = next[row]; });
    }
}

// A sum over columns has 128 bytes of partial sums (one of every 32nd float), which are PARTIAL_SUMS vectors.
constexpr int PARTIAL_BYTES = 128, PARTIAL_SUMS = PARTIAL_BYTES / VECTOR_BYTES;

// Add neighbours at distance count / 2, count / 4, ..., 1; the total is in the first element.
template <typename Real, int COUNT>
inline Vector<Real> sum_by_halves(Vector<Real> (&terms)[COUNT]) {
    for (int half = COUNT / 2; half > 0; half /= 2)
        for (int index = 0; index < half; ++index) terms[index] += terms[index + half];
    return terms[0];
}

// Of the halves of each group of 2 * HALF elements, the first or second ones: the left vector's, then the right one's.
template <typename Real, int HALF, int WHICH>
inline Vector<Real> halves(Vector<Real> left, Vector<Real> right) {
    constexpr auto from = [](int lane) {
        const int within = lane % (2 * HALF);
        return lane - within + WHICH * HALF + within % HALF + (within < HALF ? 0 : LANES<Real>);
    };
    return [&]<int... LANE>(std::integer_sequence<int, LANE...>) {
#if defined(__clang__)
        return __builtin_shufflevector(left, right, from(LANE)...);
#else
        typedef decltype(left < right) Indices;
        return __builtin_shuffle(left, right, Indices{from(LANE)...});
#endif
    }(std::make_integer_sequence<int, LANES<Real>>{});
}

// The sum over each vector's elements, at its number; neighbours are added as in `sum_by_halves`.
template <typename Real, int HALF = LANES<Real> / 2>
inline Vector<Real> sums_of_elements(Vector<Real> (&vectors)[LANES<Real>]) {
    unrolled<HALF>([&](auto number) {
        const Vector<Real> left = vectors[number], right = vectors[number + HALF];
        vectors[number] = halves<Real, HALF, 0>(left, right) + halves<Real, HALF, 1>(left, right);
    });
    if constexpr (HALF > 1) return sums_of_elements<Real, HALF / 2>(vectors);
    return vectors[0];
}

// ReLU; as in torch, NaN stays NaN.
template <typename Real>
inline Vector<Real> relu(Vector<Real> value) {
    const Vector<Real> zero = {};
#if defined(__AVX512F__)  // one instruction instead of two, with the same result for NaN and negative zero
    if constexpr (VECTOR_BYTES == 64 && sizeof(Real) == 4)
        return Vector<Real>(_mm512_max_ps(__m512(zero), __m512(value)));
#endif
    return value < zero ? zero : value;
}

// Backward of a ReLU whose output is `activation`.
template <typename Real>
inline Vector<Real> relu_backward(Vector<Real> gradient, Vector<Real> activation) {
    const Vector<Real> zero = {};
    return activation <= zero ? zero : gradient;
}

// exp(x) for x <= 0 with an error of at most two units in the last place; x is clipped to at least -87.
inline Vector<float> exponential(Vector<float> x) {
    typedef int Integers __attribute__((vector_size(VECTOR_BYTES)));
    const Vector<float> lowest = Vector<float>{} - 87.0f;
    x = x < lowest ? lowest : x;
    // x = turns * log 2 + rest; adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    constexpr float ROUNDING = 12582912.0f;
    const Vector<float> turns = (x * 1.44269504088896341f + ROUNDING) - ROUNDING;
    const Vector<float> rest = (x - turns * 0.693145751953125f) - turns * 1.42860682030941723e-6f;
    Vector<float> series = Vector<float>{} + 1.0f / 5040;
    for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        series = series * rest + factor;
    const Integers exponent = (__builtin_convertvector(turns, Integers) + 127) << 23;
    return series * std::bit_cast<Vector<float>>(exponent);
}

// log(1 + x) for 0 <= x <= 1, by the series of the inverse hyperbolic tangent.
inline Vector<float> log_one_plus(Vector<float> x) {
    const Vector<float> ratio = x / (x + 2.0f), square = ratio * ratio;
    Vector<float> series = Vector<float>{} + 1.0f / 15;
    for (const float factor : {1.0f / 13, 1.0f / 11, 1.0f / 9, 1.0f / 7, 1.0f / 5, 1.0f / 3, 1.0f})
        series = series * square + factor;
    return 2.0f * ratio * series;
}

// Replace `raw` by its tanh and write log(1 - tanh^2), computed without cancellation. Vectors of floats; the buffers
// are padded to whole vectors.
inline void squash(float* raw, float* log_derivative, long count) {
    constexpr float LOG_2 = 0.693147180559945309f;
    for (long first = 0; first < count; first += LANES<float>) {
        const Vector<float> x = load(raw + first), zero = {};
        const Vector<float> decay = exponential(x < zero ? x + x : -(x + x));
        const Vector<float> tanh = (1.0f - decay) / (1.0f + decay), twice = x + x;
        store(raw + first, x < zero ? -tanh : tanh);
        store(log_derivative + first, 2.0f * (LOG_2 - x - ((twice < zero ? -twice : zero) + log_one_plus(decay))));
    }
}

// The same for doubles, by the C library.
inline void squash(double* raw, double* log_derivative, long count) {
    for (long at = 0; at < count; ++at) {
        const double x = raw[at];
        log_derivative[at] = 2 * (std::log(2.0) - x - (std::fmax(-2 * x, 0) + std::log1p(std::exp(-2 * std::fabs(x)))));
        raw[at] = std::tanh(x);
    }
}

// Memory that a thread reuses in every call; freed memory would have to be paged in again.
class Arena {
public:
    ~Arena() { std::free(start_); }

    // Release everything taken and reserve `bytes`.
    void reset(size_t bytes) {
        if (bytes > capacity_) {
            std::free(start_);
            capacity_ = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            start_ = static_cast<char*>(std::aligned_alloc(ALIGNMENT, capacity_));
            if (!start_) throw std::bad_alloc();
        }
        used_ = 0;
    }

    // `count` uninitialised elements, aligned for vectors.
    template <typename Real>
    Real* take(long count) {
        Real* taken = reinterpret_cast<Real*>(start_ + used_);
        used_ += bytes<Real>(count);
        return taken;
    }

    template <typename Real>
    static size_t bytes(long count) {
        return (count * sizeof(Real) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

private:
    static constexpr size_t ALIGNMENT = 64;
    char* start_ = nullptr;
    size_t capacity_ = 0, used_ = 0;
};

// The memory of a thread: `arena` for a run, `inner` for each pass of a critic, `tables` for the whole update.
struct Memory {
    Arena arena, inner, tables;
};

}  // namespace floorbench
