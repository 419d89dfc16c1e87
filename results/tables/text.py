"""Numbers as the cells of a table show them."""

from decimal import Decimal
from typing import Any

import pandas as pd

from results.statistics.estimate import Estimate

# What stands where there is no number.
NONE = "-"


def interval_text(estimate: Estimate, decimals: int, sign: bool = False, of: int | None = None) -> str:
    """An estimate and its interval: "-3.1 [-4.0, -2.2]", or "-" for no runs.

    `of`: the runs of the row; if the estimate rests on fewer, their number follows: "0.50 [0.40, 0.60] (n = 4)".
    """
    if estimate.n == 0:
        return NONE
    text = number(estimate.mean, decimals, sign)
    if not pd.isna(estimate.low):
        text = f"{text} [{number(estimate.low, decimals)}, {number(estimate.high, decimals)}]"
    return f"{text} (n = {estimate.n})" if of is not None and estimate.n < of else text


def number(value: Any, decimals: int, sign: bool = False) -> str:
    """A number with so many decimals (of nine at most), thousands apart; "-" for none."""
    if pd.isna(value):
        return NONE
    # Success rates often have means that lie halfway: in decimals, without the last bit that depends on how they were
    # summed, every table rounds them to the same side (to even).
    return f"{Decimal(str(round(float(value), 9))):{'+' if sign else ''}z,.{decimals}f}"


def spread(values: pd.Series) -> str:
    """One whole number, or the smallest to the largest where they differ."""
    values = values.dropna()
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
