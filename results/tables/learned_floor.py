"""How well a learned floor predicts returns that it has not seen."""

import pandas as pd

from results.frame import done
from results.style import label
from results.tables.table import Table
from results.tables.text import number


def learned_floor(runs: pd.DataFrame) -> Table | None:
    """Held-out error of every learned floor, or None if no run learned one.

    Numbers: task, arm, seed, held_out_rmse, held_out_r2, steps.
    """
    names = ["held_out_rmse", "held_out_r2", "steps"]
    finished = done(runs)
    fitted = finished[finished["learned_floor.held_out_rmse"].notna()]
    if fitted.empty:
        return None
    numbers = fitted[["task", "arm", "seed"]].assign(**{name: fitted[f"learned_floor.{name}"] for name in names})
    numbers = numbers.reset_index(drop=True)
    text = pd.DataFrame(
        {
            "Task": numbers["task"],
            "Arm": numbers["arm"].map(label),
            "Seed": numbers["seed"].map(str),
            "Held-out RMSE": numbers["held_out_rmse"].map(lambda value: number(value, 2)),
            "Held-out R2": numbers["held_out_r2"].map(lambda value: number(value, 3)),
            "Gradient steps": numbers["steps"].map(lambda value: number(value, 0)),
        }
    )
    notes = ("Regression of a value network on return-to-go, measured on trajectories kept out of the fit; RMSE in "
             "units of the mapped return.",)  # fmt: skip
    return Table("learned_floor", "Held-out error of the learned floor", numbers, text, notes)
