"""A claim: a statement with what is measured and how the numbers decide, all written down before they are looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

from numpy.typing import ArrayLike

from ablations.decision import Decision


@dataclass(frozen=True)
class EveryCase:
    """For exact numbers: each must lie between the bounds; a single one outside contradicts the claim.

    Raises ValueError if no number could fail the test, or none could pass it.
    """

    at_least: float = -inf
    at_most: float = inf

    def __post_init__(self) -> None:
        if not (isfinite(self.at_least) or isfinite(self.at_most)):
            raise ValueError(f"a test needs a bound that can fail: at_least={self.at_least}, at_most={self.at_most}")
        if not self.at_least <= self.at_most:
            raise ValueError(f"no number can pass the test: at_least={self.at_least}, at_most={self.at_most}")


# How numbers decide about a claim; `results.verdicts` judges.
Test = EveryCase | Decision


@dataclass(frozen=True)
class Claim:
    """A statement that numbers can support or contradict."""

    # Unique, words joined by hyphens.
    id: str
    # Heading under which a report lists it.
    topic: str
    # One sentence that is true or false.
    statement: str
    # Who says so: section of the tutorial, equation of a paper, implementation; "derived" for our own.
    source: str
    # What the numbers are, with unit and cases.
    metric: str
    # The numbers. Exact lab: one per case, takes nothing. Runs: a series of one per run, takes the frame of
    # `results.verdicts.per_run`.
    measure: Callable[..., ArrayLike]
    test: Test
    # Id of the claim that this one puts in place of, where that does not hold or holds only under a condition.
    corrects: str | None = None
