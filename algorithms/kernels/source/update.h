// The update of one run as in algorithms/learner.py: all gradients, Adam and the Polyak update.
//
// Performs the same operations in the same order as the single operators, so that both compute the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "critic_loss.h"
#include "policy_loss.h"

namespace floorbench {

// One step of Adam on a row of parameters; `rate` and `epsilon` include the bias correction.
template <typename Real>
void adam_step(Real* __restrict parameters, Real* __restrict first, Real* __restrict second,
               const Real* __restrict gradient, long count, Real beta_1, Real beta_2, Real epsilon, Real rate) {
#pragma omp simd
    for (long at = 0; at < count; ++at) {
        const Real g = gradient[at];
        first[at] += (1 - beta_1) * (g - first[at]);
        second[at] = beta_2 * second[at] + (1 - beta_2) * g * g;
        parameters[at] -= rate * first[at] / (std::sqrt(second[at]) + epsilon);
    }
}

// targets += tau * (parameters - targets).
template <typename Real>
void polyak_update(Real* __restrict targets, const Real* __restrict parameters, long count, Real tau) {
#pragma omp simd
    for (long at = 0; at < count; ++at) targets[at] += tau * (parameters[at] - targets[at]);
}

// The settings that all runs of a pack share.
struct UpdateShape {
    PolicyShape policy;
    NetworkShape critic;
    CriticLossForm form;
    long critics, batch;
    long target_critics;  // critics of which the target takes the minimum
    long n;               // actions of each kind in the push-down
    long following;       // actions at s': n for the push-down, then those of the target
    bool max_then_min;    // see `next_value`
    bool backup_entropy;  // the target includes the entropy
    bool mean_action;     // the target uses the mode of pi(.|s')
    bool mean_value;      // the policy maximises the mean over critics, otherwise their minimum
    double uniform_density;

    long count() const { return 1 + 3 * n; }
    long target_actions() const { return following - n; }
};

// The rows of parameters of a run and of their gradients; critics and targets lie `stride` elements apart.
template <typename Real>
struct RunParameters {
    const Real *policy, *critics, *targets;
    Real *policy_gradient, *critic_gradient;
    long stride;
};

// The batch and the noise of a run (see algorithms/batch.py).
template <typename Real>
struct RunInputs {
    const Real *states, *actions, *rewards, *next_states, *terminals, *floor;
    const Real *uniform, *state_noise, *following_noise;
    const int64_t* target_critics;
};

template <typename Real>
struct RunLosses {
    RunLoss<Real> critic;
    PolicyLoss policy;
};

// A table [B, count, width] with a row per action.
template <typename Real>
struct ActionTable {
    Real* data;
    long count, width;
};

// into[:, to : to + count] = from[:, first : first + count]. A loop, because a call for so few numbers takes longer.
template <typename Real>
void copy_actions(ActionTable<const Real> from, long first, ActionTable<Real> into, long to, long count, long batch) {
    const Real* source = from.data + first * from.width;
    Real* target = into.data + to * into.width;
    const long numbers = count * from.width;
    for (long state = 0; state < batch; ++state) {
        for (long number = 0; number < numbers; ++number) target[number] = source[number];
        source += from.count * from.width;
        target += into.count * into.width;
    }
}

// The gradients of one run's update; intermediate results are kept in the thread's memory.
template <typename Real>
class RunUpdate {
public:
    RunUpdate(const UpdateShape& shape, const RunParameters<Real>& parameters, const RunInputs<Real>& inputs,
              Memory& memory)
        : shape_(shape), parameters_(parameters), inputs_(inputs), memory_(memory) {
        size_t bytes = 0;
        for_each_table([&](ActionTable<Real>&, long count, long width) {
            bytes += Arena::bytes<Real>(shape_.batch * count * width);
        });
        memory.tables.reset(bytes);
        for_each_table([&](ActionTable<Real>& table, long count, long width) {
            table = {memory.tables.take<Real>(shape_.batch * count * width), count, width};
        });
    }

