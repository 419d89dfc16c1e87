"""The report about a GPU: the files of `make gpu-check` as a frame, a table and a figure."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.files import read_text
from results.figures.speed import gpu_speeds
from results.reports.benchmarks import write_pages
from results.tables.table import Table, number


def is_check(file: Path) -> bool:
    """Whether a file is one of `make gpu-check`."""
    try:
        return "phases" in json.loads(read_text(file))
    except (OSError, UserError, ValueError, TypeError):
        return False


def read(file: Path) -> pd.DataFrame:
    """Read a file of `make gpu-check`: a row per measured speed of updates, by size.

    Columns: size, side ("plain": one run in plain PyTorch), runs, updates_per_second (of all runs), times_plain,
    peak_bytes. In `attrs`: machine and date; units ("256 x 2") by size, as far as known; errors by phase, in one line.
    Raises UserError for other files.
    """
    rows: list[dict[str, Any]] = []
    units, errors = dict[str, str](), dict[str, str]()
    try:
        content = json.loads(read_text(file))
        for phase, result in content["phases"].items():
            measured = result.get("updates", [])
            plain = [row["updates_per_second"] for row in measured if row["side"] == "plain"]
            size = phase.split()[-1]
            if "units" in result:
                units[size] = str(result["units"])
            if "error" in result:
                errors[phase] = (str(result["error"]).strip().splitlines() or ["failed"])[-1]
            known = {(row["size"], row["side"]) for row in rows}
            rows += [{"size": size, **row, "times_plain": row["updates_per_second"] / plain[0]}
                     for row in measured if (size, "plain") not in known or row["side"] != "plain"]  # fmt: skip
        about = {"machine": content["name"], "commit": "", "date": content.get("date", ""),
                 "units": units, "errors": errors}  # fmt: skip
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise UserError(f"{file}: is not a file of gpu-check; create one with: make gpu-check") from None
    if not rows:
        raise UserError(f"{file}: contains no speeds of updates")
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    rows.sort(key=lambda row: sizes.index(row["size"]))
    frame = pd.DataFrame(rows)
    frame.attrs.update(about)
    return frame


def speeds(check: pd.DataFrame) -> Table:
    """The table of a check from the frame of `read`; numbers: its columns."""
    text = pd.DataFrame(
        {
            "Size": check["size"],
            "Way": check["side"],
            "Runs": check["runs"].map(str),
            "Run-updates/s": check["updates_per_second"].map(lambda value: number(value, 0)),
            "Times plain": check["times_plain"].map(lambda value: number(value, 1)),
            "Peak memory [MB]": check["peak_bytes"].map(lambda value: number(value / 1e6, 0)),
        }
    )
    notes = (
        "Plain is one run in PyTorch as it is usually written, measured in the same phase. Eager runs torch's "
        "operations one by one; captured replays a CUDA graph of an update, on batches that the CPU sends; drawn "
        "draws them on the GPU, a block of updates in a graph; compiled and triton do the same with other kernels.",
        *(f"Not complete: the phase {phase} ({error})." for phase, error in check.attrs["errors"].items()),
    )
    return Table("gpu_speed", "Speed of updates on a GPU", check, text, notes, group="Size")


def write_gpu_report(check: pd.DataFrame, out: Path) -> list[Path]:
    """Write the report on a frame of `read` into the folder `out`; return the files, the page first."""
    return write_pages(speeds(check), [gpu_speeds(check)], check.attrs, out)
