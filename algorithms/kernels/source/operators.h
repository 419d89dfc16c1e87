// The functions of algorithms/kernels/kernel.py on tensors of a whole pack, for one call of each operator.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <optional>
#include <thread>
#include <vector>

#include "peak.h"
#include "update.h"

namespace floorbench {

using at::IntArrayRef;
using at::Tensor;

// The tensor, contiguous; it must be on the CPU and have the type of the parameters.
inline Tensor checked(const Tensor& tensor, const Tensor& parameters) {
    TORCH_CHECK(tensor.device().is_cpu() && tensor.scalar_type() == parameters.scalar_type(),
                "all tensors must be on the CPU and have the dtype of the parameters");
    return tensor.contiguous();
}

// Call `work(item, memory)` for every item. One thread computes an item, so results depend neither on the number of
// items nor on that of threads.
template <typename Work>
void parallel_for(long count, const Work& work) {
    const long threads = std::min<long>(at::get_num_threads(), count);
    const auto process = [&](long thread) {
        static thread_local Memory memory;
        for (long item = thread; item < count; item += threads) work(item, memory);
    };
    std::vector<std::thread> others;
    for (long thread = 1; thread < threads; ++thread) others.emplace_back(process, thread);
    process(0);
    for (auto& other : others) other.join();
}

// Sizes of a network: `widths` of its hidden layers and `offsets` of its tensors; `normalised` columns of each layer, or
// none without layer normalisation.
struct Layout {
    IntArrayRef widths, offsets, normalised;
};

inline NetworkShape shape_of(const Tensor& states, const Tensor& actions, const Layout& layout) {
    const auto& [widths, offsets, normalised] = layout;
    TORCH_CHECK(states.dim() == 3 && actions.dim() == 4, "states must be [R, B, S] and actions [R, B, K, A]");
    TORCH_CHECK(states.size(0) == actions.size(0) && states.size(1) == actions.size(1), "states and actions differ");
    TORCH_CHECK(!widths.empty() && offsets.size() == 2 * (widths.size() + normalised.size()) + 3 &&
                    (normalised.empty() || normalised.size() == widths.size()),
                "offsets must have one element per tensor of the network");
    return {states.size(2),
            actions.size(3),
            {widths.begin(), widths.end()},
            {offsets.begin(), offsets.end()},
            {normalised.begin(), normalised.end()}};
}

inline CriticLossForm form_of(const c10::List<bool>& flags) {
    TORCH_CHECK(flags.size() == 9, "the loss form has 9 flags");
    return {flags[0], flags[1], flags[2], flags[3], flags[4], flags[5], flags[6], flags[7], flags[8]};
}

// The inputs of the operators on critics, checked.
struct CriticInputs {
    Tensor parameters, states, actions;
    NetworkShape shape;
    long runs, critics, batch, count;

    CriticInputs(const Tensor& parameters_, const Tensor& states_, const Tensor& actions_, const Layout& layout)
        : parameters(checked(parameters_, parameters_)),
          states(checked(states_, parameters)),
          actions(checked(actions_, parameters)),
          shape(shape_of(states, actions, layout)),
          runs(states.size(0)),
          critics(parameters.size(0) / std::max<long>(runs, 1)),
          batch(states.size(1)),
          count(actions.size(2)) {
        TORCH_CHECK(parameters.dim() == 2 && parameters.size(0) == runs * critics, "parameters must be [R * C, P]");
    }

    template <typename Real>
    const Real* row(long pair) const {
        return parameters.const_data_ptr<Real>() + pair * parameters.size(1);
    }

    template <typename Real>
    BatchInputs<Real> of_run(long run) const {
        return {states.const_data_ptr<Real>() + run * batch * shape.states,
                actions.const_data_ptr<Real>() + run * batch * count * shape.actions, batch, count};
    }

