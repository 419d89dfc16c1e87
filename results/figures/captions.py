"""What every caption says of the runs behind a figure."""

import pandas as pd

from results.frame import done
from results.statistics.estimate import CONFIDENCE
from results.style import label

BAND = f"{CONFIDENCE:.0%} t interval over seeds"


def finished_of(runs: pd.DataFrame, task: object) -> pd.DataFrame:
    """The finished runs of a task."""
    return done(runs[runs["task"] == task])


def window(finished: pd.DataFrame) -> float:
    """Environment steps after the switch over which the dip is measured."""
    return float(finished["dip_window"].max())


def counts(finished: pd.DataFrame) -> str:
    """n of every arm in one sentence, in one number where they agree."""
    counts = finished.groupby(["task", "arm"], sort=False).size()
    if counts.nunique() == 1:
        return f"n = {counts.iloc[0]} seeds per arm."
    several = finished["task"].nunique() > 1
    names = [f"{task}, {label(arm)}" if several else label(arm) for task, arm in counts.index]
    return f"Seeds per arm: {'; '.join(f'{name}: {n}' for name, n in zip(names, counts, strict=True))}."


def episodes(finished: pd.DataFrame) -> str:
    """How many episodes a score is the mean of."""
    numbers = sorted(set(finished["schedule.evaluation_episodes"]))
    return f"{' or '.join(map(str, numbers))} deterministic episodes per evaluation."
