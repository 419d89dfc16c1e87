"""The claims about runs, registered before the runs: statements of the tutorial and the papers, and our own.

The grid `study` and the small grids are tested with the claims below, the study of fine-tuning with those of
`ablations.fine_tuning_claims`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ablations.claim import (
    FEWEST_DOSES,
    Claim,
    Difference,
    DoseResponse,
    Equivalence,
    EveryCase,
    Level,
    NonInferiority,
    Test,
    arms_of,
    can_reject,
)
from ablations.fine_tuning_claims import FINE_TUNING_CLAIMS
from ablations.measures import (
    BOUND_RATE,
    CALIBRATION,
    DIP,
    FINAL_SCORE,
    FLOOR_ERROR,
    MARGIN,
    OFFLINE_SCORE,
    OVERESTIMATION,
    REGRET,
    UNIFORM_EXCESS,
)  # fmt: skip
from harness.settings import Run

SCALE = "Scale of Q-values"
FINE_TUNING = "Fine-tuning"
LEARNED = "Learned floors"
INFLATION = "Inflated floors"
TRUNCATION = "Naive truncation"

# Arms in the order of their inflation.
DOSES = ("deflated_0.25", "monte_carlo", "inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "cql-scale-mismatch", SCALE,
        "At the end of offline training, CQL's Q-values lie below the returns of the data.",
        "tutorial, Cal-QL: the problem",
        *CALIBRATION, Level(("cql",), "below"),
    ),
    Claim(
        "cal-ql-calibrated-scale", SCALE,
        "At the end of offline training, Cal-QL's Q-values lie at or above the returns of the data.",
        "tutorial, Cal-QL: the solution",
        *CALIBRATION, Level(("monte_carlo",), "above"),
    ),
    Claim(
        "cal-ql-lower-bound", SCALE,
        "Cal-QL's Q-values remain below the true value of the learned policy.", "Cal-QL, abstract",
        *OVERESTIMATION, Level(("monte_carlo",), "below"),
    ),
    Claim(
        "cal-ql-smaller-dip", FINE_TUNING,
        "Cal-QL's score dips less than CQL's after the switch.", "tutorial, Cal-QL: the solution",
        *DIP, Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-lower-regret", FINE_TUNING,
        "Cal-QL has lower regret than CQL during fine-tuning.", "Cal-QL, abstract",
        *REGRET, Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-final-score", FINE_TUNING,
        "Cal-QL's final score is no worse than CQL's.", "tutorial, summary",
        *FINAL_SCORE, NonInferiority("monte_carlo", "cql", MARGIN, "above", control="inflation-costs-final-score"),
    ),
    Claim(
        "floor-raises-final-score", FINE_TUNING,
        "Cal-QL's final score is higher than CQL's (control for claims that floors do not change it).", "derived",
        *FINAL_SCORE, Difference(("monte_carlo",), "cql", "above"),
    ),
    Claim(
        "inflation-costs-final-score", FINE_TUNING,
        "A floor inflated by the return range lowers the final score (control for claims that it is no worse).",
        "derived",
        *FINAL_SCORE, Difference(("inflated_1",), "monte_carlo", "below"),
    ),
    Claim(
        "learned-floor-scale", LEARNED,
        "With a learned floor, Q-values also lie at or above the returns of the data at the end of offline training.",
        "derived",
        *CALIBRATION, Level(("learned",), "above"),
    ),
    Claim(
        "learned-floor-score", LEARNED,
        "A learned floor yields the same final score as the Monte Carlo floor.",
        "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        *FINAL_SCORE, Equivalence("learned", "monte_carlo", MARGIN, control="floor-raises-final-score"),
    ),
    Claim(
        "learned-floor-regret", LEARNED,
        "A learned floor yields the same regret as the Monte Carlo floor.",
        "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        *REGRET, Equivalence("learned", "monte_carlo", MARGIN, control="cal-ql-lower-regret"),
    ),
    Claim(
        "inflation-binds", INFLATION,
        "The bound rate rises with the inflation of the floor.", "tutorial, Q&A 3",
        *BOUND_RATE, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-lifts-unseen-actions", INFLATION,
        "The overestimation of actions outside the data rises with the inflation of the floor.", "tutorial, Q&A 3",
        *UNIFORM_EXCESS, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-overestimates", INFLATION,
        "The overestimation of the policy's value rises with the inflation of the floor.", "tutorial, Q&A 3",
        *OVERESTIMATION, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-costs-score", INFLATION,
        "The score at the switch falls with the inflation of the floor.", "derived",
        *OFFLINE_SCORE, DoseResponse(DOSES[1:], "falls"),
    ),
    Claim(
        "every-dose-costs-score", INFLATION,
        "Every dose of inflation lowers the score at the switch.", "derived",
        *OFFLINE_SCORE, Difference(DOSES[2:], "monte_carlo", "below"),
    ),
    Claim(
        "inflation-is-acceptable", INFLATION,
        "Overestimation caused by an inflated floor does not harm fine-tuning: the regret is no worse than CQL's.",
        "tutorial, Q&A 3",
        *REGRET, NonInferiority("inflated_1", "cql", MARGIN, "below", control="cal-ql-lower-regret"),
    ),
    Claim(
        "naive-truncation-inflates", TRUNCATION,
        "The naive sum of truncated trajectories is an inflated floor.",
        "comparison of implementations, return-to-go",
        *FLOOR_ERROR, Level(("naive_truncation",), "above"),
    ),
    Claim(
        "naive-truncation-binds", TRUNCATION,
        "Naive truncation acts as an inflated floor: its bound rate is higher than that of the exact floor.",
        "derived",
        *BOUND_RATE, Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-lifts-unseen-actions", TRUNCATION,
        "Naive truncation acts as an inflated floor: actions outside the data have higher Q-values than with the exact "
        "floor.",
        "derived",
        *UNIFORM_EXCESS, Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-costs-score", TRUNCATION,
        "Naive truncation acts as an inflated floor: the score at the switch is lower than with the exact floor.",
        "derived",
        *OFFLINE_SCORE, Difference(("naive_truncation",), "exact", "below"),
    ),
)  # fmt: skip

BASELINE = "Comparison with baselines"
KIND = "Kinds of floors"
DOSE = "Doses of inflation"
PLACE = "Where the floor applies"

INFLATED = ("inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1")
NOISY = ("noisy_0.1", "noisy_0.25", "noisy_0.5")

# The claims that the grid `study` was designed to test. They are our own; sources are named where they address the
# question.
CLAIMS += (
    Claim(
        "push-down-needed", BASELINE,
        "Offline training needs the push-down: the score at the switch is higher with it, with or without a floor.",
        "tutorial, CQL",
        *OFFLINE_SCORE, Difference(("cql", "monte_carlo"), "no_push_down", "above"),
    ),
    Claim(
        "better-than-cloning", BASELINE,
        "Fine-tuning ends with a higher score than behaviour cloning.", "derived",
        *FINAL_SCORE, Difference(("cql", "monte_carlo"), "behaviour_cloning", "above"),
    ),
    Claim(
        "floor-lifts-scale", KIND,
        "Every floor raises Q-values above those of CQL.", "Cal-QL, section 5",
        *CALIBRATION, Difference(("monte_carlo", "learned", "exact", "constant_mean"), "cql", "above"),
    ),
    Claim(
        "exact-floor-regret", KIND,
        "The exact floor yields the same regret as the Monte Carlo floor: the noise of single returns averages out.",
        "derived",
        *REGRET, Equivalence("exact", "monte_carlo", MARGIN, control="cal-ql-lower-regret"),
    ),
    Claim(
        "floor-learned-on-regret", KIND,
        "A learned floor that keeps learning online yields the same regret as a frozen one.", "derived",
        *REGRET, Equivalence("learned_online", "learned", MARGIN, control="cal-ql-lower-regret"),
    ),
    Claim(
        "noise-costs-regret", KIND,
        "Noise in the floor raises the regret above that of the Monte Carlo floor.", "derived",
        *REGRET, Difference(NOISY, "monte_carlo", "above"),
    ),
    Claim(
        "noise-lifts-unseen-actions", KIND,
        "Noise in the floor acts as inflation: actions outside the data have higher Q-values.", "derived",
        *UNIFORM_EXCESS, Difference(NOISY, "monte_carlo", "above"),
    ),
    Claim(
        "one-number-costs-regret", KIND,
        "The floor needs to depend on the state: a constant floor has higher regret.", "derived",
        *REGRET, Difference(("constant_mean",), "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-binds", DOSE,
        "Every dose of inflation raises the bound rate.", "derived",
        *BOUND_RATE, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-lifts-unseen-actions", DOSE,
        "Every dose of inflation raises the Q-values of actions outside the data.", "derived",
        *UNIFORM_EXCESS, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-costs-regret", DOSE,
        "Every dose of inflation raises the regret.", "derived",
        *REGRET, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "small-inflation-is-free", DOSE,
        "Inflating the floor by a tenth of the return range does no harm: the regret is no worse.", "tutorial, Q&A 3",
        *REGRET, NonInferiority("inflated_0.1", "monte_carlo", MARGIN, "below", control="cal-ql-lower-regret"),
    ),
    Claim(
        "deflation-is-free", DOSE,
        "Deflating the floor by a quarter of the return range does no harm: the regret is no worse.", "derived",
        *REGRET, NonInferiority("deflated_0.25", "monte_carlo", MARGIN, "below", control="cal-ql-lower-regret"),
    ),
    Claim(
        "failure-rule-needed", PLACE,
        "Omitting the failure rule online is costly: the naive sum has higher regret.", "derived",
        *REGRET, Difference(("naive_truncation",), "monte_carlo", "above"),
    ),
    Claim(
        "floor-needed-online", PLACE,
        "The floor is needed online: removing it at the switch raises the regret.",
        "comparison of implementations, CORL and the official code",
        *REGRET, Difference(("calibrated_offline",), "monte_carlo", "above"),
    ),
    Claim(
        "floor-on-uniform-is-free", PLACE,
        "Applying the floor to uniform actions as well does not change the regret.",
        "comparison of implementations, tianshou and the official code",
        *REGRET, Equivalence("uniform_floor", "monte_carlo", MARGIN, control="cal-ql-lower-regret"),
    ),
    Claim(
        "expectation-costs-score", PLACE,
        "The expectation of equation 5.1 as written, without the soft maximum, yields a lower score at the switch.",
        "Cal-QL, equation 5.1 compared with the official code",
        *OFFLINE_SCORE, Difference(("expectation",), "monte_carlo", "below"),
    ),
)  # fmt: skip

CLAIMS += FINE_TUNING_CLAIMS


@dataclass(frozen=True)
class Undecidable:
    """A claim that a grid cannot decide on a task, whatever the numbers."""

    claim: Claim
    task: str
    # Seeds that the grid has (data seeds, if there are several), and those that the test needs.
    seeds: int
    needed: int


def undecidable(runs: Sequence[Run], claims: Sequence[Claim] | None = None) -> list[Undecidable]:
    """The claims for which the runs have all arms on a task, but too few seeds for the test to be significant."""
    pairs: dict[str, dict[str, set[tuple[int, int]]]] = {}
    for run in runs:
        pairs.setdefault(run.task.name, {}).setdefault(run.arm, set()).add((run.task.data_seed, run.seed))
    tested = [
        (claim, task, compared)
        for claim in (CLAIMS if claims is None else claims)
        for task, of_arm in pairs.items()
        if (compared := _compared(claim.test, of_arm))
    ]
    # The verdicts on primary claims are one family.
    primary = sum(_family(claim.test, compared) for claim, _, compared in tested if claim.primary)
    undecidable = []
    for claim, task, compared in tested:
        assert not isinstance(claim.test, EveryCase)
        family = primary if claim.primary else _family(claim.test, compared)
        seeds = _replicates(set.intersection(*(pairs[task][arm] for arm in compared)))
        if not can_reject(claim.test, seeds, family):
            needed = next(number for number in range(seeds + 1, 100) if can_reject(claim.test, number, family))
            undecidable.append(Undecidable(claim, task, seeds, needed))
    return undecidable


def _replicates(pairs: Collection[tuple[int, int]]) -> int:
    """The number of independent replicates among pairs of data seed and seed: data seeds, or seeds of the only one."""
    data_seeds = {data_seed for data_seed, _ in pairs}
    return len(data_seeds) if len(data_seeds) > 1 else len(pairs)


def _compared(test: Test, present: Collection[str]) -> list[str]:
    """The arms of a test that are present, the baseline last; empty if they do not suffice for it."""
    if isinstance(test, EveryCase):
        return []
    arms = arms_of(test)
    baseline = [] if isinstance(test, Level | DoseResponse) else [arms[-1]]
    others = [arm for arm in arms if arm in present and arm not in baseline]
    fewest = FEWEST_DOSES if isinstance(test, DoseResponse) else 1
    return [*others, *baseline] if len(others) >= fewest and set(baseline) <= set(present) else []


def _family(test: Test, compared: Sequence[str]) -> int:
    """The number of verdicts of a claim on a task."""
    if isinstance(test, Level):
        return len(compared)
    return len(compared) - 1 if isinstance(test, Difference) else 1