    std::vector<int64_t> value_shape() const { return {runs, critics, batch, count}; }
};

// Values [R, C, B, K] of actions [R, B, K, A] at states [R, B, S].
inline Tensor critic_values_of(const Tensor& parameters, const Tensor& states, const Tensor& actions,
                               IntArrayRef widths, IntArrayRef offsets, IntArrayRef normalised) {
    const CriticInputs inputs(parameters, states, actions, {widths, offsets, normalised});
    const Tensor result = at::empty(inputs.value_shape(), parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "critic_values", [&] {
        scalar_t* out = result.mutable_data_ptr<scalar_t>();
        parallel_for(inputs.runs * inputs.critics, [&](long pair, Memory& memory) {
            critic_values<scalar_t>(inputs.shape, inputs.row<scalar_t>(pair),
                                    inputs.of_run<scalar_t>(pair / inputs.critics), memory.arena,
                                    out + pair * inputs.batch * inputs.count);
        });
    });
    return result;
}

// Bellman target [R, B] from rewards and terminals [R, B], discounts and temperatures [R], values [R, C, B, m] and
// log-probabilities [R, B, m] of actions at s'.
inline Tensor bellman_target_of(const Tensor& reward_, const Tensor& terminal_, const Tensor& discount_,
                                const Tensor& next_values, const Tensor& next_log_prob_, bool max_then_min,
                                const std::optional<Tensor>& temperature_) {
    const Tensor values = checked(next_values, next_values), reward = checked(reward_, values);
    const Tensor terminal = checked(terminal_, values), discount = checked(discount_, values);
    const Tensor log_prob = checked(next_log_prob_, values);
    const Tensor temperature = temperature_ ? checked(*temperature_, values) : Tensor();
    TORCH_CHECK(values.dim() == 4 && values.size(1) > 0 && values.size(3) > 0, "values must be [R, C, B, m]");
    const long runs = values.size(0), critics = values.size(1), batch = values.size(2), count = values.size(3);
    TORCH_CHECK(reward.numel() == runs * batch && terminal.numel() == runs * batch && discount.numel() == runs &&
                    log_prob.numel() == runs * batch * count && (!temperature_ || temperature.numel() == runs),
                "rewards and terminals must be [R, B], log-probabilities [R, B, m], discounts and temperatures [R]");
    const Tensor result = at::empty({runs, batch}, values.options());
    AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "bellman_target", [&] {
        const scalar_t *rewards = reward.const_data_ptr<scalar_t>(), *terminals = terminal.const_data_ptr<scalar_t>();
        const scalar_t* log_probs = log_prob.const_data_ptr<scalar_t>();
        scalar_t* out = result.mutable_data_ptr<scalar_t>();
        for (long at = 0; at < runs * batch; ++at) {
            const long run = at / batch, state = at % batch;
            const auto next =
                next_value<scalar_t>(values.const_data_ptr<scalar_t>() + (run * critics * batch + state) * count,
                                     critics, batch * count, count, max_then_min);
            scalar_t value = next.value;
            if (temperature_)
                value -= temperature.const_data_ptr<scalar_t>()[run] * log_probs[at * count + next.action];
            out[at] =
                bellman_target<scalar_t>(rewards[at], terminals[at], discount.const_data_ptr<scalar_t>()[run], value);
        }
    });
    return result;
}

