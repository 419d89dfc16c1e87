"""Labels, order and colours of arms, and the matplotlib style at a journal's column width."""

import contextlib
import locale
import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ablations.arms import ARMS, GROUPS
from ablations.axes import split_variant
from harness.errors import UserError, one_line

# Widths of one and of two columns, in inches.
COLUMN = 3.3
PAGE = 6.8

INK = "#222222"
FAINT = "#c8c8c8"
SHADE = "#eeeeee"

# Arms without a colour of their own, and the one of them that a panel points out.
GREY = "#7f868e"
ACCENT = "#a8458b"

# Colours for what is not an arm (after Okabe and Ito).
BLUE, ORANGE, GREEN, AMBER = "#0072b2", "#d55e00", "#009e73", "#e69f00"

# Replacements on a dark page.
ON_DARK = {
    "#ffffff": "#16181d",
    INK: "#e4e4e4",
    FAINT: "#6b6f76",
    SHADE: "#2c3037",
    ORANGE: "#f0803c",
    BLUE: "#4ea8e0",
    GREEN: "#35c79c",
    AMBER: "#ffc04d",
    GREY: "#99a1aa",
    ACCENT: "#e08bc6",
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
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "floorbench",
}


def import_matplotlib() -> None:
    """Import matplotlib, which the user's MPLBACKEND or matplotlibrc could prevent. Figures need no backend.

    A matplotlibrc can make the import take over the user's locale, which may not be installed and changes numbers.
    """
    if "matplotlib" in sys.modules:
        return
    backend, language = os.environ.pop("MPLBACKEND", None), os.environ.get("LC_ALL")
    before = locale.setlocale(locale.LC_ALL)
    os.environ["LC_ALL"] = "C"
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
        locale.setlocale(locale.LC_ALL, before)
        if language is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = language
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


# Mathematics as the texts write it -> as matplotlib sets it.
MATHEMATICS = {
    "Q(s, pi(s))": r"$Q(s,\,\pi(s))$", "Q(s, a)": r"$Q(s,\,a)$", "V_mu(s)": r"$V_\mu(s)$", "V_pi(s)": r"$V_\pi(s)$",
    "V_mu": r"$V_\mu$", "V_pi": r"$V_\pi$", "V*": r"$V^*$",
}  # fmt: skip


def axis_text(text: str, characters: int) -> str:
    """A text for an axis: in lines of about equal length, of at most so many characters, with mathematics."""
    for written in MATHEMATICS:
        # Formulas are not broken.
        text = text.replace(written, written.replace(" ", "\xa0"))
    text = text.replace(" - ", " \N{MINUS SIGN} ")
    fewest = len(textwrap.wrap(text, characters))
    widths = range(max(map(len, text.split()), default=1), characters + 1)
    text = textwrap.fill(
        text, next((width for width in widths if len(textwrap.wrap(text, width)) == fewest), characters)
    )
    for written, shown in MATHEMATICS.items():
        text = text.replace(written.replace(" ", "\xa0"), shown)
    return text


# Suffix of arms with settings from a study.
TUNED = "_tuned"


def label(arm: Any) -> str:
    """The label of an arm, or of arms that share one search, such as "cql+monte_carlo"."""
    untuned = str(arm).removesuffix(TUNED)
    names = " and ".join(_arm_label(name) for name in untuned.split("+"))
    return names + (", tuned" if untuned != str(arm) else "")


# Varied settings, as regular expressions, and how a label words them.
WORDED = {
    "alpha=0,alpha_decay=0": "push-down ends",
    "alpha=0,alpha_decay=1": "push-down decays",
    "critic_shift=0,recalibrate=true": "recalibrated",
    r"critic_shift=-(0\.\d+),recalibrate=false": r"critics lowered by \1",
    "mixing_ratio=0": "no offline data",
    "new_critics=true": "new critics",
    r"critic_updates=(\d+)": r"critics first (\1)",
    r"warmup_horizons=(\d+)": r"warm-up (\1 horizons)",
}


def _arm_label(name: str) -> str:
    """The label of one arm, with its varied settings: "CQL, alpha = 5, mixing_ratio = 0.25", "CQL, recalibrated"."""
    arm, values = split_variant(name)
    known = ARMS[arm].label if arm in ARMS else arm
    for settings, words in WORDED.items():
        values = re.sub(rf"(?<![^,]){settings}(?![^,])", words, values)
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


def grouped(arms: Iterable[str]) -> dict[str, list[str]]:
    """The groups of `arms`, without empty groups: variants with their arm, unregistered arms as "Other arms"."""
    group_of = {name: title for title, names in GROUPS.items() for name in names}
    groups: dict[str, list[str]] = {title: [] for title in [*GROUPS, "Other arms"]}
    for name in dict.fromkeys(arms):
        groups[group_of.get(split_variant(name)[0], "Other arms")].append(name)
    return {title: names for title, names in groups.items() if names}


def short(arm: Any) -> str:
    """The label of an arm without the algorithm, for figures that say it once: "Inflated by 0.25"."""
    text = label(arm)
    rest = text.partition(", ")[2] if text.startswith("Cal-QL, ") else ""
    return rest[0].upper() + rest[1:] if rest else text


def colour(arm: str, accent: str = "") -> str:
    """The colour of an arm: its own, `ACCENT` if it is the arm `accent`, otherwise grey."""
    registered = ARMS[arm].colour if arm in ARMS else None
    return registered or (ACCENT if arm == accent else GREY)


def colours(arms: Iterable[str], accent: str = "") -> dict[str, str]:
    """The colour of every arm, as `colour`."""
    return {arm: colour(arm, accent) for arm in in_order(arms)}
