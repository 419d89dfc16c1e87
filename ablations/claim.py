"""A claim: a statement with what is measured and how the numbers decide, all written down before they are looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from numpy.typing import ArrayLike


@dataclass(frozen=True)
class EveryCase:
    """For exact numbers: each must lie between the bounds; a single one outside contradicts the claim."""

    at_least: float = -inf
    at_most: float = inf


# How numbers decide about a claim; `results.verdicts` judges.
Test = EveryCase


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
    # The numbers, one per case (exact lab: takes nothing).
    measure: Callable[..., ArrayLike]
    test: Test
    # Id of the claim that this one puts in place of, where that does not hold or holds only under a condition.
    corrects: str | None = None