// Returns [7, R]: loss, Lagrange loss and its gradient, TD error, difference, bound rates at s and at s'; and the
// gradient [R, C, B, K] with respect to every value. Writes the gradient with respect to the parameters into `into`.
inline std::tuple<Tensor, Tensor> critic_gradient_of(const Tensor& parameters, const Tensor& states,
                                                     const Tensor& actions, IntArrayRef widths, IntArrayRef offsets,
                                                     IntArrayRef normalised, const Tensor& target_, const Tensor& log_density_,
                                                     const Tensor& floor_, at::TensorList scalars_,
                                                     const c10::List<bool>& form_, Tensor into) {
    const CriticInputs inputs(parameters, states, actions, {widths, offsets, normalised});
    const long runs = inputs.runs, critics = inputs.critics, batch = inputs.batch, count = inputs.count, n = count / 3;
    TORCH_CHECK(count % 3 == 1 && scalars_.size() == 6, "there must be 1 + 3n actions and 6 scalars");
    TORCH_CHECK(into.is_contiguous() && into.sizes() == parameters.sizes() && into.dtype() == parameters.dtype(),
                "the gradient must have the shape and dtype of the parameters");
    const Tensor target = checked(target_, parameters), floor = checked(floor_, parameters);
    const Tensor log_density = checked(log_density_, parameters);
    std::array<Tensor, 6> scalars;
    for (long number = 0; number < 6; ++number) {
        scalars[number] = checked(scalars_[number], parameters);
        TORCH_CHECK(scalars[number].numel() == runs, "scalars must be [R]");
    }
    TORCH_CHECK(target.numel() == runs * batch && floor.numel() == runs * batch &&
                    log_density.numel() == runs * batch * (count - 1),
                "target and floor must be [R, B], log-densities [R, B, 3n]");
    const CriticLossForm form = form_of(form_);
    const Tensor per_run = at::empty({7, runs}, parameters.options());
    const Tensor value_gradient = at::empty(inputs.value_shape(), parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "critic_gradient", [&] {
        const auto scalars_of = [&](long run) {
            const auto number = [&](long which) { return scalars[which].const_data_ptr<scalar_t>()[run]; };
            return CriticLossScalars<scalar_t>{number(0), number(1), number(2), number(3), number(4), number(5)};
        };
        std::vector<CriticLossSums> sums(runs * critics);
        scalar_t* gradient_rows = into.mutable_data_ptr<scalar_t>();
        parallel_for(runs * critics, [&](long pair, Memory& memory) {
            const long run = pair / critics;
            sums[pair] = critic_gradient<scalar_t>(
                inputs.shape, inputs.row<scalar_t>(pair), inputs.of_run<scalar_t>(run),
                target.const_data_ptr<scalar_t>() + run * batch,
                log_density.const_data_ptr<scalar_t>() + run * batch * (count - 1),
                floor.const_data_ptr<scalar_t>() + run * batch, form, scalars_of(run), memory.arena,
                value_gradient.mutable_data_ptr<scalar_t>() + pair * batch * count,
                gradient_rows + pair * parameters.size(1));
        });
        scalar_t* out = per_run.mutable_data_ptr<scalar_t>();
        for (long run = 0; run < runs; ++run) {
            const auto loss = run_loss<scalar_t>(&sums[run * critics], critics, batch, n, form, scalars_of(run));
            const scalar_t column[] = {
                loss.loss,       loss.lagrange_loss,      loss.lagrange_gradient,   loss.td_error,
                loss.difference, loss.bound_rate_current, loss.bound_rate_following};
            for (long number = 0; number < 7; ++number) out[number * runs + run] = column[number];
        }
    });
    return {per_run, value_gradient};
}

inline PolicyShape policy_shape(const Tensor& states, long actions, const Layout& layout) {
    const auto& [widths, offsets, normalised] = layout;
    TORCH_CHECK(offsets.size() == 2 * (widths.size() + normalised.size()) + 2 && widths.back() >= 2 * actions &&
                    (normalised.empty() || normalised.size() + 1 == widths.size()),
                "offsets must have one element per tensor of the policy");
    return {states.size(2),
            actions,
            {widths.begin(), widths.end()},
            {offsets.begin(), offsets.end()},
            {normalised.begin(), normalised.end()}};
}

