// The Bellman target of a state, and the critic loss of a state with its gradient with respect to every value; the same
// formulas as in algorithms/critic_loss.py.
#pragma once

#include <cmath>
#include <limits>

#include "exponential.h"
#include "vectors.h"

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

template <typename Real>
inline Vector<Real> maximum(Vector<Real> value, Vector<Real> floor) {
    return value < floor ? floor : value;
}

template <typename Real, int HALF = LANES<Real> / 2>
inline Real maximum_of_elements(Vector<Real> value) {
    const Vector<Real> larger = maximum<Real>(halves<Real, HALF, 0>(value, value), halves<Real, HALF, 1>(value, value));
    if constexpr (HALF > 1) return maximum_of_elements<Real, HALF / 2>(larger);
    return larger[0];
}

// Add the loss of one state to `sums` and write its gradient, for a mean over `batch` states, to `value_gradient`.
//
// `values` [1 + 3n] belong to the data action, n uniform ones, n of pi(.|s) and n of pi(.|s'). `work` is an aligned buffer
// of 3n elements, padded to whole vectors. Few branches depend on the numbers: no processor could predict them.
template <typename Real>
void critic_loss(const Real* values, long n, const StateInputs<Real>& state, CriticLossForm form,
                 const CriticLossScalars<Real>& scalars, Real weight, long batch, Real* value_gradient, Real* work,
                 CriticLossSums& sums) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const long count = 3 * n, current = n, following = 2 * n;
    const Real data = values[0], *sampled = values + 1;
    const Vector<Real> zero = {}, lowest = zero - infinity;
    const Vector<Real> of_policy = zero + (form.mask_by_expectation ? -infinity : state.floor);
    const Vector<Real> of_uniform = form.floor_uniform ? of_policy : lowest;
    // Call `function(first, values, log-densities, floors)` for each vector of actions.
    const auto in_vectors = [&](const auto& function) {
        for (long first = 0; first < count; first += LANES<Real>)
            function(first, load_some(sampled + first, count - first),
                     form.importance_sampling ? load_some(state.log_density + first, count - first) : zero,
                     first_elements<Real>(n - first) ? of_uniform : of_policy);
    };

    Real push_down = 0, of_data = 0;
    if (form.expectation) {
        for (long action = 0; action < count; ++action) {
            const bool is_current = action >= current && action < following;
            if (is_current) push_down += maximum(sampled[action], of_policy[0]);
            work[action] = is_current ? Real(1) / n : 0;
        }
        push_down /= n;
    } else {
        Vector<Real> peaks = lowest;
        in_vectors([&](long first, Vector<Real> value, Vector<Real> density, Vector<Real> floor) {
            const Vector<Real> term = form.floor_after_density ? maximum<Real>(value - density, floor)
                                                               : maximum<Real>(value, floor) - density;
            const Vector<Real> scaled = first_elements<Real>(count - first) ? term / scalars.temperature : lowest;
            store(work + first, scaled);
            peaks = maximum<Real>(scaled, peaks);
        });
        const Real of_data_action = data / scalars.temperature;
        if (!form.importance_sampling) peaks = maximum<Real>(zero + of_data_action, peaks);
        const Real peak = maximum_of_elements<Real>(peaks);
        Real total = 0;
        exponentials_below_zero(work, padded_to_vectors<Real>(count), peak);
        for (long action = 0; action < count; ++action) total += work[action];
        if (!form.importance_sampling) total += of_data = exponential_below_zero(of_data_action - peak);
        push_down = scalars.temperature * (peak + std::log(total));
        of_data /= total;
        for (long first = 0; first < count; first += LANES<Real>) store(work + first, load(work + first) / total);
    }
    if (form.mask_by_expectation) {
        Real mean = 0;
        for (long action = current; action < following; ++action) mean += sampled[action];
        if (!(mean / n > state.floor)) {
            push_down = state.floor;
            of_data = 0;
            for (long action = 0; action < count; ++action) work[action] = 0;
        }
    }

    const Real raw = push_down - data, td = data - state.target;
    const Real low = scalars.difference_min, high = scalars.difference_max;
    const bool clipped = !(raw >= low && raw <= high);
    // The clip has no gradient outside its range.
    const Real share = clipped ? 0 : weight / batch;
    value_gradient[0] = Real(2) / batch * td + share * (of_data - 1);
    in_vectors([&](long first, Vector<Real> value, Vector<Real> density, Vector<Real> floor) {
        const Vector<Real> bounded = form.floor_after_density ? value - density : value;
        store_some(value_gradient + 1 + first, bounded > floor ? share * load(work + first) : zero, count - first);
    });

    sums.squared_td += td * td;
    sums.difference += raw < low ? low : raw > high ? high : raw;
    long below_current = 0, below_following = 0;
    for (long action = current; action < following; ++action) below_current += sampled[action] < state.floor;
    for (long action = following; action < count; ++action) below_following += sampled[action] < state.floor;
    sums.below_current += below_current;
    sums.below_following += below_following;
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
