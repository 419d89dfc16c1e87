// The gradients of one run's update, algorithms/learner.py `_compute`: each number by the same operations in the same
// order as by the operators one after the other.
#pragma once

#include "backup.h"
#include "policy_loss.h"
#include "tensors.h"

namespace floorbench {

// What is equal in all runs of a pack.
struct UpdateShape {
    PolicyShape policy;
    NetworkShape critic;
    CriticLossForm form;
    long critics, batch;
    long n, following;     // actions per state: of each kind in the push-down; at s', of which the last are the target's
    bool best_first;       // see `next_value`
    bool backup_entropy;   // in the target
    bool mean_action;      // the target's is the deterministic one
    double uniform_density;

    long count() const { return 1 + 3 * n; }
    long target_actions() const { return following - n; }
};

// Rows of parameters and for their gradients; those of critics lie at a distance of `stride`, as those of targets do.
template <typename Real>
struct RunParameters {
    const Real *policy, *critics, *targets;
    Real *policy_gradient, *critic_gradient;
    long stride;
};

// A run's part of the batch and of the noise.
template <typename Real>
struct RunInputs {
    const Real *states, *actions, *rewards, *next_states, *terminals, *floor;
    const Real *uniform, *state_noise, *following_noise;
};

template <typename Real>
struct RunLosses {
    RunLoss<Real> critic;
    PolicyLoss policy;
};

// Numbers [B, count, width] of the actions of each state.
template <typename Real>
struct OfActions {
    Real* data;
    long count, width;
};

// Copy the `count` actions from number `first` on of each state to number `to` and on of another table's.
template <typename Real>
void copy_actions(OfActions<const Real> from, long first, OfActions<Real> into, long to, long count, long batch) {
    for (long state = 0; state < batch; ++state)
        std::memcpy(into.data + (state * into.count + to) * into.width,
                    from.data + (state * from.count + first) * from.width, count * from.width * sizeof(Real));
}

// One run's update up to its gradients; what lies between is kept in the thread's memory.
template <typename Real>
class RunUpdate {
public:
    RunUpdate(const UpdateShape& shape, const RunParameters<Real>& parameters, const RunInputs<Real>& inputs,
              Memory& memory)
        : shape_(shape), parameters_(parameters), inputs_(inputs), memory_(memory) {
        size_t bytes = 0;
        each_table([&](OfActions<Real>&, long count, long width) {
            bytes += Arena::bytes<Real>(shape_.batch * count * width);
        });
        memory.tables.reset(bytes);
        each_table([&](OfActions<Real>& table, long count, long width) {
            table = {memory.tables.take<Real>(shape_.batch * count * width), count, width};
        });
    }

    // Writes both gradients; all are taken at the parameters before the step.
    RunLosses<Real> gradients(const CriticLossScalars<Real>& scalars, Real discount, Real entropy_temperature) {
        sample_following();
        find_target(discount, entropy_temperature);
        const long n = shape_.n;
        memory_.arena.reset(Policy<Real>::room(shape_.policy, shape_.batch) +
                            policy_gradient_room<Real>(shape_.policy, shape_.batch, shape_.critics));
        Policy<Real> policy(shape_.policy, parameters_.policy, inputs_.states, shape_.batch, memory_.arena);
        const OfActions<const Real> noise{inputs_.state_noise, 1 + n, shape_.policy.actions};
        copy_actions<Real>(noise, 1, current_noise_, 0, n, shape_.batch);
        policy.sample(current_noise_.data, n, sampling_.data, current_.data, current_density_.data);
        const RunLoss<Real> critic = critic_gradients(scalars);
        copy_actions<Real>(noise, 0, policy_noise_, 0, 1, shape_.batch);
        return {critic, policy_gradient<Real>(shape_.policy, policy, shape_.critic, parameters_.critics, shape_.critics,
                                              parameters_.stride, inputs_.states, policy_noise_.data, shape_.batch,
                                              entropy_temperature, memory_.arena, memory_.inner,
                                              parameters_.policy_gradient)};
    }

private:
    // Call `with(table, count, width)` for every table.
    template <typename With>
    void each_table(const With& with) {
        const long n = shape_.n, following = shape_.following, width = shape_.policy.actions;
        with(policy_noise_, 1, width);
        with(current_noise_, n, width);
        with(current_, n, width);
        with(current_density_, n, 1);
        with(following_noise_, following, width);
        with(following_, following, width);
        with(following_density_, following, 1);
        with(sampling_, (Policy<Real>::sampling_room(shape_.policy, shape_.batch, following) - 1) / shape_.batch + 1, 1);
        with(candidates_, shape_.target_actions(), width);
        with(values_, shape_.critics * shape_.target_actions(), 1);
        with(target_, 1, 1);
        with(actions_, shape_.count(), width);
        with(density_, 3 * n, 1);
        with(slopes_, shape_.count(), 1);
    }

    static OfActions<const Real> fixed(const OfActions<Real>& table) { return {table.data, table.count, table.width}; }

    // Actions at s' for the push-down, then for the target.
    void sample_following() {
        const long count = shape_.following, width = shape_.policy.actions;
        const Real* noise = inputs_.following_noise;
        if (shape_.mean_action) {
            copy_actions<Real>({noise, count, width}, 0, following_noise_, 0, count, shape_.batch);
            for (long state = 0; state < shape_.batch; ++state)
                std::memset(following_noise_.data + (state * count + count - 1) * width, 0, width * sizeof(Real));
            noise = following_noise_.data;
        }
        memory_.arena.reset(Policy<Real>::room(shape_.policy, shape_.batch));
        const Policy<Real> policy(shape_.policy, parameters_.policy, inputs_.next_states, shape_.batch, memory_.arena);
        policy.sample(noise, count, sampling_.data, following_.data, following_density_.data);
    }

    void find_target(Real discount, Real entropy_temperature) {
        const long batch = shape_.batch, n = shape_.n, count = shape_.target_actions();
        copy_actions<Real>(fixed(following_), n, candidates_, 0, count, batch);
        for (long critic = 0; critic < shape_.critics; ++critic)
            critic_values<Real>(shape_.critic, parameters_.targets + critic * parameters_.stride,
                                {inputs_.next_states, candidates_.data, batch, count}, memory_.inner,
                                values_.data + critic * batch * count);
        for (long state = 0; state < batch; ++state) {
            const auto next = next_value<Real>(values_.data + state * count, shape_.critics, batch * count, count,
                                               shape_.best_first);
            Real value = next.value;
            if (shape_.backup_entropy)
                value -= entropy_temperature * following_density_.data[state * shape_.following + n + next.action];
            target_.data[state] = bellman_target<Real>(inputs_.rewards[state], inputs_.terminals[state], discount, value);
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
            sums[critic] = critic_gradient<Real>(
                shape_.critic, parameters_.critics + critic * parameters_.stride,
                {inputs_.states, actions_.data, batch, shape_.count()}, target_.data, density_.data, inputs_.floor,
                shape_.form, scalars, memory_.inner, slopes_.data,
                parameters_.critic_gradient + critic * parameters_.stride);
        return run_loss<Real>(sums.data(), shape_.critics, batch, n, shape_.form, scalars);
    }

    const UpdateShape& shape_;
    const RunParameters<Real>& parameters_;
    const RunInputs<Real>& inputs_;
    Memory& memory_;
    OfActions<Real> policy_noise_, current_noise_, current_, current_density_;
    OfActions<Real> following_noise_, following_, following_density_, sampling_;
    OfActions<Real> candidates_, values_, target_;
    OfActions<Real> actions_, density_, slopes_;
};

}  // namespace floorbench
