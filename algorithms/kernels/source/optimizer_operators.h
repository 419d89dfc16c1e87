// Adam and following targets as functions of tensors. Each network is the work of one thread.
#pragma once

#include <ATen/Dispatch.h>

#include "optimizer.h"
#include "tensors.h"

namespace floorbench {

// Move parameters [N, P] with a rate [N, 1] for each network; `corrections` are a factor of the rates, and epsilon.
inline void adam_step_of(Tensor parameters, Tensor first, Tensor second, const Tensor& gradient, const Tensor& rate,
                         const Tensor& corrections, double beta_1, double beta_2) {
    for (const Tensor& tensor : {first, second, gradient})
        TORCH_CHECK(tensor.is_contiguous() && tensor.sizes() == parameters.sizes() &&
                        tensor.dtype() == parameters.dtype(),
                    "moments and gradient must be like the parameters");
    TORCH_CHECK(parameters.is_contiguous() && parameters.dim() == 2 && rate.numel() == parameters.size(0) &&
                    corrections.numel() == 2,
                "parameters must be [N, P], contiguous, with a rate for each row and two corrections");
    const Tensor rates = plain(rate, parameters), both = plain(corrections, parameters);
    const long width = parameters.size(1);
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "adam_step", [&] {
        const scalar_t factor = both.const_data_ptr<scalar_t>()[0], epsilon = both.const_data_ptr<scalar_t>()[1];
        for_each(parameters.size(0), [&](long row, Memory&) {
            const long at = row * width;
            adam_step<scalar_t>(parameters.mutable_data_ptr<scalar_t>() + at, first.mutable_data_ptr<scalar_t>() + at,
                                second.mutable_data_ptr<scalar_t>() + at, gradient.const_data_ptr<scalar_t>() + at,
                                width, beta_1, beta_2, epsilon, rates.const_data_ptr<scalar_t>()[row] * factor);
        });
    });
}

// Move targets [N, P] towards parameters [N, P] by a share [N, 1] of each network.
inline void follow_of(Tensor targets, const Tensor& parameters, const Tensor& share) {
    TORCH_CHECK(targets.is_contiguous() && parameters.is_contiguous() && targets.dim() == 2 &&
                    targets.sizes() == parameters.sizes() && targets.dtype() == parameters.dtype() &&
                    share.numel() == targets.size(0),
                "targets must be like the parameters [N, P], with a share for each row");
    const Tensor shares = plain(share, parameters);
    const long width = parameters.size(1);
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "follow", [&] {
        for_each(parameters.size(0), [&](long row, Memory&) {
            follow<scalar_t>(targets.mutable_data_ptr<scalar_t>() + row * width,
                             parameters.const_data_ptr<scalar_t>() + row * width, width,
                             shares.const_data_ptr<scalar_t>()[row]);
        });
    });
}

}  // namespace floorbench
