"""The runs that this project publishes, and the verdicts on them.

The frames in results/published/ are written by `floorbench report --root DIR --export results/published`; README.md,
FINDINGS.md and verdicts.csv are generated from them. `python -m results.publishing.published_runs` writes verdicts.csv.
"""

from io import StringIO
from pathlib import Path

import pandas as pd

from ablations.claims import CLAIMS
from ablations.grids import runs_of
from harness.files import atomic_write
from results.frame.frames import NAMES, Frames, load
from results.verdicts.runs import judge_runs
from results.verdicts.table import verdict_table

PROJECT = Path(__file__).parents[2]
PUBLISHED = PROJECT / "results" / "published"
VERDICTS = PUBLISHED / "verdicts.csv"

# The grids of README and FINDINGS.md, and all grids whose runs are published.
STUDY = "study"
DIP, CAUSE, REMEDIES, MIXED_DATA, MIXED_DATA_LONG = "dip", "cause", "remedies", "mixed_data", "mixed_data_long"
ALPHAS, FLOOR_ERROR, BEST_VALUE = "alphas", "floor_error", "best_value"
FINE_TUNING = (DIP, CAUSE, REMEDIES, MIXED_DATA, MIXED_DATA_LONG, ALPHAS, FLOOR_ERROR, BEST_VALUE)
GRIDS = (STUDY, *FINE_TUNING, "truncation", "implementation", "floors")

# Columns of verdicts.csv, and the significant digits of its numbers: the last digits of a test can depend on the
# machine.
COLUMNS = ["id", "task", "arm", "outcome", "effect", "low", "high", "n", "p_value", "correlation", "method", "remark"]
DIGITS = 6


def published_runs(*grids: str, folder: Path = PUBLISHED) -> Frames:
    """The frames of the runs of some grids. Raises UserError if there are none."""
    return load(folder, {run.id for grid in grids for run in runs_of(grid)})


def has_frames(folder: Path = PUBLISHED) -> bool:
    """Whether the folder contains exported frames."""
    return any((folder / f"{name}.parquet").exists() for name in NAMES)


def published_verdicts(folder: Path = PUBLISHED) -> pd.DataFrame:
    """A row per verdict based on runs, ordered by grid: grid, id, the claim's statement, and the other `COLUMNS`."""
    tables = []
    for grid in GRIDS:
        frames = published_runs(grid, folder=folder)
        verdicts = [verdict for verdict in judge_runs(CLAIMS, frames.runs, frames.evaluations) if verdict.n]
        # No claim is about the grid `implementation`.
        if verdicts:
            tables.append(verdict_table(verdicts).numbers[COLUMNS].assign(grid=grid))
    table = pd.concat(tables, ignore_index=True)
    statements = {claim.id: claim.statement for claim in CLAIMS}
    return table.assign(claim=table["id"].map(statements))[["grid", "id", "claim", *COLUMNS[1:]]]


def as_csv(verdicts: pd.DataFrame) -> str:
    """The verdicts as CSV text."""
    buffer = StringIO()
    verdicts.to_csv(buffer, index=False, lineterminator="\n", float_format=f"%.{DIGITS}g")
    return buffer.getvalue()


def write(file: Path = VERDICTS) -> None:
    """Update verdicts.csv. The same frames give the same text."""
    with atomic_write(file) as stream:
        stream.write(as_csv(published_verdicts()).encode())


if __name__ == "__main__":
    write()
