"""The first difference between the metrics of a run and of its repetition: in bytes, in numbers, or beyond tolerances.

The tolerances are measured: 21 runs (grid smoke; of grid truth two seeds, of grid floors one) with and without the
processor's vector instructions, which differ in the last bits of every sum. Training amplifies that until single
evaluations have little in common: a success of 0.4 less, a loss that differs by half its range. What stays is the
start, and means over a run's evaluations: those of shares moved by 0.09 at most, those of counts by 1.4, those of
floors by 0.1 % of the largest return-to-go, all others by 8 % of the column's largest value. Three to ten times that
is allowed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from harness.metrics import EVALUATION, names
from harness.training.evaluation import TRUTH

Rows = Sequence[dict[str, Any]]

# Of `TRUTH`, which is computed beside the training by linear solves in float64. Those end in other last digits on other
# processors: in two runs on the road with all else equal to the bit they agreed to 13 digits.
TRUTH_TOLERANCE = 1e-9

# Before the first update values depend on the run's streams and data alone, and the last bits of a forward pass.
START = ("q_data", "q_policy", "q_uniform")
START_TOLERANCE = 1e-3

# A mean over data that must be the same.
DATA = ("return_to_go",)
DATA_TOLERANCE = 1e-5

SHARES = names(EVALUATION, "share")
SHARE_TOLERANCE = 0.25

COUNTS = names(EVALUATION, "episodes")
COUNT_TOLERANCE = 4.0

# Of the largest return-to-go: a learned floor is fitted, but not in a loop with itself.
FLOORS = ("floor_mean", "floor_error", "floor_rmse")
FLOOR_TOLERANCE = 0.01

# Of the column's largest value, or of the largest return-to-go: small errors are differences of large values.
ERRORS = (
    "calibration_data", "calibration_policy", "calibration_exact", "overestimation_exact", "policy_gap_exact",
)  # fmt: skip
TOLERANCE = 0.25

TOLERANCES = (
    f"steps and updates equal; return-to-go within {DATA_TOLERANCE:g} of itself; values before the first update within "
    f"{START_TOLERANCE:g} of themselves; means over all rows: shares within {SHARE_TOLERANCE:g}, counts within "
    f"{COUNT_TOLERANCE:g} and {TOLERANCE:g} of the largest, floors within {FLOOR_TOLERANCE:g} of the largest "
    f"return-to-go, errors of values within {TOLERANCE:g} of the largest or of that, others within {TOLERANCE:g} of "
    "the largest"
)


@dataclass(frozen=True)
class Difference:
    """A place where a run and its repetition differ: a row of `metrics.jsonl`, counted from 1, and a column.

    Without a row: something of the whole run.
    """

    row: int | None
    column: str
    there: Any
    here: Any

    def __str__(self) -> str:
        place = f"row {self.row}, {self.column}" if self.row else self.column
        return f"{place}: {self.there} there, {self.here} here"


def difference_of_bytes(there: bytes, here: bytes) -> Difference | None:
    """The first row and column in which two files differ, or None if they have the same bytes."""
    if there == here:
        return None
    for number, (one, other) in enumerate(zip_longest(there.splitlines(), here.splitlines()), start=1):
        if one is None or other is None:
            return Difference(number, "row", *("missing" if line is None else "present" for line in (one, other)))
        if one != other:
            row, repeated = json.loads(one), json.loads(other)
            for column in {**row, **repeated}:
                values = [json.dumps(each[column]) if column in each else "missing" for each in (row, repeated)]
                if values[0] != values[1]:
                    return Difference(number, column, *values)
            return Difference(number, "text", one.decode(), other.decode())
    return Difference(None, "end of metrics.jsonl", there[-1:], here[-1:])


def difference_of_numbers(there: Rows, here: Rows, truth_tolerance: float = 0.0) -> Difference | None:
    """The first row and column in which numbers differ in any bit, or None.

    A number that does not apply may be None in one and be left out of the other. Those against the `TRUTH` may differ
    by the tolerance, as a share of themselves or, below 1, of 1.
    """
    if len(there) != len(here):
        return Difference(None, "number of rows", len(there), len(here))
    for number, (row, repeated) in enumerate(zip(there, here, strict=True), start=1):
        for column in {**row, **repeated}:
            one, other = row.get(column), repeated.get(column)
            if _bits(one) != _bits(other) and not (column in TRUTH and _close(one, other, truth_tolerance)):
                return Difference(number, column, one, other)
    return None


def _bits(value: Any) -> Any:
    """What is equal for the same number alone: a float's sign and every digit count, not whether it is an int."""
    return float(value).hex() if _is_number(value) else value


def _close(one: Any, other: Any, tolerance: float) -> bool:
    return _is_number(one) and _is_number(other) and abs(one - other) <= tolerance * max(1.0, abs(one))


def difference_beyond_tolerances(there: Rows, here: Rows) -> Difference | None:
    """The first difference that another type of machine does not explain (see `TOLERANCES`), or None."""
    if len(there) != len(here):
        return Difference(None, "number of rows", len(there), len(here))
    for number, (row, repeated) in enumerate(zip(there, here, strict=True), start=1):
        for column in {**row, **repeated}:
            one, other = row.get(column), repeated.get(column)
            if not _alike(column, one, other, at_start=row.get("updates") == 0):
                return Difference(number, column, one, other)
    returns = max((abs(row.get("return_to_go") or 0.0) for row in there), default=0.0)
    for column in there[0] if there else ():
        one, other = (_numbers(rows, column) for rows in (there, here))
        if len(one) and abs(one.mean() - other.mean()) > _allowed(column, float(np.abs(one).max()), returns):
            return Difference(None, f"mean of {column}", f"{one.mean():.6g}", f"{other.mean():.6g}")
    return None


def _alike(column: str, one: Any, other: Any, at_start: bool) -> bool:
    """Whether two values in the same row and column may be those of one run; some only their means can tell."""
    if not (_is_number(one) and _is_number(other)):
        return one == other
    if isinstance(one, int) and column not in COUNTS:
        return one == other
    if column in DATA:
        return abs(one - other) <= DATA_TOLERANCE * abs(one)
    return not (column in START and at_start) or abs(one - other) <= START_TOLERANCE * abs(one)


def _allowed(column: str, largest: float, returns: float) -> float:
    """How far the mean of a column may lie from the other one."""
    if column in SHARES:
        return SHARE_TOLERANCE
    if column in COUNTS:
        return COUNT_TOLERANCE + TOLERANCE * largest
    if column in FLOORS:
        return FLOOR_TOLERANCE * returns
    return TOLERANCE * (max(largest, returns) if column in ERRORS else largest)


def _numbers(rows: Rows, column: str) -> np.ndarray:
    return np.array([row[column] for row in rows if _is_number(row.get(column))], dtype=float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
