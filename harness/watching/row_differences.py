"""Find the first difference between the metrics of a run and of its repetition: in bytes, numbers or tolerances.

The tolerances were measured on 21 runs (grid smoke, two seeds of grid truth, one of grid floors) with and without the
processor's vector instructions, which changes the last bits of every sum. Training amplifies this until single
evaluations are hardly comparable: a success rate lower by 0.4, a loss that differs by half its range. The first
evaluation and the means over all evaluations remain comparable: means of shares moved by at most 0.09, of counts by
1.4, of floors by 0.1 % of the largest return-to-go, and all others by 8 % of the column's largest value. The
tolerances are three to ten times as large.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from harness.metrics import CALIBRATION, EVALUATION, TRUTH, names

Rows = Sequence[dict[str, Any]]

# For `TRUTH`, which linear solves in float64 compute apart from training. Their last digits depend on the processor: in
# two otherwise bit-identical runs on the winding road they agreed to 13 digits.
TRUTH_TOLERANCE = 1e-9

# Before the first update, values differ at most in the last bits of a forward pass.
START = ("q_data", "q_policy", "q_uniform")
START_TOLERANCE = 1e-3

# A mean over the data, which must be the same.
DATA = ("return_to_go",)
DATA_TOLERANCE = 1e-5

SHARES = (*names(EVALUATION, "share"), *names(CALIBRATION))
SHARE_TOLERANCE = 0.25

COUNTS = names(EVALUATION, "episodes")
COUNT_TOLERANCE = 4.0

# Relative to the largest return-to-go: learned floors are fitted without bootstrapping.
FLOORS = ("floor_mean", "floor_error", "floor_rmse")
FLOOR_TOLERANCE = 0.01

# Relative to the larger of the column's largest value and the largest return-to-go: errors are differences of values.
ERRORS = (
    "calibration_data", "calibration_policy", "calibration_exact", "overestimation_exact", "policy_gap_exact",
)  # fmt: skip
TOLERANCE = 0.25

TOLERANCES = (
    f"equal steps and updates; relative differences of at most {DATA_TOLERANCE:g} in return-to-go and of "
    f"{START_TOLERANCE:g} in values before the first update; means over all rows: shares within {SHARE_TOLERANCE:g}, "
    f"counts within {COUNT_TOLERANCE:g} plus {TOLERANCE:g} times the largest, floors within {FLOOR_TOLERANCE:g} times "
    f"the largest return-to-go, value errors within {TOLERANCE:g} times the largest error or return-to-go, others "
    f"within {TOLERANCE:g} times the largest"
)


@dataclass(frozen=True)
class Difference:
    """A difference between a run and its repetition, in a row of `metrics.jsonl` (from 1) and a column.

    The row is None for a property of the run.
    """

    row: int | None
    column: str
    original: Any
    repetition: Any

    def __str__(self) -> str:
        place = f"row {self.row}, {self.column}" if self.row else self.column
        return f"{place}: originally {self.original}, now {self.repetition}"


def difference_of_bytes(original: bytes, repetition: bytes) -> Difference | None:
    """The first row and column in which two files differ, or None if they are byte-identical."""
    if original == repetition:
        return None
    lines = zip_longest(original.splitlines(), repetition.splitlines())
    for number, (line, repeated_line) in enumerate(lines, start=1):
        if line is None or repeated_line is None:
            present = ("missing" if text is None else "present" for text in (line, repeated_line))
            return Difference(number, "row", *present)
        if line != repeated_line:
            row, repeated = json.loads(line), json.loads(repeated_line)
            for column in {**row, **repeated}:
                values = [json.dumps(cells[column]) if column in cells else "missing" for cells in (row, repeated)]
                if values[0] != values[1]:
                    return Difference(number, column, *values)
            return Difference(number, "text", line.decode(), repeated_line.decode())
    return Difference(None, "end of metrics.jsonl", original[-1:], repetition[-1:])


def difference_of_numbers(original: Rows, repetition: Rows, truth_tolerance: float = 0.0) -> Difference | None:
    """The first row and column in which numbers are not bit-identical, or None.

    None and a missing column are equal. Columns of `TRUTH` may differ by the tolerance, relative to values above 1 and
    absolute below.
    """
    if len(original) != len(repetition):
        return Difference(None, "number of rows", len(original), len(repetition))
    for number, (row, repeated) in enumerate(zip(original, repetition, strict=True), start=1):
        for column in {**row, **repeated}:
            one, other = row.get(column), repeated.get(column)
            if _bits(one) != _bits(other) and not (column in TRUTH and _close(one, other, truth_tolerance)):
                return Difference(number, column, one, other)
    return None


def _bits(value: Any) -> Any:
    """A value that is equal for bit-identical floats only; an int equals the same float."""
    return float(value).hex() if _is_number(value) else value


def _close(one: Any, other: Any, tolerance: float) -> bool:
    return _is_number(one) and _is_number(other) and abs(one - other) <= tolerance * max(1.0, abs(one))


def difference_beyond_tolerances(original: Rows, repetition: Rows) -> Difference | None:
    """The first difference beyond the `TOLERANCES` for another type of machine, or None."""
    if len(original) != len(repetition):
        return Difference(None, "number of rows", len(original), len(repetition))
    for number, (row, repeated) in enumerate(zip(original, repetition, strict=True), start=1):
        for column in {**row, **repeated}:
            one, other = row.get(column), repeated.get(column)
            if not _alike(column, one, other, at_start=row.get("updates") == 0):
                return Difference(number, column, one, other)
    returns = max((abs(row.get("return_to_go") or 0.0) for row in original), default=0.0)
    for column in original[0] if original else ():
        one, other = (_numbers(rows, column) for rows in (original, repetition))
        if len(one) and abs(one.mean() - other.mean()) > _allowed(column, float(np.abs(one).max()), returns):
            return Difference(None, f"mean of {column}", f"{one.mean():.6g}", f"{other.mean():.6g}")
    return None


def _alike(column: str, one: Any, other: Any, at_start: bool) -> bool:
    """Whether two values of a row and column may agree; most columns are compared by their means only."""
    if not (_is_number(one) and _is_number(other)):
        return one == other
    if isinstance(one, int) and column not in COUNTS:
        return one == other
    if column in DATA:
        return abs(one - other) <= DATA_TOLERANCE * abs(one)
    return not (column in START and at_start) or abs(one - other) <= START_TOLERANCE * abs(one)


def _allowed(column: str, largest: float, returns: float) -> float:
    """Largest allowed difference between the means of a column."""
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
