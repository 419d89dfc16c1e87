"""What the commands share: options, exit codes, and output with results on stdout and notes on stderr."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from harness.plain_values import visible
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


class VisibleConsole(Console):
    """A console that writes out the control characters of texts, which may come from the files of others."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed; rich's own control codes are kept."""
        for segment in super().render(renderable, options):
            odd = not segment.control and not segment.text.rstrip("\n").isprintable()
            yield Segment(visible(segment.text), segment.style) if odd else segment


def result_console() -> Console:
    """A console on stdout."""
    return _console(stderr=False)


def remark_console() -> Console:
    """A console on stderr."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    """A plain-text console; very wide where it is not a terminal, so that no line is wrapped."""
    console = VisibleConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(json.dumps(value, indent=1, allow_nan=False))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A plain-text table of `str(cell)`; the header is left out if all column names are empty."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for row in rows:
        table.add_row(*(visible(str(cell)) for cell in row))
    return table


# Colours of states, where the terminal has colours.
STATE_STYLES = {
    "done": "green", "running": "cyan", "queued": "cyan", "failed": "bold red", "lost": "bold red",
    "damaged": "bold red", "problem": "bold red", "interrupted": "yellow", "cancelled": "yellow", "note": "yellow",
    "ok": "green",
}  # fmt: skip

# Blanks between two columns of a table.
GAP = 2


class FittedTable:
    """A table of named values that fits the terminal: values are never shortened, less important columns left out.

    `lines`: a dictionary per row; columns without a value are left out, and those of `common` with one value in all of
    several rows are written once above the table. `optional`: columns to leave out if there is no room, the first
    first. `flexible`: a column that is wrapped into the remaining width.
    """

    def __init__(
        self,
        lines: Sequence[dict[str, Any]],
        optional: Sequence[str] = (),
        common: Sequence[str] = (),
        flexible: str = "",
    ):
        self.lines = [
            {name: "" if value is None else visible(str(value)) for name, value in line.items()} for line in lines
        ]
        self.optional, self.common, self.flexible = optional, common, flexible

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.lines:
            return
        names = [name for name in self.lines[0] if any(line[name] for line in self.lines)]
        shared = {
            name: self.lines[0][name]
            for name in self.common
            if name in names and len(self.lines) > 1 and len({line[name] for line in self.lines}) == 1
        }
        names = [name for name in names if name not in shared]
        for name in self.optional:
            if self._width(names) > options.max_width and name in names:
                names.remove(name)
        parts: list[RenderableType] = [Text(f"{name}: {value}") for name, value in shared.items()]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, no_wrap=name != self.flexible, overflow="fold")
        for line in self.lines:
            table.add_row(*(Text(line[name], STATE_STYLES.get(line[name], "")) for name in names))
        yield Group(*parts, table)

    def _width(self, names: Sequence[str]) -> int:
        """The width of the table with some columns; a flexible column counts with its heading and a few words."""
        widths = [
            min(width, 24) if name == self.flexible else width
            for name in names
            for width in [max(len(name), *(len(line[name]) for line in self.lines))]
        ]
        return sum(widths) + GAP * max(len(names) - 1, 0)


class WrappedTable:
    """A table of texts whose headings and cells are wrapped between words, the first column excepted.

    Where that would make columns too narrow to read, every row becomes a block of lines instead.
    """

    # Characters to which a longer cell may be wrapped.
    NARROWEST = 18

    def __init__(self, lines: Sequence[Mapping[Any, str]]):
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.lines:
            return
        first, *others = self.lines[0]
        widths = [max(len(line[first]) for line in self.lines), *map(self._least, others)]
        if sum(widths) + GAP * len(others) > options.max_width:
            for line in self.lines:
                yield Text(line[first])
                yield from (Padding(Text(f"{name}: {line[name]}"), (0, 0, 0, GAP)) for name in others)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, (name, width) in enumerate(zip((first, *others), widths, strict=True)):
            table.add_column(name, no_wrap=place == 0, min_width=width)
        for line in self.lines:
            table.add_row(*map(Text, line.values()))
        yield table

    def _least(self, name: str) -> int:
        """The least width of a column: that of its longest word, and of its longest cell up to `NARROWEST`."""
        cells = [line[name] for line in self.lines]
        words = [len(word) for text in (name, *cells) for word in text.split()]
        return max(*words, min(max(map(len, cells)), self.NARROWEST))
