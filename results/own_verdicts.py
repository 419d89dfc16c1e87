"""What became of the claims on the project's own runs: `python -m results.own_verdicts` writes verdicts.csv."""

from io import StringIO
from pathlib import Path

import pandas as pd

from ablations.claims import CLAIMS
from harness.files import atomic_write
from results.own_runs import OWN, REFERENCE, own_runs
from results.verdicts.runs import judge_runs
from results.verdicts.table import verdict_table

FILE = REFERENCE / "verdicts.csv"

# Of the columns of `verdict_table` those that are no text about a claim, and how many digits numbers have: the last
# ones of a test may differ from machine to machine.
COLUMNS = ["id", "task", "arm", "outcome", "effect", "low", "high", "n", "p_value", "correlation", "method", "remark"]
DIGITS = 6


def own_verdicts(reference: Path = REFERENCE) -> pd.DataFrame:
    """A row per verdict that rests on runs, grid by grid: grid, id, claim (its statement) and the other `COLUMNS`."""
    frames = []
    for grid in OWN:
        own = own_runs(grid, reference=reference)
        verdicts = [verdict for verdict in judge_runs(CLAIMS, own.runs, own.evaluations) if verdict.n]
        # No claim is about the grid of implementations.
        if verdicts:
            frames.append(verdict_table(verdicts).numbers[COLUMNS].assign(grid=grid))
    found = pd.concat(frames, ignore_index=True)
    statements = {claim.id: claim.statement for claim in CLAIMS}
    return found.assign(claim=found["id"].map(statements))[["grid", "id", "claim", *COLUMNS[1:]]]


def text(verdicts: pd.DataFrame) -> str:
    """The verdicts as CSV."""
    buffer = StringIO()
    verdicts.to_csv(buffer, index=False, lineterminator="\n", float_format=f"%.{DIGITS}g")
    return buffer.getvalue()


def write(file: Path = FILE) -> None:
    """Bring the file up to date; the same frames give the same text."""
    with atomic_write(file) as stream:
        stream.write(text(own_verdicts()).encode())


if __name__ == "__main__":
    write()
