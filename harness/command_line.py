"""What the commands share: options, exit codes, and output with results on stdout and notes on stderr."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.training.kernels import PACK_LIMIT

# Exit codes. Invalid input is reported by `floorbench.main`.
DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130

RUNS = Path("runs")

# Help texts of defaults that depend on the kernel and the machine (`harness.training.kernels`).
DEFAULT_WORKERS = "usable cores, or GPUs"
DEFAULT_PACK = f"{PACK_LIMIT}, or what fits on a GPU"

Scale = Annotated[str, typer.Option(help="demo: minutes on two cores; paper: the published settings.")]
GridScale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        help="demo: minutes on two cores; paper: the published settings.",
        show_default="demo, or the grid file's",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting of every run, e.g. algorithm.alpha=1.", metavar="KEY=VALUE"),
]
SharedPrefix = Annotated[
    bool,
    typer.Option("--shared-prefix/--no-shared-prefix", help="Train an offline phase that several runs have once."),
]
Root = Annotated[Path, typer.Option(help="Directory of the run folders.")]
OptionalRoot = Annotated[Path | None, typer.Option(help="Directory of the run folders.", show_default=str(RUNS))]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON to stdout.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes, one thread each.", show_default=DEFAULT_WORKERS)
]
Pack = Annotated[
    int | None, typer.Option(min=1, help="Maximum number of runs that train together.", show_default=DEFAULT_PACK)
]

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
