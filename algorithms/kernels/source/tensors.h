// What the torch operators share: tensors as the kernels take them, and work divided among threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "arena.h"

namespace floorbench {

using at::IntArrayRef;
using at::Tensor;

// Contiguous, on the CPU and of the parameters' type.
inline Tensor plain(const Tensor& tensor, const Tensor& parameters) {
    TORCH_CHECK(tensor.device().is_cpu() && tensor.scalar_type() == parameters.scalar_type(),
                "all tensors must lie on the CPU and have the type of the parameters");
    return tensor.contiguous();
}

// What a thread keeps: for the work itself, for a part of it that begins anew several times, and for what lasts longer.
struct Memory {
    Arena arena, inner, tables;
};

// Each item is the work of one thread, so no number depends on how many items or threads there are.
template <typename Work>
void for_each(long count, const Work& work) {
    const long threads = std::min<long>(at::get_num_threads(), count);
    const auto share = [&](long thread) {
        static thread_local Memory memory;
        for (long item = thread; item < count; item += threads) work(item, memory);
    };
    std::vector<std::thread> others;
    for (long thread = 1; thread < threads; ++thread) others.emplace_back(share, thread);
    share(0);
    for (auto& other : others) other.join();
}

}  // namespace floorbench
