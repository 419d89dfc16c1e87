"""What a search optimises: a number of a run's summary, and how good a run is while it still trains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Objective:
    """A number of `done.json` by which trials are compared, as a mean over tasks and seeds."""

    # Name in the summary.
    name: str
    direction: Literal["maximize", "minimize"]
    # The number that the rows of metrics so far give, on the same scale.
    so_far: Callable[[Rows], float]
    # Whether it needs an online phase.
    online: bool = True


def last_score(rows: Rows) -> float:
    """Score of the last evaluation."""
    return float(rows[-1]["score"])


def last_offline_score(rows: Rows) -> float:
    """Score of the last evaluation before the switch."""
    return last_score([row for row in rows if row["phase"] == "offline"])


def mean_regret(rows: Rows) -> float:
    """1 - mean score over the evaluations so far."""
    return 1.0 - float(np.mean([row["score"] for row in rows]))


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("final_score", "maximize", last_score, online=False),
        Objective("offline_score", "maximize", last_offline_score, online=False),
        Objective("regret_eval", "minimize", mean_regret),
    )
}
