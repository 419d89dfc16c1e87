// The value of s' in the Bellman target, algorithms/backup.py.
#pragma once

namespace floorbench {

template <typename Real>
struct NextValue {
    Real value;
    long action;
};

// NaN is both larger and smaller than any number, as torch has it: a run that diverged is not hidden.
template <typename Real>
bool exceeds(Real left, Real right) {
    return left > right || left != left;
}

// From values [C, m] of one state, critic after critic at a distance of `stride`: each critic's best action and then the
// smaller critic, or the smaller critic of each action and then the best.
template <typename Real>
NextValue<Real> next_value(const Real* values, long critics, long stride, long count, bool best_first) {
    NextValue<Real> found{};
    if (best_first) {
        for (long critic = 0; critic < critics; ++critic) {
            const Real* own = values + critic * stride;
            NextValue<Real> best{own[0], 0};
            for (long action = 1; action < count; ++action)
                if (exceeds(own[action], best.value)) best = {own[action], action};
            if (critic == 0 || exceeds(-best.value, -found.value)) found = best;
        }
        return found;
    }
    for (long action = 0; action < count; ++action) {
        Real smaller = values[action];
        for (long critic = 1; critic < critics; ++critic)
            if (exceeds(-values[critic * stride + action], -smaller)) smaller = values[critic * stride + action];
        if (action == 0 || exceeds(smaller, found.value)) found = {smaller, action};
    }
    return found;
}

// The target of one state from the value of the next.
template <typename Real>
Real bellman_target(Real reward, Real terminal, Real discount, Real value) {
    return reward + (1 - terminal) * discount * value;
}

}  // namespace floorbench
