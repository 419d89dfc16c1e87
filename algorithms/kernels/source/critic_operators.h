// The critics of a pack as functions of tensors. Each pair of run and critic is the work of one thread.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/core/List.h>
#include <ATen/ops/empty.h>

#include <array>
#include <optional>

#include "backup.h"
#include "fused_critic.h"
#include "tensors.h"

namespace floorbench {

inline NetworkShape shape_of(const Tensor& states, const Tensor& actions, IntArrayRef widths, IntArrayRef offsets) {
    TORCH_CHECK(states.dim() == 3 && actions.dim() == 4, "states must be [R, B, S] and actions [R, B, K, A]");
    TORCH_CHECK(states.size(0) == actions.size(0) && states.size(1) == actions.size(1), "states and actions differ");
    TORCH_CHECK(!widths.empty() && offsets.size() == 2 * widths.size() + 3, "one offset per tensor of the network");
    return {states.size(2), actions.size(3), {widths.begin(), widths.end()}, {offsets.begin(), offsets.end()}};
}

inline CriticLossForm form_of(const c10::List<bool>& switches) {
    TORCH_CHECK(switches.size() == 9, "the loss has 9 switches");
    return {switches[0], switches[1], switches[2], switches[3], switches[4],
            switches[5], switches[6], switches[7], switches[8]};
}

// Inputs of one run after the other, for any type.
struct CriticInputs {
    Tensor parameters, states, actions;
    NetworkShape shape;
    long runs, critics, batch, count;

    CriticInputs(const Tensor& parameters_, const Tensor& states_, const Tensor& actions_, IntArrayRef widths,
           IntArrayRef offsets)
        : parameters(plain(parameters_, parameters_)),
          states(plain(states_, parameters)),
          actions(plain(actions_, parameters)),
          shape(shape_of(states, actions, widths, offsets)),
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

    std::vector<int64_t> of_pairs() const { return {runs, critics, batch, count}; }
};

inline Tensor critic_values_of(const Tensor& parameters, const Tensor& states, const Tensor& actions, IntArrayRef widths,
              IntArrayRef offsets) {
    const CriticInputs inputs(parameters, states, actions, widths, offsets);
    const Tensor result = at::empty(inputs.of_pairs(), parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "critic_values", [&] {
        scalar_t* out = result.mutable_data_ptr<scalar_t>();
        for_each(inputs.runs * inputs.critics, [&](long pair, Memory& memory) {
            critic_values<scalar_t>(inputs.shape, inputs.row<scalar_t>(pair),
                                    inputs.of_run<scalar_t>(pair / inputs.critics), memory.arena,
                                    out + pair * inputs.batch * inputs.count);
        });
    });
    return result;
}

// [R, B] from rewards and terminals [R, B], discounts and temperatures [R], values [R, C, B, m] and log-probabilities
// [R, B, m] of actions at s'.
inline Tensor bellman_target_of(const Tensor& reward_, const Tensor& terminal_, const Tensor& discount_,
                                const Tensor& next_values, const Tensor& next_log_prob_, bool best_first,
                                const std::optional<Tensor>& temperature_) {
    const Tensor values = plain(next_values, next_values), reward = plain(reward_, values);
    const Tensor terminal = plain(terminal_, values), discount = plain(discount_, values);
    const Tensor log_prob = plain(next_log_prob_, values);
    const Tensor temperature = temperature_ ? plain(*temperature_, values) : Tensor();
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
            const auto next = next_value<scalar_t>(
                values.const_data_ptr<scalar_t>() + (run * critics * batch + state) * count, critics, batch * count,
                count, best_first);
            scalar_t value = next.value;
            if (temperature_)
                value -= temperature.const_data_ptr<scalar_t>()[run] * log_probs[at * count + next.action];
            out[at] = bellman_target<scalar_t>(rewards[at], terminals[at], discount.const_data_ptr<scalar_t>()[run], value);
        }
    });
    return result;
}

// [7, R]: Lagrange loss and its gradient between loss, TD error, difference and the bound rates at s and at s';
// [R, C, B, K]: the loss's slope in every value.
inline std::tuple<Tensor, Tensor> critic_gradient_of(const Tensor& parameters, const Tensor& states, const Tensor& actions,
                                    IntArrayRef widths, IntArrayRef offsets, const Tensor& target_,
                                    const Tensor& log_density_, const Tensor& floor_, at::TensorList scalars_,
                                    const c10::List<bool>& form_, Tensor into) {
    const CriticInputs inputs(parameters, states, actions, widths, offsets);
    const long runs = inputs.runs, critics = inputs.critics, batch = inputs.batch, count = inputs.count, n = count / 3;
    TORCH_CHECK(count % 3 == 1 && scalars_.size() == 6, "1 + 3n actions, 6 scalars");
    TORCH_CHECK(into.is_contiguous() && into.sizes() == parameters.sizes() && into.dtype() == parameters.dtype(),
                "the gradient must be like the parameters");
    const Tensor target = plain(target_, parameters), floor = plain(floor_, parameters);
    const Tensor log_density = plain(log_density_, parameters);
    std::array<Tensor, 6> scalars;
    for (long number = 0; number < 6; ++number) {
        scalars[number] = plain(scalars_[number], parameters);
        TORCH_CHECK(scalars[number].numel() == runs, "scalars must be [R]");
    }
    TORCH_CHECK(target.numel() == runs * batch && floor.numel() == runs * batch &&
                    log_density.numel() == runs * batch * (count - 1),
                "target and floor must be [R, B], log-densities [R, B, 3n]");
    const CriticLossForm form = form_of(form_);
    const Tensor of_runs = at::empty({7, runs}, parameters.options());
    const Tensor slopes = at::empty(inputs.of_pairs(), parameters.options());
    AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "critic_gradient", [&] {
        const auto scalars_of = [&](long run) {
            const auto number = [&](long which) { return scalars[which].const_data_ptr<scalar_t>()[run]; };
            return CriticLossScalars<scalar_t>{number(0), number(1), number(2), number(3), number(4), number(5)};
        };
        std::vector<CriticLossSums> sums(runs * critics);
        scalar_t* gradient_rows = into.mutable_data_ptr<scalar_t>();
        for_each(runs * critics, [&](long pair, Memory& memory) {
            const long run = pair / critics;
            sums[pair] = critic_gradient<scalar_t>(
                inputs.shape, inputs.row<scalar_t>(pair), inputs.of_run<scalar_t>(run),
                target.const_data_ptr<scalar_t>() + run * batch,
                log_density.const_data_ptr<scalar_t>() + run * batch * (count - 1),
                floor.const_data_ptr<scalar_t>() + run * batch, form, scalars_of(run), memory.arena,
                slopes.mutable_data_ptr<scalar_t>() + pair * batch * count,
                gradient_rows + pair * parameters.size(1));
        });
        scalar_t* out = of_runs.mutable_data_ptr<scalar_t>();
        for (long run = 0; run < runs; ++run) {
            const auto own = run_loss<scalar_t>(&sums[run * critics], critics, batch, n, form, scalars_of(run));
            const scalar_t column[] = {own.loss, own.lagrange_loss, own.lagrange_gradient, own.td_error,
                                       own.difference, own.bound_rate_current, own.bound_rate_following};
            for (long number = 0; number < 7; ++number) out[number * runs + run] = column[number];
        }
    });
    return {of_runs, slopes};
}

}  // namespace floorbench