    // Compute and write the gradients of critics and, `with_policy`, of the policy, both at the parameters before the
    // step.
    RunLosses<Real> gradients(const CriticLossScalars<Real>& scalars, Real discount, Real entropy_temperature,
                              bool with_policy) {
        sample_following();
        compute_target(discount, entropy_temperature);
        const long n = shape_.n;
        memory_.arena.reset(Policy<Real>::bytes(shape_.policy, shape_.batch) +
                            policy_gradient_bytes<Real>(shape_.policy, shape_.batch, shape_.critics));
        Policy<Real> policy(shape_.policy, parameters_.policy, inputs_.states, shape_.batch, memory_.arena);
        const ActionTable<const Real> noise{inputs_.state_noise, 1 + n, shape_.policy.actions};
        copy_actions<Real>(noise, 1, current_noise_, 0, n, shape_.batch);
        policy.sample(current_noise_.data, n, sampling_.data, current_.data, current_density_.data);
        const RunLoss<Real> critic = critic_gradients(scalars);
        if (!with_policy) return {critic, {0, 0}};
        copy_actions<Real>(noise, 0, policy_noise_, 0, 1, shape_.batch);
        return {critic,
                policy_gradient<Real>(shape_.policy, policy, shape_.critic, parameters_.critics, shape_.critics,
                                      parameters_.stride, inputs_.states, policy_noise_.data, shape_.batch,
                                      entropy_temperature, shape_.mean_value, memory_.arena, memory_.inner,
                                      parameters_.policy_gradient)};
    }

private:
    // Call `function(table, count, width)` for every table.
    template <typename Function>
    void for_each_table(const Function& function) {
        const long n = shape_.n, following = shape_.following, width = shape_.policy.actions;
        function(policy_noise_, 1, width);
        function(current_noise_, n, width);
        function(current_, n, width);
        function(current_density_, n, 1);
        function(following_noise_, following, width);
        function(following_, following, width);
        function(following_density_, following, 1);
        function(sampling_,
                 (Policy<Real>::sampling_size(shape_.policy, shape_.batch, following) - 1) / shape_.batch + 1, 1);
        function(candidates_, shape_.target_actions(), width);
        function(values_, shape_.target_critics * shape_.target_actions(), 1);
        function(target_, 1, 1);
        function(actions_, shape_.count(), width);
        function(density_, 3 * n, 1);
        function(value_gradient_, shape_.count(), 1);
    }

    static ActionTable<const Real> fixed(const ActionTable<Real>& table) {
        return {table.data, table.count, table.width};
    }

    // Sample actions at s': for the push-down first, then for the target.
    void sample_following() {
        const long count = shape_.following, width = shape_.policy.actions;
        const Real* noise = inputs_.following_noise;
        if (shape_.mean_action) {
            copy_actions<Real>({noise, count, width}, 0, following_noise_, 0, count, shape_.batch);
            for (long state = 0; state < shape_.batch; ++state)
                std::memset(following_noise_.data + (state * count + count - 1) * width, 0, width * sizeof(Real));
            noise = following_noise_.data;
        }
        memory_.arena.reset(Policy<Real>::bytes(shape_.policy, shape_.batch));
        const Policy<Real> policy(shape_.policy, parameters_.policy, inputs_.next_states, shape_.batch, memory_.arena);
        policy.sample(noise, count, sampling_.data, following_.data, following_density_.data);
    }

    void compute_target(Real discount, Real entropy_temperature) {
        const long batch = shape_.batch, n = shape_.n, count = shape_.target_actions();
        copy_actions<Real>(fixed(following_), n, candidates_, 0, count, batch);
        for (long critic = 0; critic < shape_.target_critics; ++critic)
            critic_values<Real>(shape_.critic,
                                parameters_.targets + inputs_.target_critics[critic] * parameters_.stride,
                                {inputs_.next_states, candidates_.data, batch, count}, memory_.inner,
                                values_.data + critic * batch * count);
        for (long state = 0; state < batch; ++state) {
            const auto next = next_value<Real>(values_.data + state * count, shape_.target_critics, batch * count, count,
                                               shape_.max_then_min);
            Real value = next.value;
            if (shape_.backup_entropy)
                value -= entropy_temperature * following_density_.data[state * shape_.following + n + next.action];
            target_.data[state] =
                bellman_target<Real>(inputs_.rewards[state], inputs_.terminals[state], discount, value);
        }
    }

    RunLoss<Real> critic_gradients(const CriticLossScalars<Real>& scalars) {
        const long batch = shape_.batch, n = shape_.n, width = shape_.policy.actions;
        copy_actions<Real>({inputs_.actions, 1, width}, 0, actions_, 0, 1, batch);
        copy_actions<Real>({inputs_.uniform, n, width}, 0, actions_, 1, n, batch);
        copy_actions<Real>(fixed(current_), 0, actions_, 1 + n, n, batch);
        copy_actions<Real>(fixed(following_), 0, actions_, 1 + 2 * n, n, batch);
        for (long state = 0; state < batch; ++state)
            std::fill_n(density_.data + state * 3 * n, n, Real(shape_.uniform_density));
        copy_actions<Real>(fixed(current_density_), 0, density_, n, n, batch);
        copy_actions<Real>(fixed(following_density_), 0, density_, 2 * n, n, batch);
        std::vector<CriticLossSums> sums(shape_.critics);
        for (long critic = 0; critic < shape_.critics; ++critic)
            sums[critic] =
                critic_gradient<Real>(shape_.critic, parameters_.critics + critic * parameters_.stride,
                                      {inputs_.states, actions_.data, batch, shape_.count()}, target_.data,
                                      density_.data, inputs_.floor, shape_.form, scalars, memory_.inner,
                                      value_gradient_.data, parameters_.critic_gradient + critic * parameters_.stride);
        return run_loss<Real>(sums.data(), shape_.critics, batch, n, shape_.form, scalars);
    }

    const UpdateShape& shape_;
    const RunParameters<Real>& parameters_;
    const RunInputs<Real>& inputs_;
    Memory& memory_;
    ActionTable<Real> policy_noise_, current_noise_, current_, current_density_;
    ActionTable<Real> following_noise_, following_, following_density_, sampling_;
    ActionTable<Real> candidates_, values_, target_;
    ActionTable<Real> actions_, density_, value_gradient_;
};

}  // namespace floorbench
