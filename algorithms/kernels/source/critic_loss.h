// The critic loss of one state and its slope in every value: algorithms/critic_loss.py, line by line.
#pragma once

#include <cmath>
#include <limits>

namespace floorbench {

struct CriticLossForm {
    bool expectation;          // else the soft maximum
    bool importance_sampling;  // else the data action joins the sum
    bool lagrange;
    bool floor_under_expectation;  // else under each action
    bool floor_uniform;            // also under the uniform actions
    bool floor_under_terms;        // under values less their log-densities
    bool alpha_of_difference;      // in the Lagrange form alpha weighs the difference
    bool alpha_of_gap;             // and the gap
    bool softplus;                 // of the learned number is the Lagrange multiplier; else the exponential
};

// Numbers of one run.
template <typename Real>
struct CriticLossScalars {
    Real alpha, temperature, target_action_gap, difference_min, difference_max;
    Real log_multiplier;  // or its inverse softplus

    static constexpr Real MULTIPLIER_MAX = 1e6;

    Real multiplier(CriticLossForm form) const {
        if (!form.lagrange) return 1;
        Real value = std::exp(form.softplus ? -std::abs(log_multiplier) : log_multiplier);
        if (form.softplus) value = (log_multiplier > 0 ? log_multiplier : 0) + std::log1p(value);
        return value > MULTIPLIER_MAX ? MULTIPLIER_MAX : value;
    }
    // Of the multiplier in the learned number.
    Real multiplier_slope(CriticLossForm form) const {
        if (!form.lagrange || multiplier(form) >= MULTIPLIER_MAX) return 0;
        return form.softplus ? 1 / (1 + std::exp(-log_multiplier)) : multiplier(form);
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

// Sums over the states of a batch. In double: a batch of floats loses digits that the mean has.
struct CriticLossSums {
    double squared_td = 0, difference = 0;
    long below_current = 0, below_following = 0;
};

// What one state has beside its values.
template <typename Real>
struct StateInputs {
    Real target;
    Real floor;
    const Real* log_density;  // [3n]
};

template <typename Real>
inline Real larger(Real value, Real floor) {
    return value < floor ? floor : value;
}

// `values` [1 + 3n] are of the data action, n uniform ones, n of pi(.|s), n of pi(.|s'); writes the loss's `slope` in
// each, for a batch of `batch` states. `work` has room for 3n + 1 numbers.
template <typename Real>
void critic_loss(const Real* values, long n, const StateInputs<Real>& state, CriticLossForm form,
                 const CriticLossScalars<Real>& scalars, Real weight, long batch, Real* slope, Real* work,
                 CriticLossSums& sums) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const long count = 3 * n;
    const Real data = values[0], *sampled = values + 1;
    Real* const of_sampled = slope + 1;
    const auto floor_of = [&](long action) {
        return form.floor_under_expectation || (action < n && !form.floor_uniform) ? -infinity : state.floor;
    };

    Real push_down = 0, of_data = 0;
    if (form.expectation) {
        for (long action = 0; action < count; ++action) {
            const bool current = action >= n && action < 2 * n;
            if (current) push_down += larger(sampled[action], floor_of(action));
            of_sampled[action] = current ? Real(1) / n : 0;
        }
        push_down /= n;
    } else {
        const long terms = form.importance_sampling ? count : count + 1;
        for (long action = 0; action < count; ++action) {
            const Real density = form.importance_sampling ? state.log_density[action] : 0;
            const Real term = form.floor_under_terms ? larger(sampled[action] - density, floor_of(action))
                                                     : larger(sampled[action], floor_of(action)) - density;
            work[action] = term / scalars.temperature;
        }
        if (!form.importance_sampling) work[count] = data / scalars.temperature;
        Real peak = work[0], total = 0;
        for (long term = 1; term < terms; ++term) peak = larger(work[term], peak);
        for (long term = 0; term < terms; ++term) total += work[term] = std::exp(work[term] - peak);
        push_down = scalars.temperature * (peak + std::log(total));
        for (long action = 0; action < count; ++action) of_sampled[action] = work[action] / total;
        if (!form.importance_sampling) of_data = work[count] / total;
    }
    Real current = 0;
    for (long action = n; action < 2 * n; ++action) current += sampled[action];
    if (form.floor_under_expectation && !(current / n > state.floor)) {
        push_down = state.floor;
        of_data = 0;
        for (long action = 0; action < count; ++action) of_sampled[action] = 0;
    }

    const Real raw = push_down - data, td = data - state.target;
    const Real low = scalars.difference_min, high = scalars.difference_max;
    const bool clipped = !(raw >= low && raw <= high);
    // The clip passes gradient only inside its range.
    const Real share = clipped ? 0 : weight / batch;
    slope[0] = Real(2) / batch * td + share * (of_data - 1);
    for (long action = 0; action < count; ++action) {
        const Real bounded = form.floor_under_terms ? sampled[action] - state.log_density[action] : sampled[action];
        of_sampled[action] = bounded > floor_of(action) ? share * of_sampled[action] : 0;
    }

    sums.squared_td += td * td;
    sums.difference += raw < low ? low : raw > high ? high : raw;
    for (long action = n; action < 2 * n; ++action) sums.below_current += sampled[action] < state.floor;
    for (long action = 2 * n; action < count; ++action) sums.below_following += sampled[action] < state.floor;
}

// What a run's critics come to together.
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
    const double regulariser = scalars.multiplier(form) * excess;
    return {Real(td_error + regulariser), Real(form.lagrange ? -0.5 * regulariser : 0),
            Real(-0.5 * excess * scalars.multiplier_slope(form)), Real(td_error / critics),
            Real(difference / critics), Real(below_current / compared), Real(below_following / compared)};
}

}  // namespace floorbench
