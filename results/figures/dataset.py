"""The dataset card as a figure and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from results.figures.drawing import Drawing
from results.style import ACCENT, BLUE, FAINT, GREEN, INK, PAGE, drawing_style
from results.tables import Table

# Labels and line styles of the rules of `floor.truncation`.
RULES = {
    "failure_rule": ("failure rule", {"color": BLUE, "linestyle": "-", "linewidth": 1.4}),
    "sum": ("plain sum", {"color": ACCENT, "linestyle": "--", "linewidth": 1.2}),
    "bootstrap": ("fails after the cut", {"color": GREEN, "linestyle": ":", "linewidth": 1.6}),
}

# Number of bins of the histograms.
BARS = 30


def dataset_figure(
    card: Mapping[str, Any],
    returns: np.ndarray,
    lengths: np.ndarray,
    terminated: np.ndarray,
    floors: Mapping[str, np.ndarray],
) -> Drawing:
    """Plot histograms of returns and lengths [E] by how episodes ended, and the distribution of floors [N].

    The distribution is the share of transitions whose floor lies below a value.
    """
    numbers = []
    with drawing_style():
        figure = Figure(figsize=(PAGE, 1.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        numbers += _histogram(left, "return", returns, terminated)
        numbers += _histogram(middle, "length", lengths, terminated)
        left.set(xlabel="Episode return", ylabel="Episodes")
        middle.set(xlabel="Episode length (steps)")
        for rule, floor in floors.items():
            name, line_style = RULES[rule]
            shares = np.linspace(0.0, 1.0, 201)
            values = np.quantile(floor, shares)
            right.plot(values, shares, label=name, **line_style)
            numbers += [("floor", rule, value, share) for value, share in zip(values, shares, strict=True)]
        right.set(xlabel="Floor (mapped return)", ylabel="Share of transitions below", ylim=(-0.02, 1.02))
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        left.legend(loc="best", handlelength=1.0)
        right.legend(loc="best", handlelength=1.8)
    caption = (
        f"{card['task']}: {card['episodes']:,} episodes of {card['id']} with {card['transitions']:,} transitions "
        f"(content {card['content_hash'][:12]}). Left and middle: returns (undiscounted sums of mapped rewards) and "
        "lengths of the episodes that terminated and of those that were truncated. Right: distribution of the "
        "Monte Carlo floor by the rule for truncated episodes. " + " ".join(f"{line}." for line in card["repairs"])
    )
    frame = pd.DataFrame(numbers, columns=["quantity", "group", "value", "count_or_share"])
    return Drawing(f"returns-and-floors-{card['task']}", f"Dataset of {card['task']}", figure, frame, caption.strip())


def _histogram(panel: Axes, quantity: str, values: np.ndarray, terminated: np.ndarray) -> list[tuple]:
    """Plot stacked bars: terminated episodes below, truncated ones on top."""
    edges = np.histogram_bin_edges(values, bins=BARS)
    groups = {"terminated": values[terminated], "truncated": values[~terminated]}
    colours = (BLUE, FAINT)
    panel.hist(
        list(groups.values()), bins=list(edges), stacked=True, color=colours, edgecolor=INK, linewidth=0.3,
        label=list(groups),
    )  # fmt: skip
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return [
        (quantity, group, float(edge), float(np.histogram(group_values, edges)[0][place]))
        for group, group_values in groups.items()
        for place, edge in enumerate(edges[:-1])
    ]


def dataset_table(card: Mapping[str, Any]) -> Table:
    """A row of summary statistics each for lengths, returns and floors."""
    spreads = {"Episode length": card["episode_length"], "Episode return": card["episode_return"]}
    spreads |= {f"Floor, {RULES[rule][0]}": spread for rule, spread in card["floors"].items()}
    numbers = pd.DataFrame(
        [{"task": card["task"], "quantity": name, **statistics} for name, statistics in spreads.items()]
    )
    headings = {"mean": "Mean", "sd": "SD", "min": "Min", "max": "Max"}
    text = pd.DataFrame([
        {"Task": card["task"], "Quantity": name}
        | {headings.get(key, f"{key[1:].lstrip('0')} %"): f"{value:.4g}" for key, value in statistics.items()}
        for name, statistics in spreads.items()
    ])  # fmt: skip
    success = "" if card["success_share"] is None else f"{card['success_share']:.1%} successful, "
    notes = (
        f"{card['episodes']:,} episodes of {card['id']}, {success}{card['truncated_share']:.1%} truncated; "
        f"{card['transitions']:,} transitions. Rewards are mapped; content {card['content_hash']}.",
        *card["repairs"],
    )
    return Table(f"dataset-{card['task']}", f"Dataset of {card['task']}", numbers, text, notes)
