"""The project's own runs: what README, FINDINGS.md and verdicts.csv show.

Their frames lie in results/published/, where `floorbench report --root DIR --export results/published` puts them.
"""

from pathlib import Path

from ablations.grids import runs_of
from results.frame.frames import NAMES, Frames, load

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "results" / "published"

# The grid that README and the findings are about, and all grids whose runs lie there.
STUDY = "study"
OWN = (STUDY, "truncation", "implementation", "floors")


def own_runs(*grids: str, reference: Path = REFERENCE) -> Frames:
    """The runs of some grids. Raises UserError where there are none."""
    return load(reference, {run.id for grid in grids for run in runs_of(grid)})


def has_frames(reference: Path = REFERENCE) -> bool:
    """Whether any have been exported."""
    return any((reference / f"{name}.parquet").exists() for name in NAMES)
