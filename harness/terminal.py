"""Terminal output: results on stdout; progress and notes on stderr."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# Line width where the output is not a terminal.
FILE_WIDTH = 500


def result_console() -> Console:
    """A console on stdout."""
    return _console(stderr=False)


def remark_console() -> Console:
    """A console on stderr."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    """A plain-text console; very wide where it is not a terminal, so that no line is wrapped."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, markup=False, width=FILE_WIDTH)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(json.dumps(value, indent=1, allow_nan=False))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A plain-text table of `str(cell)`; the header is left out if all column names are empty."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for row in rows:
        table.add_row(*map(str, row))
    return table
