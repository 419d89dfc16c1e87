"""Power of paired comparisons: how many seeds a test needs.

Differences within seed are assumed to be normal. Their standard deviation comes from a pilot; with few seeds it is
uncertain, so its upper confidence limit is reported as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, log2, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, stats

from results.statistics.intervals import UNBOUNDED, Range, present

POWER = 0.8
ALPHA = 0.05

# Largest number of seeds that is considered.
MOST_SEEDS = 10_000

# One-sided confidence of the upper limit of a pilot's standard deviation.
LIMIT_CONFIDENCE = 0.8


def difference_power(
    seeds: int,
    effect: float,
    deviation: float,
    alpha: float = ALPHA,
    alternative: Literal["two-sided", "one-sided"] = "two-sided",
) -> float:
    """Probability that a paired t test over `seeds` pairs detects a true mean difference of `effect`.

    `deviation` is the standard deviation of the differences. Exact, by the noncentral t distribution; a rejection on
    the wrong side of a two-sided test is not counted.
    """
    freedom = seeds - 1
    critical = stats.t.ppf(1 - alpha / (2 if alternative == "two-sided" else 1), freedom)
    return float(stats.nct.sf(critical, freedom, abs(effect) * sqrt(seeds) / deviation))


def equivalence_power(
    seeds: int, margin: float, deviation: float, difference: float = 0.0, alpha: float = ALPHA
) -> float:
    """Probability that two one-sided paired t tests (TOST) over `seeds` pairs establish equivalence within +-`margin`.

    `difference` is the true mean difference. Exact: given the estimated standard deviation u (in units of the true
    one), the mean must fall between two bounds; this probability is integrated over the distribution of u (Phillips
    1990).
    """
    freedom = seeds - 1
    critical = stats.t.ppf(1 - alpha, freedom)
    scale = sqrt(seeds) / deviation
    upper, lower = (margin - difference) * scale, (-margin - difference) * scale
    # Beyond, the mean would have to fall into an empty interval, or u has practically no probability.
    largest = stats.chi.isf(1e-12, freedom) / sqrt(freedom)
    widest = min((upper - lower) / (2 * critical), largest)

    def given(u: float) -> float:
        mass = stats.norm.cdf(upper - critical * u) - stats.norm.cdf(lower + critical * u)
        return mass * stats.chi.pdf(u * sqrt(freedom), freedom) * sqrt(freedom)

    return float(integrate.quad(given, 0, widest, points=[min(1.0, widest)], limit=200)[0])


def seeds_needed(power_of: Callable[[int], float], power: float = POWER, fewest: int = 2) -> int | None:
    """The smallest number of seeds, at least `fewest`, at which `power_of` reaches `power`; None above `MOST_SEEDS`.

    `power_of` must not fall with the number of seeds.
    """
    low, high = fewest - 1, fewest
    while power_of(high) < power:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def fewest_seeds(alpha: float = ALPHA, comparisons: int = 1) -> int:
    """The fewest pairs with which a two-sided sign-flip test can reject at all.

    Its smallest p-value is 2^(1 - n), and the first step of Holm's correction requires `alpha` / `comparisons`. With
    fewer seeds no difference can be significant, however large.
    """
    return 1 + ceil(log2(comparisons / alpha) - 1e-12)


@dataclass(frozen=True)
class PilotDeviation:
    """The standard deviation of paired differences in a pilot, with its upper confidence limit."""

    deviation: float
    upper: float
    seeds: int


def pilot_deviation(
    differences: ArrayLike, confidence: float = LIMIT_CONFIDENCE, bounds: Range = UNBOUNDED
) -> PilotDeviation:
    """Standard deviation of paired `differences` [n] and its one-sided upper limit, by the chi-squared distribution.

    The limit is at most half the range of a difference within `bounds`, which no standard deviation can exceed. NaNs
    are left out. With fewer than two pairs both are NaN and infinity.
    """
    numbers = present(differences)
    n = len(numbers)
    if n < 2:
        return PilotDeviation(np.nan, inf, n)
    deviation = float(numbers.std(ddof=1))
    limit = deviation * sqrt((n - 1) / stats.chi2.ppf(1 - confidence, n - 1))
    if bounds[0] <= numbers.min() and numbers.max() <= bounds[1]:
        # The sample's, with n - 1 in the denominator, may exceed the bound.
        limit = max(deviation, min(limit, (bounds[1] - bounds[0]) / 2))
    return PilotDeviation(deviation, limit, n)
