"""Command-line options and exit codes that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from harness.training.kernels import PACK_LIMIT

# Exit codes. Invalid input is reported by `floorbench.main`.
DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130

RUNS = Path("runs")

# Help texts of defaults that depend on the kernel and the machine (`harness.training.kernels`).
DEFAULT_WORKERS = "usable cores, or GPUs"
DEFAULT_PACK = f"{PACK_LIMIT}, or what fits on a GPU"

Scale = Annotated[str, typer.Option(help="demo: minutes on two cores; paper: the published settings.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting of every run, e.g. algorithm.alpha=1.", metavar="KEY=VALUE"),
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
