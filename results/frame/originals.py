"""The runs of exported frames as what a repetition is held against."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from harness.settings import Run
from harness.watching.verification import Original
from results.frame.columns import NAMES, done
from results.frame.store import Frames

# What the frame of evaluations has beside the columns of `metrics.jsonl`.
ADDED = [name for name in NAMES if name != "phase"]

MACHINE, PACKAGES = "machine.", "packages."


def originals(frames: Frames, runs: Iterable[Run], place: Path) -> dict[str, Original]:
    """What the frames say of those of the runs that are finished, by id. `place`: where the frames are from.

    Of the attempts at a run only the last is known, and of its final parameters nothing.
    """
    finished = set(done(frames.runs)["run"])
    rows = {str(run): group for run, group in frames.evaluations.groupby("run", sort=False)}
    provenance = frames.provenance.set_index("run").to_dict("index")
    return {
        run.id: Original(
            run=run,
            rows=_rows(rows[run.id]),
            metrics=None,
            records=[_nested(provenance[run.id])],
            dataset=provenance[run.id].get("dataset"),
            parameters_hash=None,
            place=place,
        )
        for run in runs
        if run.id in finished
    }


def _rows(evaluations: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`, without the numbers that do not apply."""
    return [
        {str(name): value for name, value in row.items() if not pd.isna(value)}
        for row in evaluations.drop(columns=ADDED).to_dict("records")
    ]


def _nested(row: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """Machine and packages of a provenance by dotted path."""
    return {
        prefix.rstrip("."): {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
        for prefix in (MACHINE, PACKAGES)
    }
