"""A claim is a statement with a measure and a decision rule, all fixed before the numbers are seen.

`results.verdicts` applies the rules. Decisions about runs take one number per run and compare arms within seed. They
are two-sided: a claim is contradicted only by the same test in the opposite direction, never by a non-significant
result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Side = Literal["above", "below"]

# Type I error rate, in either direction.
ALPHA = 0.05

# Fewer seeds give no verdict: with 5 seeds, the exact sign-flip test cannot reach p < 0.05.
FEWEST_SEEDS = 6

FEWEST_DOSES = 3


@dataclass(frozen=True)
class EveryCase:
    """Every number lies between the bounds (exact numbers); a single one outside contradicts the claim.

    Raises ValueError if no number could fail or none could pass.
    """

    at_least: float = -inf
    at_most: float = inf

    def __post_init__(self) -> None:
        if not (isfinite(self.at_least) or isfinite(self.at_most)):
            raise ValueError(f"at_least={self.at_least}, at_most={self.at_most}: at least one bound must be finite")
        if not self.at_least <= self.at_most:
            raise ValueError(f"at_least={self.at_least}, at_most={self.at_most}: no number can pass the test")


@dataclass(frozen=True)
class Level:
    """The mean of each arm lies on one side of a bound: sign-flip test of number - bound, Holm-corrected over arms.

    Exact if the numbers are distributed symmetrically around the bound under the null hypothesis.
    """

    arms: tuple[str, ...]
    side: Side
    bound: float = 0.0
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms(self.arms)
        _check_alpha(self.alpha)


@dataclass(frozen=True)
class Difference:
    """The mean of each arm lies on one side of the baseline's.

    Sign-flip test of the differences within seed, Holm-corrected over arms.
    """

    arms: tuple[str, ...]
    baseline: str
    side: Side
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms((*self.arms, self.baseline))
        _check_alpha(self.alpha)


@dataclass(frozen=True)
class Equivalence:
    """The arm's mean differs from the baseline's by less than a margin: two one-sided paired t tests (TOST).

    Contradicted if the difference significantly exceeds the margin. Supported only on tasks that support the control, a
    claim that the metric differs between other arms: where nothing differs, equivalence says nothing.
    """

    arm: str
    baseline: str
    margin: float
    # Id of the control claim.
    control: str
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms((self.arm, self.baseline))
        _check_alpha(self.alpha)
        _check_margin(self.margin)


@dataclass(frozen=True)
class NonInferiority:
    """The arm's mean is worse than the baseline's by less than a margin: a one-sided paired t test.

    Contradicted if it is significantly worse by more than the margin. Supported only on tasks that support the control,
    as for `Equivalence`.
    """

    arm: str
    baseline: str
    margin: float
    better: Side
    # Id of the control claim.
    control: str
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms((self.arm, self.baseline))
        _check_alpha(self.alpha)
        _check_margin(self.margin)


@dataclass(frozen=True)
class DoseResponse:
    """The number rises or falls with the inflation of the floor, over the arms that were run.

    Page's trend test within seed, and the slope per dose.
    """

    arms: tuple[str, ...]
    direction: Literal["rises", "falls"]
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms(self.arms)
        _check_alpha(self.alpha)
        if len(self.arms) < FEWEST_DOSES:
            raise ValueError(f"arms {self.arms}: a trend needs at least {FEWEST_DOSES} doses")


Decision = Level | Difference | Equivalence | NonInferiority | DoseResponse
Test = EveryCase | Decision


@dataclass(frozen=True)
class Claim:
    """A statement that numbers can support or contradict."""

    # Unique, words joined by hyphens.
    id: str
    # Heading of the claim in a report.
    topic: str
    # One sentence that is true or false.
    statement: str
    # Section of the tutorial, equation of a paper, implementation; "derived" for our own.
    source: str
    # Description of the numbers, with unit and cases.
    metric: str
    # The numbers. Exact lab: one per case, no argument. Runs: a series with one per run, from the frame of
    # `results.frame.per_run.per_run`.
    measure: "Callable[..., ArrayLike]"
    test: Test
    # Id of the claim that this one replaces because it is false or holds only under a condition.
    corrects: str | None = None
    # The verdicts on primary claims, over all tasks and arms, are one family of tests. Other claims are exploratory: a
    # family per claim and task.
    primary: bool = False

    @property
    def control(self) -> str | None:
        """Id of the claim that must be supported on a task before this one can be, if its test has one."""
        return self.test.control if isinstance(self.test, Equivalence | NonInferiority) else None


def arms_of(decision: Decision) -> tuple[str, ...]:
    """All arms that a decision compares, the baseline last."""
    match decision:
        case Level() | DoseResponse():
            return decision.arms
        case Difference():
            return (*decision.arms, decision.baseline)
        case Equivalence() | NonInferiority():
            return (decision.arm, decision.baseline)


def can_reject(test: Decision, seeds: int, family: int) -> bool:
    """Whether a test could be significant with so many seeds, in a family of so many tests (Holm).

    The two-sided sign-flip test of n seeds has no smaller p-value than 2^(1 - n).
    """
    if seeds < FEWEST_SEEDS:
        return False
    return not isinstance(test, Level | Difference) or family * 2.0 ** (1 - seeds) <= test.alpha


def _check_arms(arms: tuple[str, ...]) -> None:
    if not arms or len(set(arms)) < len(arms):
        raise ValueError(f"arms {arms}: must be distinct and at least one")


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha}: must be between 0 and 0.5")


def _check_margin(margin: float) -> None:
    if not (margin > 0 and isfinite(margin)):
        raise ValueError(f"margin = {margin}: must be positive and finite")
