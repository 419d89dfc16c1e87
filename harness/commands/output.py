"""How commands speak: results on stdout, progress and remarks on stderr."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# Columns of a table that is not read on a terminal.
FILE_WIDTH = 200


def result_console() -> Console:
    """Stdout; wide where it is no terminal, so that no table is cut."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=FILE_WIDTH)


def remark_console() -> Console:
    """Stderr."""
    return Console(stderr=True, highlight=False, markup=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1, allow_nan=False))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of plain text; the cells are shown as `str` gives them."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(str, row))
    return table
