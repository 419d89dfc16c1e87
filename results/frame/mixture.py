"""What must not be averaged."""

import pandas as pd

from harness.errors import UserError
from results.frame.columns import settings_columns
from results.frame.store import Frames


def refuse_mixed_settings(runs: pd.DataFrame) -> None:
    """Runs of one task and arm may differ in their seed only, else their mean means nothing.

    Raises a UserError that names two runs and the setting.
    """
    for column in settings_columns(runs):
        values = runs[column].map(repr)
        if values.nunique() == 1:
            continue
        for (task, arm), group in values.groupby([runs["task"], runs["arm"]], sort=False):
            if group.nunique() > 1:
                first, other = runs.loc[group.drop_duplicates().index[:2], ["run", column]].to_numpy().tolist()
                raise UserError(
                    f"runs {first[0]} and {other[0]} are both {task} / {arm} but differ in {column} ({first[1]} and "
                    f"{other[1]}): keep them in separate roots and report them apart"
                )


def refuse_mixed_data(frames: Frames) -> None:
    """Arms of one task are compared, so their runs must rest on the same data, by its content.

    Raises a UserError that names two runs and the two contents.
    """
    if "dataset" not in frames.provenance:
        return
    data = frames.runs.merge(frames.provenance[["run", "dataset"]], on="run").dropna(subset="dataset")
    for task, group in data.groupby("task", sort=False):
        different = group.drop_duplicates("dataset")
        if len(different) > 1:
            (first, one), (other, two) = different[["run", "dataset"]].to_numpy().tolist()[:2]
            raise UserError(
                f"runs {first} and {other} are both of {task} but were computed on data of different content "
                f"({one[:12]} and {two[:12]}): keep them in separate roots and report them apart"
            )
