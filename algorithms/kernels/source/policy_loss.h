// The policy loss of one run with its gradient: algorithms/policy_loss.py.
#pragma once

#include "fused_critic.h"
#include "policy_network.h"

namespace floorbench {

struct PolicyLoss {
    double loss, log_prob;  // means over the batch
};

// Memory beside that of the policy itself.
template <typename Real>
size_t policy_gradient_room(const PolicyShape& shape, long batch, long critics) {
    return Policy<Real>::backward_room(shape) + Arena::bytes<Real>(Policy<Real>::sampling_room(shape, batch, 1)) +
           (3 + critics) * Arena::bytes<Real>(batch * shape.actions) + (1 + critics) * Arena::bytes<Real>(batch);
}

// One action per state from `noise` [B, A]; `critics` are the parameters of the run's critics, row after row of
// `critic_stride` numbers. The gradient goes into a row of parameters; the policy is used up. The arena has
// `policy_gradient_room` left.
template <typename Real>
PolicyLoss policy_gradient(const PolicyShape& shape, Policy<Real>& policy, const NetworkShape& critic_shape,
                           const Real* critic_rows, long critics, long critic_stride, const Real* states,
                           const Real* noise, long batch, Real temperature, Arena& arena, Arena& of_critics,
                           Real* gradient) {
    const long width = shape.actions;
    Real* work = arena.take<Real>(Policy<Real>::sampling_room(shape, batch, 1));
    Real *actions = arena.take<Real>(batch * width), *log_prob = arena.take<Real>(batch);
    policy.sample(noise, 1, work, actions, log_prob);
    std::vector<Real*> values, slopes;
    for (long critic = 0; critic < critics; ++critic) {
        values.push_back(arena.take<Real>(batch));
        slopes.push_back(arena.take<Real>(batch * width));
        critic_action_slopes<Real>(critic_shape, critic_rows + critic * critic_stride, {states, actions, batch, 1},
                                   of_critics, values[critic], slopes[critic]);
    }
    Real *of_mean = arena.take<Real>(batch * width), *of_log_std = arena.take<Real>(batch * width);
    PolicyLoss sums{0, 0};
    for (long state = 0; state < batch; ++state) {
        long smaller = 0;
        for (long critic = 1; critic < critics; ++critic)
            if (!(values[critic][state] >= values[smaller][state])) smaller = critic;
        const Real value = values[smaller][state];
        sums.loss += temperature * log_prob[state] - value;
        sums.log_prob += log_prob[state];
        for (long action = 0; action < width; ++action) {
            const long at = state * width + action;
            const Real own = actions[at];
            // d log pi / d raw = 2 tanh(raw); d action / d raw = 1 - tanh(raw)^2.
            const Real of_raw = (temperature * 2 * own - slopes[smaller][at] * (1 - own * own)) / batch;
            of_mean[at] = of_raw;
            of_log_std[at] = of_raw * std::exp(policy.log_std(state, action)) * noise[at] - temperature / batch;
        }
    }
    policy.backward(of_mean, of_log_std, arena, gradient);
    return {sums.loss / batch, sums.log_prob / batch};
}

}  // namespace floorbench
