"""A table: its numbers, its text and what a reader must know beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table's numbers and its text."""

    # Stem of its files.
    name: str
    title: str
    # For machines: long, one row per estimate.
    numbers: pd.DataFrame
    # For people: formatted strings under readable headings.
    text: pd.DataFrame
    # What a reader must know beside it, one paragraph each.
    notes: tuple[str, ...] = ()
    # Column of the text whose values become heading rows in LaTeX; empty: there are none.
    group: str = "Task"
    # Columns of sentences and the share of the page's width that each has in LaTeX; such a table may break over pages.
    prose: Mapping[str, float] = field(default_factory=dict)
