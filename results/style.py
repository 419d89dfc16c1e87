"""How the reader sees the arms: names, order and colours, and the look of a figure at a journal's column width."""

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import pandas as pd

# Widths of one and of two columns, in inches.
COLUMN = 3.3
PAGE = 6.8

# Order of the arms in tables and figures, and their names for the reader. Any other arm follows under its own name.
LABELS = {
    "no_push_down": "No push-down",
    "behaviour_cloning": "Behaviour cloning",
    "cql": "CQL",
    "monte_carlo": "Cal-QL, Monte Carlo floor",
    "learned": "Cal-QL, learned floor",
    "learned_online": "Cal-QL, floor learned on",
    "exact": "Cal-QL, exact floor",
    "deflated_0.25": "Cal-QL, deflated by 0.25",
    "inflated_0.1": "Cal-QL, inflated by 0.1",
    "inflated_0.25": "Cal-QL, inflated by 0.25",
    "inflated_0.5": "Cal-QL, inflated by 0.5",
    "inflated_1": "Cal-QL, inflated by 1",
    "noisy_0.1": "Cal-QL, noise of 0.1",
    "noisy_0.25": "Cal-QL, noise of 0.25",
    "noisy_0.5": "Cal-QL, noise of 0.5",
    "constant_mean": "Cal-QL, floor mean return",
    "constant_0": "Cal-QL, constant floor 0",
    "naive_truncation": "Cal-QL, naive truncation",
    "calibrated_offline": "Cal-QL, floor offline alone",
    "uniform_floor": "Cal-QL, floor on uniform too",
    "expectation": "Cal-QL, expectation form",
    "reference": "Cal-QL, reference",
    "reference_cql": "CQL, reference",
    "official": "Cal-QL, official",
    "official_cql": "CQL, official",
    "corl_like": "Cal-QL, like CORL",
    "corl_like_cql": "CQL, like CORL",
    "d3rlpy_like": "Cal-QL, like d3rlpy",
    "d3rlpy_like_cql": "CQL, like d3rlpy",
    "wsrl_like": "Cal-QL, like WSRL",
    "wsrl_like_cql": "CQL, like WSRL",
    "floor_off_online": "Cal-QL, no floor online",
    "floor_on_uniform": "Cal-QL, floor on uniform actions",
    "floor_after_density": "Cal-QL, floor after densities",
    "no_failure_rule": "Cal-QL, no failure rule",
    "one_backup_action": "Cal-QL, one backup action",
    "mean_backup_action": "Cal-QL, mean backup action",
    "max_then_min_backup": "Cal-QL, max-then-min backup",
    "backup_with_entropy": "Cal-QL, entropy in the backup",
    "multiplier_from_one": "Cal-QL, multiplier from 1",
    "multiplier_softplus": "Cal-QL, multiplier by softplus",
    "multiplier_for_alpha": "Cal-QL, multiplier for alpha",
    "gap_without_alpha": "Cal-QL, gap without alpha",
    "difference_above_-200": "Cal-QL, difference above -200",
    "output_gain_sqrt_2": "Cal-QL, output gain of √2",
    "output_gain_default": "Cal-QL, output gain of torch",
    "updates_in_thousands": "Cal-QL, 1,000 updates at a time",
    "cql_merged_buffer": "CQL, one merged buffer",
    "cql_online_alone": "CQL, online data alone",
}

# Colours that stay apart for the colour-blind and in grey (after Okabe and Ito, and Tol); doses share a hue.
COLOURS = {
    "no_push_down": "#8a8a8a",
    "behaviour_cloning": "#4d4d4d",
    "cql": "#d55e00",
    "monte_carlo": "#0072b2",
    "learned": "#009e73",
    "learned_online": "#66c2a5",
    "exact": "#e69f00",
    "deflated_0.25": "#8c564b",
    "inflated_0.1": "#e8b4d0",
    "inflated_0.25": "#cc79a7",
    "inflated_0.5": "#a8558b",
    "inflated_1": "#7b2d6b",
    "noisy_0.1": "#9bd3f5",
    "noisy_0.25": "#56b4e9",
    "noisy_0.5": "#2f7fb8",
    "constant_mean": "#a3845b",
    "constant_0": "#5d6d7e",
    "naive_truncation": "#6a7f10",
    "calibrated_offline": "#3e5c9a",
    "uniform_floor": "#c9a227",
    "expectation": "#b5523b",
}
OTHER_COLOURS = ("#b3a100", "#3b4cc0", "#999999", "#d62728")

INK = "#222222"
FAINT = "#c8c8c8"
SHADE = "#eeeeee"

# What the colours above become on a dark page.
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

# Settings of matplotlib: a quiet frame, letters of 7 to 8 points at the printed width, the same bytes every time.
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


# How the name of an arm ends whose settings were searched for.
TUNED = "_tuned"


def label(arm: Any) -> str:
    """The arm's name for the reader, or those of the arms that share one search, as "cql+monte_carlo"."""
    untuned = str(arm).removesuffix(TUNED)
    names = " and ".join(LABELS.get(name, name) for name in untuned.split("+"))
    return names + (", tuned" if untuned != str(arm) else "")


def in_order(arms: Iterable[str]) -> list[str]:
    """The different arms: those known here first, in the order of the labels, then the others by name."""
    known = list(LABELS)
    # A long column counts as many arms as it names, and is slow to go through one by one.
    different = arms.unique() if isinstance(arms, pd.Series) else arms
    return sorted(set(different), key=lambda arm: (known.index(arm) if arm in LABELS else len(known), arm))


def colours(arms: Iterable[str]) -> dict[str, str]:
    """A colour for every arm; arms without one of their own take the remaining colours in turn."""
    spare = cycle(OTHER_COLOURS)
    return {arm: COLOURS.get(arm) or next(spare) for arm in in_order(arms)}
