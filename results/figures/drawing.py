"""A figure with its numbers and its caption, and their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from results.style import STYLE

Look = dict[str, Any]


@dataclass(frozen=True)
class Drawing:
    """A figure with what must stand beside it."""

    # Stem of its files.
    name: str
    title: str
    figure: Figure
    # What is drawn, one row per mean and per seed.
    numbers: pd.DataFrame
    # Names the statistic, the interval and n.
    caption: str


def write(drawing: Drawing, folder: Path) -> list[Path]:
    """Write `<name>.pdf`, `.svg`, `.png`, the numbers as `.csv` and the caption as `.txt`; no file holds a date.

    The figure is laid out once, at the resolution of the picture in pixels, and the same for all three.
    """
    paths = [folder / f"{drawing.name}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "txt")]
    undated: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},
        "svg": {"metadata": {"Date": None}},
        # Packing the pixels tighter takes as long as drawing them.
        "png": {"pil_kwargs": {"compress_level": 2}},
    }
    with mpl.rc_context(STYLE):
        lay_out(drawing.figure)
        for path, (kind, options) in zip(paths, undated.items(), strict=False):
            drawing.figure.savefig(path, format=kind, **options)
    paths[3].write_text(drawing.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    paths[4].write_text(drawing.caption + "\n")
    return paths


def lay_out(figure: Figure) -> None:
    """Find the places of all that is in a figure and leave it there: otherwise every file finds them anew."""
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi = STYLE["savefig.dpi"]
        engine.execute(figure)
        figure.set_layout_engine(None)
