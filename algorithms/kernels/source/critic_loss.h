// The Bellman target of a state, and the critic loss of a state with its gradient with respect to every value; the same
// formulas as in algorithms/critic_loss.py.
#pragma once

#include <cmath>
#include <limits>

namespace floorbench {

template <typename Real>
struct NextValue {
    Real value;
    long action;
};

// As in torch, NaN is larger and smaller than any number, so that a diverged run is noticed.
template <typename Real>
bool exceeds(Real left, Real right) {
    return left > right || left != left;
}

// The value of s' from values [C, m] of candidate actions, with rows `stride` elements apart: the minimum over critics
// of each critic's maximum, or the maximum over actions of the minimum over critics.
template <typename Real>
NextValue<Real> next_value(const Real* values, long critics, long stride, long count, bool max_then_min) {
    NextValue<Real> result{};
    if (max_then_min) {
        for (long critic = 0; critic < critics; ++critic) {
            const Real* values_of_critic = values + critic * stride;
            NextValue<Real> best{values_of_critic[0], 0};
            for (long action = 1; action < count; ++action)
                if (exceeds(values_of_critic[action], best.value)) best = {values_of_critic[action], action};
            if (critic == 0 || exceeds(-best.value, -result.value)) result = best;
        }
        return result;
    }
    for (long action = 0; action < count; ++action) {
        Real minimum = values[action];
        for (long critic = 1; critic < critics; ++critic)
            if (exceeds(-values[critic * stride + action], -minimum)) minimum = values[critic * stride + action];
        if (action == 0 || exceeds(minimum, result.value)) result = {minimum, action};
    }
    return result;
}

// The Bellman target of one transition from the value of s'.
template <typename Real>
Real bellman_target(Real reward, Real terminal, Real discount, Real value) {
    return reward + (1 - terminal) * discount * value;
}

struct CriticLossForm {
    bool expectation;          // otherwise the soft maximum
    bool importance_sampling;  // otherwise the data action joins the logsumexp
    bool lagrange;
    bool mask_by_expectation;  // the floor bounds the mean over pi(.|s), otherwise every action
    bool floor_uniform;        // it also bounds the uniform actions
    bool floor_after_density;  // it bounds values minus log-densities
    bool alpha_of_difference;  // in the Lagrange form, alpha scales the difference
    bool alpha_of_gap;         // and the target action gap
    bool softplus;             // of the raw multiplier is the Lagrange multiplier, otherwise the exponential
};

// The scalars of one run.
template <typename Real>
struct CriticLossScalars {
    Real alpha, temperature, target_action_gap, difference_min, difference_max;
    Real raw_multiplier;  // see critic_loss.py

    static constexpr Real MULTIPLIER_MAX = 1e6;

    Real multiplier(CriticLossForm form) const {
        if (!form.lagrange) return 1;
        Real value = std::exp(form.softplus ? -std::abs(raw_multiplier) : raw_multiplier);
        if (form.softplus) value = (raw_multiplier > 0 ? raw_multiplier : 0) + std::log1p(value);
        return value > MULTIPLIER_MAX ? MULTIPLIER_MAX : value;
    }
    // Derivative of the multiplier with respect to the raw multiplier.
    Real multiplier_derivative(CriticLossForm form) const {
        if (!form.lagrange || multiplier(form) >= MULTIPLIER_MAX) return 0;
        return form.softplus ? 1 / (1 + std::exp(-raw_multiplier)) : multiplier(form);
    }
    Real alpha_of_difference(CriticLossForm form) const {
        return form.lagrange && !form.alpha_of_difference ? 1 : alpha;
    }
    Real gap(CriticLossForm form) const {
        if (!form.lagrange) return 0;
        return form.alpha_of_gap ? alpha * target_action_gap : target_action_gap;
    }
    Real weight(CriticLossForm form) const { return multiplier(form) * alpha_of_difference(form); }
};

// Sums over the states of a batch, in double to limit rounding errors.
struct CriticLossSums {
    double squared_td = 0, difference = 0;
    long below_current = 0, below_following = 0;
};

// Inputs of one state in addition to its values.
template <typename Real>
struct StateInputs {
    Real target;
    Real floor;
    const Real* log_density;  // [3n]
};

template <typename Real>
inline Real maximum(Real value, Real floor) {
    return value < floor ? floor : value;
}

// Add the loss of one state to `sums` and write its gradient, for a mean over `batch` states, to `value_gradient`.
//
// `values` [1 + 3n] belong to the data action, n uniform ones, n of pi(.|s) and n of pi(.|s'). `work` is a buffer of
// 3n + 1 elements.
template <typename Real>
void critic_loss(const Real* values, long n, const StateInputs<Real>& state, CriticLossForm form,
                 const CriticLossScalars<Real>& scalars, Real weight, long batch, Real* value_gradient, Real* work,
                 CriticLossSums& sums) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const long count = 3 * n;
    const Real data = values[0], *sampled = values + 1;
    Real* const of_sampled = value_gradient + 1;
    const auto floor_of = [&](long action) {
        return form.mask_by_expectation || (action < n && !form.floor_uniform) ? -infinity : state.floor;
    };

