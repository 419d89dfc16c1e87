"""How commands speak: results on stdout, progress and remarks on stderr."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# Columns of what is not read on a terminal.
FILE_WIDTH = 500


def result_console() -> Console:
    """Stdout."""
    return _console(stderr=False)


def remark_console() -> Console:
    """Stderr."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    """A console of plain text, wide where it is no terminal, so that no line is cut."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, markup=False, width=FILE_WIDTH)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1, allow_nan=False))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of plain text, without a heading if no column has a name; the cells are shown as `str` gives them."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for row in rows:
        table.add_row(*map(str, row))
    return table
