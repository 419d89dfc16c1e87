"""Rows of estimates: a bar for each interval, a tick for each mean, arms in groups."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.style import FAINT, INK, PAGE, grouped, in_order, label, short

# Space between groups, in rows, and the height of a bar.
GAP, BAR = 0.5, 0.5

# Characters of a label from which on labels are shortened, and panels have room for fewer ticks.
LONG_LABEL = 40


def places_of(arms: Iterable[str]) -> dict[str, float]:
    """The height of every arm's row, with gaps between groups; small groups of one arm have none."""
    places: dict[str, float] = {}
    height = 0.0
    for names in grouped(in_order(arms)).values():
        for arm in names:
            places[arm] = height
            height += 1.0
        height += GAP
    return places


def has_long_labels(arms: Iterable[str]) -> bool:
    """Whether any label of the arms is so long that it leaves panels little room."""
    return any(len(label(arm)) >= LONG_LABEL for arm in arms)


def forest(
    places: dict[str, float], columns: int, width: float = PAGE, extra: float = 0.9
) -> tuple[Figure, list[Axes]]:
    """Create a figure with a panel per column and a row per arm, labelled at the left."""
    rows = max(places.values()) + 1
    figure = Figure(figsize=(width, extra + 0.19 * rows), layout="constrained")
    panels = list(figure.subplots(1, columns, sharey=True, squeeze=False)[0])
    for panel in panels:
        # Bars keep a margin to the ends of the axis.
        panel.use_sticky_edges = False
        panel.set_ylim(rows - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        for place in places.values():
            panel.axhline(place, color=FAINT, linewidth=0.3, zorder=0)
    text = short if has_long_labels(places) else label
    panels[0].set_yticks(list(places.values()), [text(arm) for arm in places])
    return figure, panels


def estimate(panel: Axes, place: float, mean: float, low: float, high: float, colour: str, height: float = BAR) -> None:
    """Plot an interval as a bar and its mean as a tick over it, which stays visible however narrow the interval."""
    if low == low:
        panel.barh(place, high - low, height, left=low, color=colour, alpha=0.55, linewidth=0, zorder=3)
    panel.vlines(mean, place - height / 2, place + height / 2, color=colour, linewidth=1.6, zorder=4)


def not_applicable(panel: Axes, place: float) -> None:
    """Mark a row without an estimate."""
    panel.text(0.98, place, "n/a", transform=panel.get_yaxis_transform(), ha="right", va="center", fontsize=6.5,
               color=INK, alpha=0.6)  # fmt: skip
