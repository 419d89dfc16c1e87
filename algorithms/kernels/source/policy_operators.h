// The policies of a pack as functions of tensors. Each run is the work of one thread.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>

#include "critic_operators.h"
#include "policy_loss.h"

namespace floorbench {

inline PolicyShape policy_shape(const Tensor& states, long actions, IntArrayRef widths, IntArrayRef offsets) {
    TORCH_CHECK(offsets.size() == 2 * widths.size() + 2 && widths.back() >= 2 * actions,
                "one offset per tensor of the policy");
    return {states.size(2), actions, {widths.begin(), widths.end()}, {offsets.begin(), offsets.end()}};
}

// Actions [R, B, n, A] and log-probabilities [R, B, n] from standard normal noise [R, B, n, A].
inline std::tuple<Tensor, Tensor> policy_samples_of(const Tensor& parameters_, const Tensor& states_,
                                                    const Tensor& noise_, IntArrayRef widths, IntArrayRef offsets) {
    const Tensor parameters = plain(parameters_, parameters_);
    const Tensor states = plain(states_, parameters), noise = plain(noise_, parameters);
    TORCH_CHECK(states.dim() == 3 && noise.dim() == 4 && parameters.dim() == 2 && states.size(0) == noise.size(0) &&
                    states.size(1) == noise.size(1) && states.size(0) == parameters.size(0),
                "states must be [R, B, S], noise [R, B, n, A] and parameters [R, P]");
    const PolicyShape shape = policy_shape(states, noise.size(3), widths, offsets);
    const long runs = states.size(0), batch = states.size(1), n = noise.size(2);
    const Tensor actions = at::empty(noise.sizes(), parameters.options());
    const Tensor log_prob = at::empty({runs, batch, n}, parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "policy_samples", [&] {
        for_each(runs, [&](long run, Memory& memory) {
            const long room = Policy<scalar_t>::sampling_room(shape, batch, n), at = run * batch * n;
            memory.arena.reset(Policy<scalar_t>::room(shape, batch) + Arena::bytes<scalar_t>(room));
            const Policy<scalar_t> policy(shape, parameters.const_data_ptr<scalar_t>() + run * parameters.size(1),
                                          states.const_data_ptr<scalar_t>() + run * batch * shape.states, batch,
                                          memory.arena);
            policy.sample(noise.const_data_ptr<scalar_t>() + at * shape.actions, n,
                          memory.arena.take<scalar_t>(room),
                          actions.mutable_data_ptr<scalar_t>() + at * shape.actions,
                          log_prob.mutable_data_ptr<scalar_t>() + at);
        });
    });
    return {actions, log_prob};
}

// Loss [R] and mean log-probability [R] of one action per state from `noise` [R, B, A].
inline std::tuple<Tensor, Tensor> policy_gradient_of(const Tensor& parameters_, const Tensor& critic_parameters_,
                                                     const Tensor& states_, const Tensor& noise_, IntArrayRef widths,
                                                     IntArrayRef offsets, IntArrayRef critic_widths,
                                                     IntArrayRef critic_offsets, const Tensor& temperature_,
                                                     Tensor into) {
    const Tensor parameters = plain(parameters_, parameters_);
    const Tensor critic_parameters = plain(critic_parameters_, parameters), states = plain(states_, parameters);
    const Tensor noise = plain(noise_, parameters), temperature = plain(temperature_, parameters);
    TORCH_CHECK(states.dim() == 3 && noise.dim() == 3 && parameters.dim() == 2 && states.size(0) == noise.size(0) &&
                    states.size(1) == noise.size(1) && states.size(0) == parameters.size(0) &&
                    temperature.numel() == states.size(0) && critic_parameters.size(0) % states.size(0) == 0,
                "states must be [R, B, S], noise [R, B, A], parameters [R, P] and [R * C, P], temperatures [R]");
    TORCH_CHECK(into.is_contiguous() && into.sizes() == parameters.sizes() && into.dtype() == parameters.dtype(),
                "the gradient must be like the parameters");
    const PolicyShape shape = policy_shape(states, noise.size(2), widths, offsets);
    const NetworkShape critic_shape = shape_of(states, noise.unsqueeze(2), critic_widths, critic_offsets);
    const long runs = states.size(0), batch = states.size(1), critics = critic_parameters.size(0) / runs;
    const long width = parameters.size(1), critic_width = critic_parameters.size(1);
    const Tensor loss = at::empty({runs}, parameters.options()), log_prob = at::empty({runs}, parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "policy_gradient", [&] {
        for_each(runs, [&](long run, Memory& memory) {
            memory.arena.reset(Policy<scalar_t>::room(shape, batch) +
                               policy_gradient_room<scalar_t>(shape, batch, critics));
            const scalar_t* own_states = states.const_data_ptr<scalar_t>() + run * batch * shape.states;
            Policy<scalar_t> policy(shape, parameters.const_data_ptr<scalar_t>() + run * width, own_states, batch,
                                    memory.arena);
            const PolicyLoss own = policy_gradient<scalar_t>(
                shape, policy, critic_shape,
                critic_parameters.const_data_ptr<scalar_t>() + run * critics * critic_width, critics, critic_width,
                own_states, noise.const_data_ptr<scalar_t>() + run * batch * shape.actions, batch,
                temperature.const_data_ptr<scalar_t>()[run], memory.arena, memory.inner,
                into.mutable_data_ptr<scalar_t>() + run * width);
            loss.mutable_data_ptr<scalar_t>()[run] = own.loss;
            log_prob.mutable_data_ptr<scalar_t>()[run] = own.log_prob;
        });
    });
    return {loss, log_prob};
}

}  // namespace floorbench
