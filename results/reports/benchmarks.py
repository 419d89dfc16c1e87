"""The report about benchmarks: the files of pytest-benchmark as a frame, a table and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.files import read_text
from results import tables
from results.figures.drawing import Drawing, picture
from results.figures.speed import share_of_peak, update_parts
from results.reports.page import render
from results.tables.table import NONE, Table, number

# Folder of the files of `make bench`, with a subfolder per type of machine.
FOLDER = Path(".benchmarks")

# Parameters with a separate column; `name` is that of the shape.
OF_PACK = ("name", "runs", "kernel")

FACTS = ("gflops", "peak_gflops", "share_of_peak", "share_of_update", "gigabytes_per_second")


def newest(folder: Path = FOLDER) -> Path:
    """The file of the latest run of the benchmarks. Raises UserError if there is none."""
    files = sorted(folder.glob("*/*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(f"{folder}: contains no benchmarks; run `make bench`, or name a file with --from")
    return files[-1]


def read(file: Path) -> pd.DataFrame:
    """Read a file of pytest-benchmark: a row per benchmark, with machine, commit and date in `attrs`.

    Columns: part (the timed function), shape, runs and kernel of the pack (NaN if not applicable), case (other
    parameters), seconds (median per call), rounds, and, if applicable, gflops, peak_gflops (of fused multiply-adds in
    registers), share_of_peak, share_of_update and gigabytes_per_second. Raises UserError for other files.
    """
    try:
        content = json.loads(read_text(file))
        rows = [_row(benchmark) for benchmark in content["benchmarks"]]
        about = {"machine": content["machine_info"]["cpu"].get("brand_raw", "unknown"),
                 "commit": content["commit_info"]["id"], "date": content["datetime"]}  # fmt: skip
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: is not a file of pytest-benchmark; create one in {FOLDER} with: make bench") from None
    if not rows:
        raise UserError(f"{file}: contains no benchmarks")
    frame = pd.DataFrame(rows)
    frame["runs"] = frame["runs"].astype("Int64")
    frame.attrs.update(about)
    return frame


def _row(benchmark: dict[str, Any]) -> dict[str, Any]:
    name, _, _ = benchmark["name"].partition("[")
    facts = benchmark["extra_info"]
    parameters = dict(benchmark["params"] or {})
    shape, kernel, runs = facts.get("shape"), facts.get("kernel"), facts.get("runs")
    others = {name: value for name, value in parameters.items() if name not in OF_PACK}
    return {
        "part": name.removeprefix("test_").replace("_", " "),
        "shape": shape,
        "runs": parameters.get("runs", runs),
        "kernel": kernel,
        "case": ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in others.items()
        ),
        "seconds": benchmark["stats"]["median"],
        "rounds": benchmark["stats"]["rounds"],
        **{name: facts.get(name, float("nan")) for name in FACTS},
    }


def speed(benchmarks: pd.DataFrame) -> Table:
    """The table of benchmarks from the frame of `results.reports.benchmarks.read`; numbers: its columns."""
    per_run = 1e6 * benchmarks["seconds"] / benchmarks["runs"].fillna(1).astype(float)
    text = pd.DataFrame(
        {
            "Part": benchmarks["part"] + benchmarks["case"].map(lambda case: f" [{case}]" if case else ""),
            "Shape": benchmarks["shape"].fillna(NONE),
            "Kernel": benchmarks["kernel"].fillna(NONE),
            "Runs": benchmarks["runs"].map(lambda runs: NONE if pd.isna(runs) else str(runs)),
            "Per run [us]": per_run.map(lambda value: number(value, 1)),
            "GFLOP/s": benchmarks["gflops"].map(lambda value: number(value, 1)),
            "Of the peak [%]": benchmarks["share_of_peak"].map(lambda value: number(100 * value, 0)),
            "GB/s": benchmarks["gigabytes_per_second"].map(lambda value: number(value, 1)),
            "Of an update [%]": benchmarks["share_of_update"].map(lambda value: number(100 * value, 0)),
        }
    )
    notes = (
        "Median time on one thread, divided by the number of runs in the pack. GFLOP/s count matrix products, in an "
        "update also Adam and the Polyak update; the peak is that of fused multiply-adds in the widest registers of a "
        "core, measured before and after each benchmark. Shares of an update refer to the same shape, runs and kernel. "
        "Shapes are width x depth: 64x2 has the state, action and batch sizes of the demo (6, 2, 64 with 4 actions of "
        "each kind), the others those of AntMaze (29, 8, 256 with 10). In brackets: other parameters (online: "
        "transitions of the online phase in the replay buffer; level: what is read).",
    )
    return Table("speed", "Speed of components", benchmarks, text, notes, group="Part")


def write_speed_report(benchmarks: pd.DataFrame, out: Path) -> list[Path]:
    """Write the report on a frame of `read` into the folder `out`; return the files, the page first.

    `report.html`; `tables/` with csv, md and tex; `figures/` with svg, numbers and caption of every figure.
    Raises UserError if `out` cannot be written.
    """
    drawings = [drawing for draw in (share_of_peak, update_parts) if (drawing := draw(benchmarks)) is not None]
    return write_pages(speed(benchmarks), drawings, benchmarks.attrs, out)


def write_pages(table: Table, drawings: Sequence[Drawing], about: Mapping[Any, Any], out: Path) -> list[Path]:
    """Write a page about a speed with its table and figures; `about` has machine, commit (or "") and date."""
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
        files = [out / "report.html", *tables.write(table, out / "tables")]
        pictures = [picture(drawing, out / "figures") for drawing in drawings]
        files += [path for one in pictures for path in one.files]
        files[0].write_text(render("speed.html", table=table, pictures=pictures, about=about), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"report directory {out}: cannot be written ({error.strerror}); choose another directory"
        ) from None
    return files
