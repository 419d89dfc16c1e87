// The policy loss of one run with its gradient; the same formulas as in algorithms/policy_loss.py.
#pragma once

#include "critic_gradient.h"
#include "policy_network.h"

namespace floorbench {

struct PolicyLoss {
    double loss, log_prob;  // means over the batch
};

// Bytes of the arena that `policy_gradient` takes.
template <typename Real>
size_t policy_gradient_bytes(const PolicyShape& shape, long batch, long critics) {
    return Policy<Real>::backward_bytes(shape) + Arena::bytes<Real>(Policy<Real>::sampling_size(shape, batch, 1)) +
           (3 + critics) * Arena::bytes<Real>(batch * shape.actions) + (1 + critics) * Arena::bytes<Real>(batch);
}

// Replace the first row by the average of all rows.
template <typename Real>
void average(const std::vector<Real*>& rows, long count) {
    for (long at = 0; at < count; ++at) {
        Real total = 0;
        for (const Real* row : rows) total += row[at];
        rows[0][at] = total / rows.size();
    }
}

// Compute the loss of one sampled action per state, from `noise` [B, A], and write its gradient to a row of parameters.
//
// The policy maximises the minimum over critics or, with `mean_value`, their mean. `critic_rows` are the parameters of
// the run's critics, `critic_stride` elements apart. Overwrites the policy's activations.
template <typename Real>
PolicyLoss policy_gradient(const PolicyShape& shape, Policy<Real>& policy, const NetworkShape& critic_shape,
                           const Real* critic_rows, long critics, long critic_stride, const Real* states,
                           const Real* noise, long batch, Real temperature, bool mean_value, Arena& arena,
                           Arena& of_critics, Real* gradient) {
    const long width = shape.actions;
    Real* work = arena.take<Real>(Policy<Real>::sampling_size(shape, batch, 1));
    Real *actions = arena.take<Real>(batch * width), *log_prob = arena.take<Real>(batch);
    policy.sample(noise, 1, work, actions, log_prob);
    std::vector<Real*> values, action_gradients;
    for (long critic = 0; critic < critics; ++critic) {
        values.push_back(arena.take<Real>(batch));
        action_gradients.push_back(arena.take<Real>(batch * width));
        critic_action_gradients<Real>(critic_shape, critic_rows + critic * critic_stride, {states, actions, batch, 1},
                                      of_critics, values[critic], action_gradients[critic]);
    }
    Real *of_mean = arena.take<Real>(batch * width), *of_log_std = arena.take<Real>(batch * width);
    if (mean_value) {
        average(values, batch);
        average(action_gradients, batch * width);
        critics = 1;
    }
    PolicyLoss sums{0, 0};
    for (long state = 0; state < batch; ++state) {
        long minimum = 0;
        for (long critic = 1; critic < critics; ++critic)
            if (!(values[critic][state] >= values[minimum][state])) minimum = critic;
        const Real value = values[minimum][state];
        sums.loss += temperature * log_prob[state] - value;
        sums.log_prob += log_prob[state];
        for (long action = 0; action < width; ++action) {
            const long at = state * width + action;
            const Real squashed = actions[at];
            // d log pi / d raw = 2 tanh(raw); d action / d raw = 1 - tanh(raw)^2.
            const Real of_raw =
                (temperature * 2 * squashed - action_gradients[minimum][at] * (1 - squashed * squashed)) / batch;
            of_mean[at] = of_raw;
            of_log_std[at] = of_raw * policy.standard_deviation(state, action) * noise[at] - temperature / batch;
        }
    }
    policy.backward(of_mean, of_log_std, arena, gradient);
    return {sums.loss / batch, sums.log_prob / batch};
}

}  // namespace floorbench