    Real push_down = 0, of_data = 0;
    if (form.expectation) {
        for (long action = 0; action < count; ++action) {
            const bool current = action >= n && action < 2 * n;
            if (current) push_down += maximum(sampled[action], floor_of(action));
            of_sampled[action] = current ? Real(1) / n : 0;
        }
        push_down /= n;
    } else {
        const long terms = form.importance_sampling ? count : count + 1;
        for (long action = 0; action < count; ++action) {
            const Real density = form.importance_sampling ? state.log_density[action] : 0;
            const Real term = form.floor_after_density ? maximum(sampled[action] - density, floor_of(action))
                                                       : maximum(sampled[action], floor_of(action)) - density;
            work[action] = term / scalars.temperature;
        }
        if (!form.importance_sampling) work[count] = data / scalars.temperature;
        Real peak = work[0], total = 0;
        for (long term = 1; term < terms; ++term) peak = maximum(work[term], peak);
        for (long term = 0; term < terms; ++term) total += work[term] = std::exp(work[term] - peak);
        push_down = scalars.temperature * (peak + std::log(total));
        for (long action = 0; action < count; ++action) of_sampled[action] = work[action] / total;
        if (!form.importance_sampling) of_data = work[count] / total;
    }
    Real current = 0;
    for (long action = n; action < 2 * n; ++action) current += sampled[action];
    if (form.mask_by_expectation && !(current / n > state.floor)) {
        push_down = state.floor;
        of_data = 0;
        for (long action = 0; action < count; ++action) of_sampled[action] = 0;
    }

    const Real raw = push_down - data, td = data - state.target;
    const Real low = scalars.difference_min, high = scalars.difference_max;
    const bool clipped = !(raw >= low && raw <= high);
    // The clip has no gradient outside its range.
    const Real share = clipped ? 0 : weight / batch;
    value_gradient[0] = Real(2) / batch * td + share * (of_data - 1);
    for (long action = 0; action < count; ++action) {
        const Real bounded = form.floor_after_density ? sampled[action] - state.log_density[action] : sampled[action];
        of_sampled[action] = bounded > floor_of(action) ? share * of_sampled[action] : 0;
    }

    sums.squared_td += td * td;
    sums.difference += raw < low ? low : raw > high ? high : raw;
    for (long action = n; action < 2 * n; ++action) sums.below_current += sampled[action] < state.floor;
    for (long action = 2 * n; action < count; ++action) sums.below_following += sampled[action] < state.floor;
}

// The loss of a run, summed over its critics.
template <typename Real>
struct RunLoss {
    Real loss, lagrange_loss, lagrange_gradient, td_error, difference, bound_rate_current, bound_rate_following;
};

template <typename Real>
RunLoss<Real> run_loss(const CriticLossSums* of_critics, long critics, long batch, long n, CriticLossForm form,
                       const CriticLossScalars<Real>& scalars) {
    double td_error = 0, difference = 0, below_current = 0, below_following = 0;
    for (long critic = 0; critic < critics; ++critic) {
        td_error += of_critics[critic].squared_td / batch;
        difference += of_critics[critic].difference / batch;
        below_current += of_critics[critic].below_current;
        below_following += of_critics[critic].below_following;
    }
    const double compared = critics * batch * n;
    const double excess = scalars.alpha_of_difference(form) * difference - critics * scalars.gap(form);
    const double regulariser = scalars.multiplier(form) * excess, share = 1.0 / critics;
    return {Real(td_error + regulariser),
            Real(form.lagrange ? -share * regulariser : 0),
            Real(-share * excess * scalars.multiplier_derivative(form)),
            Real(td_error / critics),
            Real(difference / critics),
            Real(below_current / compared),
            Real(below_following / compared)};
}

}  // namespace floorbench
