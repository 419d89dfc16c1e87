"""Numbers for other tools: tables by name as LaTeX and CSV, and scores as rliable takes them."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

from harness.errors import UserError
from results.frame.frames import PAIRING, Frames, done
from results.frame.per_run import per_run
from results.style import in_order
from results.tables.cost import cost, expectation, time_spent
from results.tables.doses import doses
from results.tables.effects import effects, effects_table
from results.tables.foreign import beside_foreign
from results.tables.pooled import pooled
from results.tables.published import beside_published
from results.tables.scores import differences, scores
from results.tables.table import Table, latex
from results.tables.values import learned_floor, scale_mismatch, truth

# The tables of a report by name.
TABLES: dict[str, Callable[[Frames], Table | None]] = {
    "scores": lambda frames: scores(frames.runs),
    "differences": lambda frames: differences(frames.runs),
    "effects": lambda frames: effects_table(effects(per_run(frames.runs, frames.evaluations))),
    "pooled": lambda frames: pooled(frames.runs),
    "doses": lambda frames: doses(frames.runs, frames.evaluations),
    "published": lambda frames: beside_published(frames.runs),
    "foreign": lambda frames: beside_foreign(frames.runs, frames.foreign),
    "scale_mismatch": lambda frames: scale_mismatch(frames.runs),
    "learned_floor": lambda frames: learned_floor(frames.runs),
    "truth": lambda frames: truth(frames.evaluations),
    "cost": lambda frames: cost(frames.runs),
    "time": lambda frames: time_spent(frames.runs),
    "expectation": lambda frames: expectation(frames.runs),
}


def table(frames: Frames, name: str) -> Table:
    """A table of the report; raises UserError for an unknown name and without data for it."""
    if name not in TABLES:
        raise UserError(f"table {name!r}: unknown table; choose one of {', '.join(TABLES)}")
    made = TABLES[name](frames)
    if made is None:
        raise UserError(f"table {name}: these runs have no data for it; choose another of {', '.join(TABLES)}")
    return made


def to_latex(frames: Frames, name: str) -> str:
    """A table of the report in LaTeX, with the rules of booktabs."""
    return latex(table(frames, name))


def to_csv(frames: Frames, name: str) -> str:
    """The numbers of a table of the report, one row per estimate."""
    return table(frames, name).numbers.to_csv(index=False, lineterminator="\n")


def rliable_scores(
    runs: pd.DataFrame, metric: str = "final_score", rows: Literal["runs", "data seeds"] = "runs"
) -> dict[str, np.ndarray]:
    """The scores [rows, tasks] by arm, the dictionary that rliable takes.

    Rows are runs, a row per pair of data seed and seed, in this order. rliable resamples rows as independent; where
    several seeds share a dataset they are not, and `rows="data seeds"` gives a row per data seed, the mean over its
    seeds, as our tables count them. Tasks are sorted by name and are those on which every arm has finished runs; pairs
    are those that every arm has on every task. Raises UserError if there are none.
    """
    finished = done(runs)
    if rows not in ("runs", "data seeds"):
        raise UserError(f"rliable: rows = {rows!r}: unknown rows; choose one of runs, data seeds")
    wide = finished.pivot(index=PAIRING, columns=["arm", "task"], values=metric)
    arms = in_order(finished["arm"].unique())
    of_arms = [set(finished.loc[finished["arm"] == arm, "task"]) for arm in arms]
    tasks = sorted(set.intersection(*of_arms)) if of_arms else []
    complete = wide[[(arm, task) for arm in arms for task in tasks]].dropna().sort_index()
    if not tasks or complete.empty:
        raise UserError("rliable: no task and pair of seeds is common to all arms; select fewer arms")
    if rows == "data seeds":
        complete = complete.groupby(level="data_seed").mean()
    return {arm: complete[arm][tasks].to_numpy() for arm in arms}
