"""What the numbers say about a claim."""

from dataclasses import dataclass
from math import nan
from typing import Literal

from ablations.claim import Claim

Outcome = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What the numbers say about a claim."""

    claim: Claim
    outcome: Outcome
    # The number that decides; of exact cases the one nearest to its bound, or farthest beyond it.
    effect: float
    # Its interval; of exact cases the smallest and the largest.
    low: float
    high: float
    # Cases, or of runs: seeds that have every arm the test compares.
    n: int
    # What was done, in a few words.
    method: str
    # Of a claim about runs: where it was looked at, and on which arm where the claim is about several.
    task: str = ""
    arm: str = ""
    # Of the test that decides, adjusted for the claim's arms; NaN where the test has none.
    p_value: float = nan
    # Between the two arms over the seeds, of a trend the mean rank correlation with the dose; NaN where there is none.
    correlation: float = nan
    # Why it is inconclusive, and what a reader must know of the runs behind it; empty: nothing.
    remark: str = ""
    # Ids of the runs behind it.
    runs: tuple[str, ...] = ()
