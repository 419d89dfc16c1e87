// One step of Adam on a row of parameters, algorithms/adam.py, and of targets towards them: one pass over memory each.
#pragma once

#include <cmath>

namespace floorbench {

// `rate` has the bias correction in it, as `epsilon` has.
template <typename Real>
void adam_step(Real* __restrict parameters, Real* __restrict first, Real* __restrict second,
               const Real* __restrict gradient, long count, Real beta_1, Real beta_2, Real epsilon, Real rate) {
#pragma omp simd
    for (long at = 0; at < count; ++at) {
        const Real slope = gradient[at];
        first[at] += (1 - beta_1) * (slope - first[at]);
        second[at] = beta_2 * second[at] + (1 - beta_2) * slope * slope;
        parameters[at] -= rate * first[at] / (std::sqrt(second[at]) + epsilon);
    }
}

// Move `targets` towards `parameters` by a share of the distance.
template <typename Real>
void follow(Real* __restrict targets, const Real* __restrict parameters, long count, Real share) {
#pragma omp simd
    for (long at = 0; at < count; ++at) targets[at] += share * (parameters[at] - targets[at]);
}

}  // namespace floorbench
