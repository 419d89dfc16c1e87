// Memory that a thread keeps from call to call: giving it back would have the kernel hand it out again page by page.
#pragma once

#include <cstdlib>
#include <new>

#include "vectors.h"

namespace floorbench {

class Arena {
public:
    ~Arena() { std::free(start_); }

    // Begin anew with room for `bytes`.
    void reset(size_t bytes) {
        if (bytes > capacity_) {
            std::free(start_);
            capacity_ = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            start_ = static_cast<char*>(std::aligned_alloc(ALIGNMENT, capacity_));
            if (!start_) throw std::bad_alloc();
        }
        used_ = 0;
    }

    // The next `count` numbers, aligned for vectors; not initialised.
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

}  // namespace floorbench
