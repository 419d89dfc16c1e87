"""A number with its uncertainty, as every table, figure and verdict takes it."""

from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A point value, of runs their mean, with its interval. Without an interval low and high are NaN."""

    mean: float
    low: float
    high: float
    # Runs it rests on; of pooled tasks all their runs.
    n: int
    # How the interval was made.
    method: str


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """A mean difference within seed."""

    # Between the two arms over the seeds; NaN where either is constant.
    correlation: float
    # Of the exact two-sided sign-flip test of no difference; NaN without pairs.
    p_value: float
