"""Coverage of the intervals and Type I error rates of the tests, by simulation.

`python -m results.statistics.coverage` writes COVERAGE.md next to this file; the result is deterministic.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from results.statistics import aggregates
from results.statistics.aggregates import Statistic, stratified_band, stratified_interval
from results.statistics.equivalence import equivalent, equivalent_samples, no_worse
from results.statistics.intervals import Estimate, mean_interval
from results.statistics.pairs import paired_difference, sign_flip_p_value
from results.statistics.trend import dose_response

DOCUMENT = Path(__file__).parent / "COVERAGE.md"
SEED = 0
# Simulated studies per row. The standard error of a coverage of 95% is 0.3 points with 4,000 and 0.5 with 2,000.
STUDIES = 4_000
POOLED_STUDIES = 2_000
POOLED_RESAMPLES = 2_000
# Draws that estimate the true aggregates over tasks.
TRUTH_DRAWS = 400_000
TASKS = 6
DOSES = (0.0, 0.25, 0.5, 1.0)
SEEDS = (3, 5, 6, 8, 10)

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Distribution:
    """A distribution of runs with its true mean."""

    name: str
    mean: float
    draw: Draw


DISTRIBUTIONS = (
    Distribution("normal", 0.0, lambda generator, size: generator.normal(size=size)),
    Distribution("success rate of 20 episodes, 0.7 on average", 0.7,
        lambda generator, size: generator.binomial(20, generator.beta(7, 3, size)) / 20),
    Distribution("success rate near its end: 0.95 on average, skewed", 0.95,
        lambda generator, size: generator.binomial(20, generator.beta(19, 1, size)) / 20),
    Distribution("a third of the seeds never learn: 0.05, else 0.9", 0.05 / 3 + 0.9 * 2 / 3,
        lambda generator, size: np.where(generator.random(size) < 1 / 3, 0.05, 0.9)
        + 0.03 * generator.normal(size=size)),
)  # fmt: skip


def one_task(studies: int) -> Iterator[tuple]:
    """Interval, distribution, n and coverage of the t intervals of a mean, a paired difference and a slope."""
    for distribution in DISTRIBUTIONS:
        for n in SEEDS:
            samples = distribution.draw(_generator(n), (studies, n))
            covered = [_covers(mean_interval(values), distribution.mean) for values in samples]
            yield "t, one task", distribution.name, n, np.mean(covered)
    for n in SEEDS:
        first, second = _correlated_arms(_generator(n), studies, n)
        covered = [_covers(paired_difference(*arms), 0.5) for arms in zip(first, second, strict=True)]
        yield "paired t, one task", "two arms, normal, correlation 0.6", n, np.mean(covered)
    for n in SEEDS:
        values = _generator(n).normal(size=(studies, n, len(DOSES))) + 0.3 * np.array(DOSES)
        covered = [_covers(dose_response(study, DOSES, "rises").slope, 0.3) for study in values]
        yield "t, slope over doses", f"normal, {len(DOSES)} doses", n, np.mean(covered)


def several_tasks(studies: int, resamples: int) -> Iterator[tuple]:
    """The same for stratified bootstrap intervals over `TASKS` tasks of different difficulty."""
    single: dict[str, Statistic] = {"IQM": aggregates.iqm, "optimality gap": aggregates.optimality_gap}
    paired: dict[str, Statistic] = {
        "probability of improvement": aggregates.probability_of_improvement,
        "difference of IQM": aggregates.iqm_difference,
    }
    runs = f"{TASKS} tasks, success rates of 20 episodes"
    for (name, statistic), arms in [*((item, 1) for item in single.items()), *((item, 2) for item in paired.items())]:
        truth = statistic(_success_rates(_generator(), TRUTH_DRAWS // TASKS, arms))
        for n in (3, 5, 10):
            generator, covered = _generator(n), []
            for _ in range(studies):
                interval = stratified_interval(_success_rates(generator, n, arms), statistic, generator, resamples)
                covered.append(_covers(interval, float(truth)))
            yield f"stratified bootstrap, {name}", runs, n, np.mean(covered)
    threshold = np.array([0.5])
    share = aggregates.performance_profile(_success_rates(_generator(), TRUTH_DRAWS // TASKS, 1), threshold)[0]
    for n in (3, 5, 10):
        generator = _generator(n)
        covered = []
        for _ in range(studies):
            _, low, high = stratified_band(
                _success_rates(generator, n, 1),
                lambda tasks: aggregates.performance_profile(tasks, threshold),
                generator,
                resamples,
            )
            covered.append(bool(low[0] <= share <= high[0]))
        yield "stratified bootstrap, profile at 0.5", runs, n, np.mean(covered)


def type_1_errors(studies: int) -> Iterator[tuple]:
    """Test, null hypothesis, n and Type I error rate at a level of 5%, at the boundary of the null hypothesis."""
    for n in (5, 6, 10):
        values = _generator(n).normal(size=(studies, n))
        yield (
            "sign flip, two-sided",
            "no difference, normal",
            n,
            _rejected(sign_flip_p_value(study) for study in values),
        )
    for n in (5, 10):
        values = 0.5 + _generator(n).normal(scale=0.3, size=(studies, n))
        others = _generator(n + 1).normal(scale=0.3, size=(studies, n))
        yield ("paired TOST", "difference equals the margin", n,
               _rejected(equivalent(study, 0.5).p_value for study in values))  # fmt: skip
        yield ("Welch TOST", "difference equals the margin", n,
               _rejected(equivalent_samples(first, second, 0.5).p_value
                         for first, second in zip(values, others, strict=True)))  # fmt: skip
        yield ("non-inferiority t", "worse by the margin", n,
               _rejected(no_worse(-study, 0.5).p_value for study in values))  # fmt: skip
    for n in (5, 10):
        rates = _generator(n).binomial(20, 0.7, size=(studies, n, len(DOSES))) / 20
        yield ("Page, one-sided", "no trend, success rates with ties", n,
               _rejected(dose_response(study, DOSES, "rises").p_value for study in rates))  # fmt: skip


def document(studies: int = STUDIES, pooled_studies: int = POOLED_STUDIES, resamples: int = POOLED_RESAMPLES) -> str:
    """The text of COVERAGE.md."""
    intervals = _table([*one_task(studies), *several_tasks(pooled_studies, resamples)], "Interval", "Coverage")
    tests = _table(type_1_errors(studies), "Test", "Type I error rate")
    return "\n\n".join(
        [
            "# Coverage of intervals and error rates of tests",
            "Nominal coverage: 95%. Written by `python -m results.statistics.coverage`, which simulates "
            f"{studies:,} studies per row for one task (standard error 0.3 points) and {pooled_studies:,} for several "
            f"tasks (0.5 points; {resamples:,} resamples per study). n: seeds per task.",
            intervals,
            "The t interval is exact for normal numbers. It is too narrow if success rates are near 1, or if some "
            "seeds learn and others do not: a few seeds then underestimate the spread, and no interval based on them "
            "alone can correct this. For this reason figures show every seed. Tables, figures and verdicts cut "
            "intervals of bounded quantities at their bounds, which leaves the coverage as it is. The percentiles of "
            "the bootstrap intervals are expanded for small samples.",
            "## Type I error rates",
            "Significance level 5%, at the boundary of the null hypothesis. The sign-flip test cannot reject with "
            "fewer than 6 seeds.",
            tests,
        ]
    ) + "\n"  # fmt: skip


def _table(rows: Iterable[tuple], name: str, share: str) -> str:
    frame = pd.DataFrame(rows, columns=[name, "Distribution of runs", "n", share])
    frame[share] = frame[share].map(lambda value: f"{value:.1%}")
    return frame.to_markdown(index=False, disable_numparse=True)


def _generator(*stream: int) -> np.random.Generator:
    return np.random.default_rng([SEED, *stream])


def _covers(estimate: Estimate, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)


def _rejected(p_values: Iterable[float]) -> np.floating:
    return np.mean(np.fromiter(p_values, dtype=float) <= 0.05)


def _correlated_arms(generator: np.random.Generator, studies: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms [studies, n] with variance 1 and correlation 0.6; the first is better by 0.5."""
    shared, first, second = generator.normal(size=(3, studies, n))
    return 0.5 + 0.6**0.5 * shared + 0.4**0.5 * first, 0.6**0.5 * shared + 0.4**0.5 * second


def _success_rates(generator: np.random.Generator, n: int, arms: int) -> list[np.ndarray]:
    """Runs [n] or [n, 2] of `TASKS` tasks; the second of two arms is worse, and half of the seed variance is shared."""
    tasks = []
    for ease in np.linspace(0.3, 0.9, TASKS):
        seeds = generator.normal(scale=0.8, size=(n, 1)) if arms == 2 else 0.0
        logits = np.log(ease / (1 - ease)) + seeds + generator.normal(scale=0.8, size=(n, arms)) - 0.5 * np.arange(arms)
        rates = generator.binomial(20, 1 / (1 + np.exp(-logits))) / 20
        tasks.append(rates if arms == 2 else rates[:, 0])
    return tasks


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
