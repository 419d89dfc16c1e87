"""Files of pytest-benchmark as a frame."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError

# Where `make bench` keeps its files, in a folder for each kind of machine.
FOLDER = Path(".benchmarks")

# Parameters that have a column of their own; `name` is the shape's.
OF_PACK = ("name", "runs", "kernel")

FACTS = ("gflops", "peak_gflops", "share_of_peak", "share_of_update")


def newest(folder: Path = FOLDER) -> Path:
    """The file of the last run of the benchmarks; raises UserError if there is none."""
    files = sorted(folder.glob("*/*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(f"{folder}: there are no benchmarks; run them with `make bench`, or name a file (--from)")
    return files[-1]


def read(file: Path) -> pd.DataFrame:
    """One row per benchmark; the frame's `attrs` hold machine, commit and date.

    Columns: part (what was timed), shape, runs and kernel of the pack (missing where a part has none), case (other
    parameters), seconds (median of one call), rounds, and, where they apply, gflops, peak_gflops (of torch's matrix
    product beside it), share_of_peak and share_of_update. Raises UserError for a file that is none of pytest-benchmark.
    """
    try:
        written = json.loads(file.read_text())
        rows = [_row(each) for each in written["benchmarks"]]
        about = {"machine": written["machine_info"]["cpu"].get("brand_raw", "unknown"),
                 "commit": written["commit_info"]["id"], "date": written["datetime"]}  # fmt: skip
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: is no file of pytest-benchmark; `make bench` writes one into {FOLDER}") from None
    if not rows:
        raise UserError(f"{file}: holds no benchmark")
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
