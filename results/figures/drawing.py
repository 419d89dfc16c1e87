"""A figure with its numbers and caption, and their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from results.frame import done
from results.statistics.intervals import CONFIDENCE
from results.style import STYLE, drawing_style, label

Look = dict[str, Any]

# Types of the columns of numbers that are empty for a mean or for a seed.
SEED_TYPES = {"data_seed": "Int64", "seed": "Int64", "n": "Int64"}


@dataclass(frozen=True)
class Drawing:
    """A figure with its title, numbers and caption."""

    # File name without a suffix.
    name: str
    title: str
    figure: Figure
    # The plotted numbers, one row per mean and per seed.
    numbers: pd.DataFrame
    # Names the statistic, the interval and n.
    caption: str


def write(drawing: Drawing, folder: Path) -> list[Path]:
    """Write `<name>.pdf`, `.svg`, `.png`, the numbers as `.csv` and the caption as `.txt`; no file contains a date.

    The layout is computed once, at the resolution of the PNG, and used for all three formats.
    """
    paths = [folder / f"{drawing.name}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "txt")]
    undated: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},
        "svg": {"metadata": {"Date": None}},
        # A higher compression level takes as long as drawing the figure.
        "png": {"pil_kwargs": {"compress_level": 2}},
    }
    with drawing_style():
        lay_out(drawing.figure)
        for path, (kind, options) in zip(paths, undated.items(), strict=False):
            drawing.figure.savefig(path, format=kind, **options)
    paths[3].write_text(drawing.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"), encoding="utf-8")
    paths[4].write_text(drawing.caption + "\n", encoding="utf-8")
    return paths


def lay_out(figure: Figure) -> None:
    """Compute the layout once and freeze it; otherwise each file format computes it again."""
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi = STYLE["savefig.dpi"]
        engine.execute(figure)
        figure.set_layout_engine(None)


BAND = f"{CONFIDENCE:.0%} t interval over seeds"


def finished_of(runs: pd.DataFrame, task: object) -> pd.DataFrame:
    """The finished runs of a task."""
    return done(runs[runs["task"] == task])


def window(finished: pd.DataFrame) -> float:
    """The number of environment steps after the switch over which the dip is measured."""
    return float(finished["dip_window"].max())


def counts(finished: pd.DataFrame) -> str:
    """A sentence with the number of seeds per arm: one number if all arms have the same."""
    counts = finished.groupby(["task", "arm"], sort=False).size()
    if counts.nunique() == 1:
        return f"n = {counts.iloc[0]} seeds per arm."
    several = finished["task"].nunique() > 1
    names = [f"{task}, {label(arm)}" if several else label(arm) for task, arm in counts.index]
    return f"Seeds per arm: {'; '.join(f'{name}: {n}' for name, n in zip(names, counts, strict=True))}."


def episodes(finished: pd.DataFrame) -> str:
    """A sentence with the number of episodes per evaluation."""
    numbers = sorted(set(finished["schedule.evaluation_episodes"]))
    return f"{' or '.join(map(str, numbers))} deterministic episodes per evaluation."
