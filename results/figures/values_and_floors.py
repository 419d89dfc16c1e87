"""The critics' values over training."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.captions import BAND, counts, finished_of, window
from results.figures.curves import curves, finish_curves, mean, mean_with_band, seeds, small_multiples
from results.figures.drawing import Drawing, Look
from results.figures.traces import left_out
from results.style import FAINT, INK, STYLE, colours, in_order, label

# The lines beside Q(s, pi(s)) in the figure of values. The return-to-go lies broad under all others, so that a floor
# that equals it is seen as such.
Q_DATA: Look = {"linestyle": ":", "linewidth": 1.2, "zorder": 4}
REFERENCES: dict[str, Look] = {
    "floor_mean": {"color": INK, "linestyle": "--", "linewidth": 0.9, "zorder": 4},
    "return_to_go": {"color": FAINT, "linestyle": "-", "linewidth": 2.6, "zorder": 1},
}


def values_and_floors(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """The critics' values over training against floor and return-to-go, one figure per task and one panel per arm."""
    drawings = []
    for task, of_task in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        numbers = curves(of_task, ["q_policy", "q_data", "floor_mean", "return_to_go"])
        arms = in_order(of_task["arm"])
        colour = colours(arms)
        with mpl.rc_context(STYLE):
            figure, panels = small_multiples(len(arms), legend=True)
            for arm, panel in zip(arms, panels, strict=True):
                own = numbers[numbers["arm"] == arm]
                policy, means = own[own["quantity"] == "q_policy"], own[own["seed"].isna()]
                seeds(panel, policy, colour[arm])
                for quantity, look in {"q_data": {**Q_DATA, "color": colour[arm]}, **REFERENCES}.items():
                    mean(panel, means[means["quantity"] == quantity], **look)
                mean_with_band(panel, policy[policy["seed"].isna()], colour[arm])
                panel.set_title(label(arm))
            finish_curves(figure, finished, "Value (mapped return)")
            _value_legend(figure)
        caption = (
            f"Values of the two critics on {task}, mean over probe transitions of the dataset, against the floor and "
            f"the return-to-go of the same transitions. Solid: Q(s, pi(s)), with {BAND} and every seed thin; dotted: "
            "Q(s, a) of the dataset's actions; black dashed: mean floor (absent where there is none); broad grey: mean "
            "return-to-go. Dashed upright: the switch to the online phase; shaded: the "
            f"{window(finished):,.0f} steps over which the dip is measured. {counts(finished)}"
            f"{left_out(of_task)}"
        )
        drawings.append(Drawing(f"values_and_floors_{task}", f"Q against the floor, {task}", figure, numbers, caption))
    return drawings


def _value_legend(figure: Figure) -> None:
    entries = {
        "Q(s, pi(s))": Line2D([], [], color=INK, linewidth=1.5),
        "Q(s, a), dataset": Line2D([], [], color=INK, **Q_DATA),
        "mean floor": Line2D([], [], **REFERENCES["floor_mean"]),
        "mean return-to-go": Line2D([], [], **REFERENCES["return_to_go"]),
    }
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4)
