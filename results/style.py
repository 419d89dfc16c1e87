"""Labels, order and colours of arms, and the matplotlib style at a journal's column width."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from ablations.arms import ARMS
from ablations.axes import split_variant
from harness.errors import UserError, one_line

# Widths of one and of two columns, in inches.
COLUMN = 3.3
PAGE = 6.8

# Colours of the arms that have one, by name.
COLOURS = {name: arm.colour for name, arm in ARMS.items() if arm.colour}
# Colours for arms without one.
OTHER_COLOURS = ("#b3a100", "#3b4cc0", "#999999", "#d62728")

INK = "#222222"
FAINT = "#c8c8c8"
SHADE = "#eeeeee"

# Replacements on a dark page.
ON_DARK = {
    "#ffffff": "#16181d",
    INK: "#e4e4e4",
    FAINT: "#6b6f76",
    SHADE: "#2c3037",
    "#d55e00": "#f0803c",
    "#0072b2": "#4ea8e0",
    "#009e73": "#35c79c",
    "#e69f00": "#ffc04d",
    "#cc79a7": "#e0a3c5",
    "#a8558b": "#d487bb",
    "#7b2d6b": "#c26bb0",
    "#8c564b": "#b98072",
    "#5d6d7e": "#8d9db0",
    "#6a7f10": "#a3bb3d",
    "#3b4cc0": "#8492ff",
    "#4d4d4d": "#b8b8b8",
    "#2f7fb8": "#5f9fd0",
    "#a3845b": "#c8a97f",
    "#3e5c9a": "#7d9bdc",
    "#b5523b": "#dd7d64",
}

# matplotlib settings: no top and right spines, 7 to 8 pt text at the printed width, byte-identical files.
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "floorbench",
}


def import_matplotlib() -> None:
    """Import matplotlib, which the user's MPLBACKEND or matplotlibrc could prevent. Figures need no backend."""
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    logger = logging.getLogger("matplotlib")
    level = logger.level
    # It reports every line of a matplotlibrc that it cannot use; none of them matters here.
    logger.setLevel(logging.CRITICAL)
    try:
        import matplotlib as mpl
    except Exception as error:
        raise UserError(f"matplotlib cannot be imported ({one_line(error)}); check your matplotlibrc") from error
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend is not None:
        # For the user's own figures, in a notebook.
        with contextlib.suppress(ValueError):
            mpl.rcParams["backend"] = backend


# NumPy's defaults, which a start-up file may change; they affect the text of numbers in files.
PRINT_OPTIONS: dict[str, Any] = {
    "precision": 8, "threshold": 1000, "edgeitems": 3, "linewidth": 75, "suppress": False, "nanstr": "nan",
    "infstr": "inf", "formatter": None, "sign": "-", "floatmode": "maxprec", "legacy": False,
}  # fmt: skip


def default_numbers() -> contextlib.AbstractContextManager[Any]:
    """NumPy's own print options during a block."""
    return np.printoptions(**PRINT_OPTIONS)


@contextlib.contextmanager
def drawing_style() -> Iterator[None]:
    """matplotlib's defaults with `STYLE` during a block, whatever the user's matplotlibrc says."""
    import matplotlib as mpl

    with default_numbers(), mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


# Suffix of arms with settings from a study.
TUNED = "_tuned"


def label(arm: Any) -> str:
    """The label of an arm, or of arms that share one search, such as "cql+monte_carlo"."""
    untuned = str(arm).removesuffix(TUNED)
    names = " and ".join(_arm_label(name) for name in untuned.split("+"))
    return names + (", tuned" if untuned != str(arm) else "")


def _arm_label(name: str) -> str:
    """The label of one arm, with its varied settings: "CQL, alpha = 5, mixing_ratio = 0.25"."""
    arm, values = split_variant(name)
    known = ARMS[arm].label if arm in ARMS else arm
    return ", ".join([known, *(value.replace("=", " = ") for value in values.split(",") if value)])


def in_order(arms: Iterable[str]) -> list[str]:
    """The distinct arms: registered arms in registry order, each before its variants, then the others by name."""
    known = {arm: place for place, arm in enumerate(ARMS)}
    # `unique` is much faster than iterating over a long column.
    different = arms.unique() if isinstance(arms, pd.Series) else arms
    return sorted(set(different), key=lambda arm: (known.get(split_variant(arm)[0], len(known)), _natural(arm)))


def _natural(name: str) -> list[tuple[float, str]]:
    """A key that sorts the numbers in names by value."""
    parts = re.split(r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)", name)
    return [(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(parts)]


def colours(arms: Iterable[str]) -> dict[str, str]:
    """A colour for every arm; arms without a registered colour take the spare colours in turn."""
    spare = cycle(OTHER_COLOURS)
    return {arm: (ARMS[arm].colour if arm in ARMS else None) or next(spare) for arm in in_order(arms)}
