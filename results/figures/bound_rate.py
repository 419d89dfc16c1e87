"""How often the floor binds, over training."""

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from results.figures.captions import BAND, counts, finished_of
from results.figures.curves import curves, finish_curves, mean_with_band, seeds, small_multiples
from results.figures.drawing import Drawing
from results.figures.traces import left_out
from results.style import STYLE, colours, in_order, label

# Share of the sampled actions of pi(.|s) below the floor, mean over the updates since the last evaluation.
RATE = "bound_rate_current"


def bound_rate(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """The bound rate of every arm that has a floor, one figure per task. Numbers: as `curves` gives them."""
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        # Without a floor nothing is ever bound, and before the first update nothing is counted.
        numbers = curves(rows[rows["floor_mean"].notna()], [RATE])
        if numbers.empty:
            continue
        arms = in_order(numbers["arm"])
        colour = colours(in_order(rows["arm"]))
        finished = finished_of(runs, task)
        with mpl.rc_context(STYLE):
            figure, (panel,) = small_multiples(1, legend=True)
            figure.set_size_inches(figure.get_figwidth(), 2.1 + 0.15 * len(arms))
            for arm in arms:
                own = numbers[numbers["arm"] == arm]
                seeds(panel, own, colour[arm])
                mean_with_band(panel, own[own["seed"].isna()], colour[arm])
            finish_curves(figure, finished, "Bound rate")
            panel.set_ylim(-0.03, 1.03)
            entries = [Line2D([], [], color=colour[arm], linewidth=1.5, label=label(arm)) for arm in arms]
            figure.legend(handles=entries, loc="outside upper left", ncols=2 if len(arms) > 2 else 1)
        caption = (
            f"Share of the sampled actions of the policy whose value lies below the floor, on {task}: where it "
            "does, the push-down rests. Mean over the updates since the evaluation before; thick: mean over seeds, "
            f"band: {BAND}, thin: every seed. CQL has no floor. {counts(finished[finished['arm'].isin(arms)])}"
            f"{left_out(rows)}"
        )
        drawings.append(Drawing(f"bound_rate_{task}", f"Bound rate, {task}", figure, numbers, caption))
    return drawings
