"""A forest plot over all tasks: what every arm changes against the Monte Carlo floor."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.drawing import Drawing
from results.statistics.estimate import CONFIDENCE
from results.style import FAINT, INK, PAGE, SHADE, STYLE, colours, in_order, label
from results.tables.effects import ALPHA, CENTRE, Effect, effects_table

# The quantities shown, and what a panel says of them.
PANELS = {
    "q_policy": "Q of the policy\n(of the returns' range)",
    "bound_rate": "Bound rate\n(share of actions)",
    "offline_score": "Score, offline end\n(right is better)",
    "regret_eval": "regret_eval\n(left is better)",
}


def effects_figure(found: Sequence[Effect]) -> Drawing | None:
    """Mean over tasks with interval, a row per arm, a panel per quantity, and a dot per task; None without several.

    The figure's numbers are those of the quantities shown, as `effects_table` has them.
    """
    table = effects_table(found)
    if table is None:
        return None
    numbers = table.numbers[table.numbers["quantity"].isin(PANELS)].reset_index(drop=True)
    arms = in_order(effect.arm for effect in found if effect.task == "")
    colour = colours(arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 0.9 + 0.2 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for panel, (quantity, title) in zip(panels, PANELS.items(), strict=True):
            panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
            for place in range(1, len(arms), 2):
                panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.6, linewidth=0, zorder=0)
            for effect in found:
                if effect.quantity == quantity and effect.arm in colour:
                    _mark(panel, effect, arms.index(effect.arm), colour[effect.arm])
            panel.set(title=title, ylim=(len(arms) - 0.5, -0.5))
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(arms)), [label(arm) for arm in arms])
        for panel in panels:
            panel.locator_params(axis="x", nbins=4)
        title = f"Difference to {label(CENTRE)}, within seed"
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, title=title)
    tasks = list(dict.fromkeys(effect.task for effect in found if effect.task))
    caption = (
        f"Every arm minus {label(CENTRE)}, within seed: mean over tasks with {CONFIDENCE:.0%} stratified bootstrap "
        f"interval, and a small dot per task, filled where the difference is found (p < {ALPHA}, exact sign flips, "
        f"adjusted for the arms of the task after Holm). n = {pairs_per_task(found)} pairs of runs per task and "
        f"arm; tasks: {', '.join(tasks)}."
    )
    return Drawing("effects", f"What changes against {label(CENTRE)}", figure, numbers, caption)


def pairs_per_task(found: Sequence[Effect]) -> str:
    """How many pairs of runs a task and arm have: "10", or "6 to 10"."""
    pairs = sorted({effect.estimate.n for effect in found if effect.task})
    return f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"


def _mark(panel: Axes, effect: Effect, row: int, colour: str) -> None:
    """A dot for one task, or mean and interval of all."""
    estimate = effect.estimate
    if effect.task:
        face = colour if effect.direction else "none"
        panel.plot(estimate.mean, row + 0.22, "o", color=colour, markerfacecolor=face, markersize=2.4,
                   markeredgewidth=0.5, zorder=2)  # fmt: skip
        return
    panel.plot([estimate.low, estimate.high], [row - 0.12] * 2, color=colour, linewidth=1.3, zorder=3)
    panel.plot(estimate.mean, row - 0.12, "o", color=colour, markersize=4, zorder=4)


def _legend() -> list[Line2D]:
    """What the marks are."""
    return [
        Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.3, label="mean over tasks"),
        Line2D([], [], color=FAINT, marker="o", markersize=2.4, linewidth=0, label="a task, difference found"),
        Line2D([], [], color=FAINT, marker="o", markersize=2.4, linewidth=0, markerfacecolor="none",
               markeredgewidth=0.5, label="a task, none found"),
    ]  # fmt: skip
