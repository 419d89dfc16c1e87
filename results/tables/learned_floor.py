"""How well a learned floor predicts returns that it has not seen."""

import pandas as pd

from results.frame import done
from results.statistics.estimate import CONFIDENCE
from results.statistics.intervals import mean_interval
from results.style import label
from results.tables.table import Table
from results.tables.text import interval_text, number


def learned_floor(runs: pd.DataFrame) -> Table | None:
    """Held-out error of the learned floors by task and arm, or None if no run learned one.

    Numbers, seed by seed: task, arm, seed, held_out_rmse, held_out_r2, steps.
    """
    names = ["held_out_rmse", "held_out_r2", "steps"]
    finished = done(runs)
    fitted = finished[finished["learned_floor.held_out_rmse"].notna()]
    if fitted.empty:
        return None
    numbers = fitted[["task", "arm", "seed"]].assign(**{name: fitted[f"learned_floor.{name}"] for name in names})
    numbers = numbers.reset_index(drop=True)
    lines = [
        {
            "Task": task,
            "Arm": label(arm),
            "Held-out RMSE": interval_text(mean_interval(group["held_out_rmse"]), 2),
            "Held-out R2": interval_text(mean_interval(group["held_out_r2"]), 3),
            "Gradient steps": number(group["steps"].mean(), 0),
            "n": str(len(group)),
        }
        for (task, arm), group in numbers.groupby(["task", "arm"], sort=False)
    ]
    notes = (
        "Regression of a value network on return-to-go, measured on trajectories kept out of the fit; RMSE in units of "
        f"the mapped return. Mean over n seeds [{CONFIDENCE:.0%} t interval].",
    )
    return Table("learned_floor", "Held-out error of the learned floor", numbers, pd.DataFrame(lines), notes)
