"""How the numbers of runs decide about a claim: one number per run, compared within seed wherever two arms meet.

Every decision is two-sided: a claim is contradicted only by the same test in the other direction, never by a test that
finds nothing. `results.verdicts` carries them out.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

Side = Literal["above", "below"]

# Chance of a verdict on a claim that has nothing to it, either way.
ALPHA = 0.05


@dataclass(frozen=True)
class Level:
    """The arms' mean lies on one side of a bound: sign-flip test of number - bound, Holm over the arms.

    Exact where the numbers lie as likely so far above the bound as below it if the claim has nothing to it.
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
    """The arms' mean lies on one side of the baseline's: sign-flip test of the differences within seed, Holm over the
    arms.
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
    """The arm's mean differs from the baseline's by less than a margin: two one-sided paired t tests.

    Contradicted where the difference is shown to exceed the margin.
    """

    arm: str
    baseline: str
    margin: float
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms((self.arm, self.baseline))
        _check_alpha(self.alpha)
        _check_margin(self.margin)


@dataclass(frozen=True)
class NonInferiority:
    """The arm's mean is worse than the baseline's by less than a margin: a one-sided paired t test.

    Contradicted where it is shown to be worse by more.
    """

    arm: str
    baseline: str
    margin: float
    better: Side
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms((self.arm, self.baseline))
        _check_alpha(self.alpha)
        _check_margin(self.margin)


@dataclass(frozen=True)
class DoseResponse:
    """The number rises or falls with the floor's inflation, over those of the arms that were run: Page's trend test
    within seed, and the slope per dose.
    """

    arms: tuple[str, ...]
    direction: Literal["rises", "falls"]
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _check_arms(self.arms)
        _check_alpha(self.alpha)
        if len(self.arms) < FEWEST_DOSES:
            raise ValueError(f"a trend needs {FEWEST_DOSES} doses, not {len(self.arms)}")


Decision = Level | Difference | Equivalence | NonInferiority | DoseResponse

# Fewer seeds decide about no claim: the exact sign-flip test cannot pass 0.05 with 5.
FEWEST_SEEDS = 6

FEWEST_DOSES = 3


def arms_of(decision: Decision) -> tuple[str, ...]:
    """Every arm that a decision looks at, the baseline last."""
    match decision:
        case Level() | DoseResponse():
            return decision.arms
        case Difference():
            return (*decision.arms, decision.baseline)
        case Equivalence() | NonInferiority():
            return (decision.arm, decision.baseline)


def _check_arms(arms: tuple[str, ...]) -> None:
    if not arms or len(set(arms)) < len(arms):
        raise ValueError(f"a test needs different arms, not {arms}")


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not at {alpha}")


def _check_margin(margin: float) -> None:
    if not (margin > 0 and isfinite(margin)):
        raise ValueError(f"a margin must be above 0, not {margin}")