// Actions [R, B, n, A] and log-probabilities [R, B, n] from standard normal noise [R, B, n, A].
inline std::tuple<Tensor, Tensor> policy_samples_of(const Tensor& parameters_, const Tensor& states_,
                                                    const Tensor& noise_, IntArrayRef widths, IntArrayRef offsets,
                                                    IntArrayRef normalised) {
    const Tensor parameters = checked(parameters_, parameters_);
    const Tensor states = checked(states_, parameters), noise = checked(noise_, parameters);
    TORCH_CHECK(states.dim() == 3 && noise.dim() == 4 && parameters.dim() == 2 && states.size(0) == noise.size(0) &&
                    states.size(1) == noise.size(1) && states.size(0) == parameters.size(0),
                "states must be [R, B, S], noise [R, B, n, A] and parameters [R, P]");
    const PolicyShape shape = policy_shape(states, noise.size(3), {widths, offsets, normalised});
    const long runs = states.size(0), batch = states.size(1), n = noise.size(2);
    const Tensor actions = at::empty(noise.sizes(), parameters.options());
    const Tensor log_prob = at::empty({runs, batch, n}, parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "policy_samples", [&] {
        parallel_for(runs, [&](long run, Memory& memory) {
            const long size = Policy<scalar_t>::sampling_size(shape, batch, n), at = run * batch * n;
            memory.arena.reset(Policy<scalar_t>::bytes(shape, batch) + Arena::bytes<scalar_t>(size));
            const Policy<scalar_t> policy(shape, parameters.const_data_ptr<scalar_t>() + run * parameters.size(1),
                                          states.const_data_ptr<scalar_t>() + run * batch * shape.states, batch,
                                          memory.arena);
            policy.sample(noise.const_data_ptr<scalar_t>() + at * shape.actions, n, memory.arena.take<scalar_t>(size),
                          actions.mutable_data_ptr<scalar_t>() + at * shape.actions,
                          log_prob.mutable_data_ptr<scalar_t>() + at);
        });
    });
    return {actions, log_prob};
}

// Loss [R] and mean log-probability [R] of one action per state from `noise` [R, B, A]; writes the gradient into
// `into`.
inline std::tuple<Tensor, Tensor> policy_gradient_of(const Tensor& parameters_, const Tensor& critic_parameters_,
                                                     const Tensor& states_, const Tensor& noise_, IntArrayRef widths,
                                                     IntArrayRef offsets, IntArrayRef normalised,
                                                     IntArrayRef critic_widths, IntArrayRef critic_offsets,
                                                     IntArrayRef critic_normalised, const Tensor& temperature_,
                                                     bool mean_value, Tensor into) {
    const Tensor parameters = checked(parameters_, parameters_);
    const Tensor critic_parameters = checked(critic_parameters_, parameters), states = checked(states_, parameters);
    const Tensor noise = checked(noise_, parameters), temperature = checked(temperature_, parameters);
    TORCH_CHECK(states.dim() == 3 && noise.dim() == 3 && parameters.dim() == 2 && states.size(0) == noise.size(0) &&
                    states.size(1) == noise.size(1) && states.size(0) == parameters.size(0) &&
                    temperature.numel() == states.size(0) && critic_parameters.size(0) % states.size(0) == 0,
                "states must be [R, B, S], noise [R, B, A], parameters [R, P] and [R * C, P], temperatures [R]");
    TORCH_CHECK(into.is_contiguous() && into.sizes() == parameters.sizes() && into.dtype() == parameters.dtype(),
                "the gradient must have the shape and dtype of the parameters");
    const PolicyShape shape = policy_shape(states, noise.size(2), {widths, offsets, normalised});
    const NetworkShape critic_shape =
        shape_of(states, noise.unsqueeze(2), {critic_widths, critic_offsets, critic_normalised});
    const long runs = states.size(0), batch = states.size(1), critics = critic_parameters.size(0) / runs;
    const long width = parameters.size(1), critic_width = critic_parameters.size(1);
    const Tensor loss = at::empty({runs}, parameters.options()), log_prob = at::empty({runs}, parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "policy_gradient", [&] {
        parallel_for(runs, [&](long run, Memory& memory) {
            memory.arena.reset(Policy<scalar_t>::bytes(shape, batch) +
                               policy_gradient_bytes<scalar_t>(shape, batch, critics));
            const scalar_t* states_of_run = states.const_data_ptr<scalar_t>() + run * batch * shape.states;
            Policy<scalar_t> policy(shape, parameters.const_data_ptr<scalar_t>() + run * width, states_of_run, batch,
                                    memory.arena);
            const PolicyLoss result = policy_gradient<scalar_t>(
                shape, policy, critic_shape,
                critic_parameters.const_data_ptr<scalar_t>() + run * critics * critic_width, critics, critic_width,
                states_of_run, noise.const_data_ptr<scalar_t>() + run * batch * shape.actions, batch,
                temperature.const_data_ptr<scalar_t>()[run], mean_value, memory.arena, memory.inner,
                into.mutable_data_ptr<scalar_t>() + run * width);
            loss.mutable_data_ptr<scalar_t>()[run] = result.loss;
            log_prob.mutable_data_ptr<scalar_t>()[run] = result.log_prob;
        });
    });
    return {loss, log_prob};
}

