"""A figure with its numbers and its caption, and their files."""

import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from harness.errors import UserError
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
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    with mpl.rc_context(STYLE):
        lay_out(drawing.figure)
        for path, (kind, metadata) in zip(paths, undated.items(), strict=False):
            drawing.figure.savefig(path, format=kind, metadata=metadata)
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


def write_all(drawings: Sequence[Drawing], folder: Path, workers: int = 1) -> list[Path]:
    """`write` every drawing, in so many processes; the same bytes with any number.

    More than one needs a main module that can be imported without doing anything, as a command's can.
    """
    if min(workers, len(drawings)) < 2:
        return [path for drawing in drawings for path in write(drawing, folder)]
    # Only this process answers Ctrl-C: the others end with it.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=signal.signal, initargs=ignore)
    try:
        return [path for paths in pool.map(partial(write, folder=folder), drawings) for path in paths]
    except BrokenProcessPool:
        raise UserError("report: a process that writes figures was ended; is there too little memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)
