"""One row per run: its settings and summary, its evaluations at the switch and at the end, and its change online."""

import numpy as np
import pandas as pd

from results.frame.frames import PAIRING, done

# Columns that identify an evaluation; all others are numbers.
NAMES = ("run", "task", "arm", *PAIRING, "step", "phase")

# Number of offline evaluations, the last of which is the switch, whose mean is the baseline.
BASELINE_EVALUATIONS = 2

# Columns of `online_phase`.
COLUMNS = ("baseline_score", "online_change", "area_below")


def per_run(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """A row per finished run, from the frames of runs and evaluations.

    Columns: those of `runs`, the numbers of the evaluation at the switch ("switch.<column>") and of the last evaluation
    ("end.<column>"), and those of `online_phase`.
    """
    finished = done(runs)
    numbers = [column for column in evaluations.columns if column not in NAMES]
    moments = {
        "switch": evaluations[evaluations["step"] == 0],
        "end": evaluations.groupby("run", sort=False).tail(1),
    }
    for moment, rows in moments.items():
        finished = finished.join(rows.set_index("run")[numbers].add_prefix(f"{moment}."), on="run")
    return finished.join(online_phase(evaluations), on="run")


def online_phase(evaluations: pd.DataFrame) -> pd.DataFrame:
    """What the online phase did to the score of every run, by its id; `evaluations` is the frame of this name.

    Columns:

    baseline_score: mean score of the last two offline evaluations, or of the only one.
    online_change: mean score over the online evaluations - baseline_score, signed.
    area_below: mean depth of the score below the baseline over the online phase, by the trapezoidal rule over
        environment steps from the switch, at which the score counts as the baseline; at least 0.

    The last two average over the online evaluations and are NaN without any. The lowest evaluation would not do: the
    minimum of several noisy numbers is low without any effect, and the lower the more evaluations there are.
    """
    ordered = evaluations.sort_values(["run", "step"], kind="stable")
    offline, online = ordered[ordered["step"] <= 0], ordered[ordered["step"] > 0]
    baseline = offline.groupby("run").tail(BASELINE_EVALUATIONS).groupby("run")["score"].mean()
    areas = {
        run: _area_below(rows["step"].to_numpy(), rows["score"].to_numpy() - baseline[run])
        for run, rows in online.groupby("run")
    }
    table = pd.DataFrame({
        "baseline_score": baseline,
        "online_change": online.groupby("run")["score"].mean() - baseline,
        "area_below": pd.Series(areas, dtype=float),
    })  # fmt: skip
    return table.astype(float)


def training_scores(evaluations: pd.DataFrame) -> pd.Series:
    """Success rate of the training episodes since the previous evaluation of a run; NaN if none has finished since.

    The policy explores in these episodes: it samples its actions. `evaluations` is the frame of this name.
    """
    ordered = evaluations.sort_values(["run", "step"], kind="stable")
    since = ordered.groupby("run")[["train_episodes", "train_successes"]].diff()
    return (since["train_successes"] / since["train_episodes"].where(since["train_episodes"] > 0)).loc[
        evaluations.index
    ]


def _area_below(steps: np.ndarray, changes: np.ndarray) -> float:
    """Mean of max(0, -change) over the online phase; `steps` and `changes` [K], without the switch."""
    depth = np.maximum(0.0, -np.concatenate([[0.0], changes]))
    return float(np.trapezoid(depth, np.concatenate([[0.0], steps])) / steps[-1])


def replicated(values: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """The independent numbers among `values` of `rows` with a data seed: means by data seed, if there are several."""
    return values.groupby(_data_seeds(rows)).mean() if _number_of_data_seeds(rows) > 1 else values


def independent(rows: pd.DataFrame) -> int:
    """The number of independent replicates among the runs of an arm: data seeds, if there are several, or runs."""
    data_seeds = _number_of_data_seeds(rows)
    return data_seeds if data_seeds > 1 else len(rows)


def replication(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note for tables if runs have several data seeds, otherwise none."""
    if _number_of_data_seeds(rows) < 2:
        return ()
    return ("n counts data seeds where runs have several; every number is then the mean over the seeds of one.",)


def _data_seeds(rows: pd.DataFrame) -> pd.Series:
    """The data seed of every row, from a column or the index."""
    return rows["data_seed"] if "data_seed" in rows else rows.index.to_frame()["data_seed"]


def _number_of_data_seeds(rows: pd.DataFrame) -> int:
    seeds = rows["data_seed"] if "data_seed" in rows else rows.index.get_level_values("data_seed")
    return int(seeds.nunique())


def replicates(table: pd.DataFrame) -> pd.DataFrame:
    """The independent rows of `table` [data seed and seed, arms]: means over the seeds of each data seed, if several.

    For equally many seeds per data seed, tests of these means are those of a model with the data seed as a random
    effect.
    """
    if table.index.get_level_values("data_seed").nunique() < 2:
        return table
    return table.dropna().groupby("data_seed").mean()