// A step of Adam on parameters [N, P] with learning rates [N, 1]; `corrections` [2] are a factor of the rates, and
// epsilon. Rows may lie apart.
inline void adam_step_of(Tensor parameters, Tensor first, Tensor second, const Tensor& gradient, const Tensor& rate,
                         const Tensor& corrections, double beta_1, double beta_2) {
    TORCH_CHECK(parameters.dim() == 2 && parameters.stride(1) == 1 && rate.numel() == parameters.size(0) &&
                    corrections.numel() == 2,
                "parameters must be [N, P], with contiguous rows, a rate for each row and two corrections");
    for (const Tensor& tensor : {first, second, gradient})
        TORCH_CHECK(tensor.sizes() == parameters.sizes() && tensor.strides() == parameters.strides() &&
                        tensor.dtype() == parameters.dtype(),
                    "moments and gradient must have the shape, strides and dtype of the parameters");
    const Tensor rates = checked(rate, parameters), correction_values = checked(corrections, parameters);
    const long width = parameters.size(1);
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "adam_step", [&] {
        const scalar_t factor = correction_values.const_data_ptr<scalar_t>()[0],
                       epsilon = correction_values.const_data_ptr<scalar_t>()[1];
        parallel_for(parameters.size(0), [&](long row, Memory&) {
            const long at = row * parameters.stride(0);
            adam_step<scalar_t>(parameters.mutable_data_ptr<scalar_t>() + at, first.mutable_data_ptr<scalar_t>() + at,
                                second.mutable_data_ptr<scalar_t>() + at, gradient.const_data_ptr<scalar_t>() + at,
                                width, beta_1, beta_2, epsilon, rates.const_data_ptr<scalar_t>()[row] * factor);
        });
    });
}

// targets += tau * (parameters - targets) for targets and parameters [N, P] and tau [N, 1].
inline void polyak_update_of(Tensor targets, const Tensor& parameters, const Tensor& tau) {
    TORCH_CHECK(targets.is_contiguous() && parameters.is_contiguous() && targets.dim() == 2 &&
                    targets.sizes() == parameters.sizes() && targets.dtype() == parameters.dtype() &&
                    tau.numel() == targets.size(0),
                "targets must have the shape and dtype of the parameters [N, P], with a tau for each row");
    const Tensor taus = checked(tau, parameters);
    const long width = parameters.size(1);
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "polyak_update", [&] {
        parallel_for(parameters.size(0), [&](long row, Memory&) {
            polyak_update<scalar_t>(targets.mutable_data_ptr<scalar_t>() + row * width,
                                    parameters.const_data_ptr<scalar_t>() + row * width, width,
                                    taus.const_data_ptr<scalar_t>()[row]);
        });
    });
}

// See `read_memory`; `memory` are contiguous floats.
inline int64_t read_memory_of(const Tensor& memory, int64_t rounds) {
    TORCH_CHECK(memory.device().is_cpu() && memory.scalar_type() == at::kFloat && memory.is_contiguous(),
                "memory must be contiguous floats on the CPU");
    return read_memory(memory.const_data_ptr<float>(), memory.numel(), rounds);
}

}  // namespace floorbench
