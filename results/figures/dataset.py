"""The dataset card as a figure and a table."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from results.figures.drawing import Drawing
from results.style import COLOURS, FAINT, INK, PAGE, STYLE
from results.tables import Table

# Rules of `floor.truncation`, as the reader sees them.
RULES = {
    "failure_rule": ("failure rule", {"color": COLOURS["monte_carlo"], "linestyle": "-", "linewidth": 1.4}),
    "sum": ("plain sum", {"color": COLOURS["inflated_1"], "linestyle": "--", "linewidth": 1.2}),
    "bootstrap": ("fails after the cut", {"color": COLOURS["learned"], "linestyle": ":", "linewidth": 1.6}),
}

# Bars of the histograms.
BARS = 30


def dataset_figure(
    card: Mapping[str, Any],
    returns: np.ndarray,
    lengths: np.ndarray,
    terminated: np.ndarray,
    floors: Mapping[str, np.ndarray],
) -> Drawing:
    """Histograms of returns and lengths [E], apart for episodes that ended and those cut off, and of floors [N].

    Floors are drawn as the share of transitions whose floor lies below a value.
    """
    numbers = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 1.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        numbers += _histogram(left, "return", returns, terminated)
        numbers += _histogram(middle, "length", lengths, terminated)
        left.set(xlabel="Return of an episode", ylabel="Episodes")
        middle.set(xlabel="Steps of an episode")
        for rule, floor in floors.items():
            name, look = RULES[rule]
            shares = np.linspace(0.0, 1.0, 201)
            values = np.quantile(floor, shares)
            right.plot(values, shares, label=name, **look)
            numbers += [("floor", rule, value, share) for value, share in zip(values, shares, strict=True)]
        right.set(xlabel="Floor of a transition", ylabel="Transitions below", ylim=(-0.02, 1.02))
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        left.legend(loc="best", handlelength=1.0)
        right.legend(loc="best", handlelength=1.8)
    caption = (
        f"{card['task']}: {card['episodes']:,} episodes of {card['id']} with {card['transitions']:,} transitions "
        f"(content {card['content_hash'][:12]}). Left and middle: returns (undiscounted sums of mapped rewards) and "
        "lengths of the episodes that ended by themselves and of those that were cut off. Right: distribution of the "
        "Monte Carlo floor by the rule for cut-off episodes. " + " ".join(f"{line}." for line in card["repairs"])
    )
    frame = pd.DataFrame(numbers, columns=["quantity", "group", "value", "count_or_share"])
    return Drawing(f"returns-and-floors-{card['task']}", f"Dataset of {card['task']}", figure, frame, caption.strip())


def _histogram(panel: Axes, quantity: str, values: np.ndarray, terminated: np.ndarray) -> list[tuple]:
    """Stacked bars: below, the episodes that ended by themselves."""
    edges = np.histogram_bin_edges(values, bins=BARS)
    groups = {"ended": values[terminated], "cut off": values[~terminated]}
    colours = (COLOURS["monte_carlo"], FAINT)
    panel.hist(
        list(groups.values()), bins=list(edges), stacked=True, color=colours, edgecolor=INK, linewidth=0.3,
        label=list(groups),
    )  # fmt: skip
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return [
        (quantity, group, float(edge), float(np.histogram(own, edges)[0][place]))
        for group, own in groups.items()
        for place, edge in enumerate(edges[:-1])
    ]


def dataset_table(card: Mapping[str, Any]) -> Table:
    """The spread of lengths, returns and floors, one row each."""
    spreads = {"Episode length": card["episode_length"], "Episode return": card["episode_return"]}
    spreads |= {f"Floor, {RULES[rule][0]}": spread for rule, spread in card["floors"].items()}
    numbers = pd.DataFrame([{"task": card["task"], "quantity": name, **own} for name, own in spreads.items()])
    headings = {"mean": "Mean", "sd": "SD", "min": "Min", "max": "Max"}
    text = pd.DataFrame([
        {"Task": card["task"], "Quantity": name}
        | {headings.get(key, f"{key[1:].lstrip('0')} %"): f"{value:.4g}" for key, value in own.items()}
        for name, own in spreads.items()
    ])  # fmt: skip
    success = "" if card["success_share"] is None else f"{card['success_share']:.1%} of them succeed, "
    notes = (
        f"{card['episodes']:,} episodes of {card['id']}, {success}{card['truncated_share']:.1%} are cut off; "
        f"{card['transitions']:,} transitions. Rewards are mapped; content {card['content_hash']}.",
        *card["repairs"],
    )
    return Table(f"dataset-{card['task']}", f"Dataset of {card['task']}", numbers, text, notes)
