"""A table: its numbers, its text, its notes, and its files (csv, md, tex)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from results.statistics.intervals import Estimate

# Shown in place of a missing number.
NONE = "-"


def interval_text(estimate: Estimate, decimals: int, sign: bool = False, of: int | None = None) -> str:
    """An estimate and its interval, "-3.1 [-4.0, -2.2]"; "-" without runs.

    If the estimate has fewer than `of` runs, their number follows: "0.50 [0.40, 0.60] (n = 4)".
    """
    if estimate.n == 0:
        return NONE
    text = number(estimate.mean, decimals, sign)
    if not pd.isna(estimate.low):
        text = f"{text} [{number(estimate.low, decimals)}, {number(estimate.high, decimals)}]"
    return f"{text} (n = {estimate.n})" if of is not None and estimate.n < of else text


def number(value: Any, decimals: int, sign: bool = False) -> str:
    """A number with so many decimals (at most nine) and a thousands separator; "-" for NaN or None."""
    if pd.isna(value):
        return NONE
    # Means of success rates often lie halfway between two decimals. Their last bits depend on the order of summation.
    # Rounding the decimal representation without them (half to even) gives the same text in every table.
    return f"{Decimal(str(round(float(value), 9))):{'+' if sign else ''}z,.{decimals}f}"


def spread(values: pd.Series) -> str:
    """The range of some whole numbers: "500", or "200 to 500"."""
    values = values.dropna()
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


@dataclass(frozen=True)
class Table:
    """A table, for machines and for people."""

    # Stem of the file names.
    name: str
    title: str
    # One row per estimate, in long format.
    numbers: pd.DataFrame
    # Formatted strings under readable headings.
    text: pd.DataFrame
    # Paragraphs below the table.
    notes: tuple[str, ...] = ()
    # Column of the text whose values become heading rows in LaTeX; empty for none.
    group: str = "Task"
    # Columns of sentences, and their share of the page width in LaTeX; a table with such columns may span pages.
    prose: Mapping[str, float] = field(default_factory=dict)


def latex(table: Table) -> str:
    """The table in LaTeX with booktabs rules and a heading row per group.

    A `table*`, or a `longtable` if the table has columns of prose.
    """
    environment = Environment(
        loader=PackageLoader("results"), variable_start_string="<<", variable_end_string=">>", block_start_string="<%",
        block_end_string="%>", comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["tex"] = _tex
    columns = [column for column in table.text.columns if column != table.group]
    grouped = table.text.groupby(table.group, sort=False) if table.group else [("", table.text)]
    groups = [(name, rows[columns].to_numpy().tolist()) for name, rows in grouped]
    template = environment.get_template("long_table.tex" if table.prose else "table.tex")
    return template.render(table=table, columns=columns, groups=groups)


def _tex(text: str) -> str:
    """Escape for LaTeX, with minus signs before digits."""
    special = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
               "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
    escaped = "".join(special.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def write(table: Table, folder: Path) -> list[Path]:
    """Write `<name>.csv` (numbers), `.md` and `.tex` (text, booktabs); equal tables give byte-identical files."""
    files = {
        "csv": table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "md": "\n\n".join([f"**{table.title}**", markdown(table), *table.notes]) + "\n",
        "tex": latex(table),
    }
    paths = []
    for suffix, content in files.items():
        paths.append(folder / f"{table.name}.{suffix}")
        paths[-1].write_text(content, encoding="utf-8")
    return paths


def markdown(table: Table) -> str:
    """The text of the table as Markdown, without title and notes."""
    return table.text.to_markdown(index=False, disable_numparse=True)
