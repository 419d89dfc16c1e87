"""The frame that claims about runs measure: a row per finished run, with all that is known of it in numbers."""

import pandas as pd

from ablations.claim import Claim
from results.frame import done

# What names an evaluation; all other columns of the evaluations are numbers.
NAMES = ("run", "task", "arm", "seed", "step", "phase")


def per_run(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of the two frames of runs and of their evaluations: a row per finished run.

    Columns: those of `runs`; "switch.<number>" and "end.<number>": every number of the evaluation at the switch to the
    online phase, and of the last evaluation.
    """
    finished = done(runs)
    numbers = [column for column in evaluations.columns if column not in NAMES]
    moments = {
        "switch": evaluations[evaluations["step"] == 0],
        "end": evaluations.groupby("run", sort=False).tail(1),
    }
    for moment, rows in moments.items():
        own = rows.set_index("run")[numbers].add_prefix(f"{moment}.")
        finished = finished.join(own, on="run")
    return finished


def measured(claim: Claim, frame: pd.DataFrame) -> pd.DataFrame:
    """A claim's number of every run of `per_run`: task, arm, seed, run, dose (of inflation), value (NaN: none).

    Where the runs know nothing of what the claim measures, every value is NaN.
    """
    try:
        values = pd.to_numeric(pd.Series(claim.measure(frame), index=frame.index)).astype(float)
    except KeyError:
        values = pd.Series(float("nan"), index=frame.index)
    return frame[["task", "arm", "seed", "run"]].assign(dose=frame["floor.inflation"], value=values)
