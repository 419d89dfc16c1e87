"""The figures of the exact lab: one function per figure, from a frame of exact numbers to a drawing.

`frame.attrs["problem"]` may describe the problem in one or two sentences, which are appended to the caption.
"""

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.drawing import (
    BROAD,
    DASHED,
    DOTTED,
    LINE,
    MINUS,
    Drawing,
    legend_above,
    name_x,
    panels_in_rows,
    with_problem,
)
from results.style import BLUE, FAINT, INK, ORANGE, STYLE, drawing_style, in_order, label

# The tutorial's example: its floor, and its two Q-values with the fill colour of their dots.
FLOOR = -10.0
EXAMPLES = {-7: INK, -35: "#ffffff"}


def max_operation(frame: pd.DataFrame) -> Drawing:
    """Plot the gradient of the push-down against Q, without a floor, with an exact and with a Monte Carlo floor.

    Columns: form ("expectation", "soft maximum"), floor ("none", "exact", "Monte Carlo"), value (Q of the action),
    gradient (of the regulariser's push-down term).
    """
    forms = list(frame["form"].drop_duplicates())
    line_styles = {"none": {"color": ORANGE, **BROAD}, "exact": {"color": INK, **LINE},
             "Monte Carlo": {"color": BLUE, **LINE, "linewidth": 1.1, "zorder": 4}}  # fmt: skip
    names = {"none": "no floor (CQL)", "exact": "exact floor", "Monte Carlo": "Monte Carlo floor"}
    with drawing_style():
        figure, panels = panels_in_rows(len(forms), height=2.1, sharey=True)
        for form, panel in zip(forms, panels, strict=True):
            of_form = frame[frame["form"] == form]
            for floor, line_style in line_styles.items():
                line = of_form[of_form["floor"] == floor].sort_values("value")
                panel.plot(line["value"], line["gradient"], label=names[floor], **line_style)
            panel.axvline(FLOOR, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
            exact = of_form[of_form["floor"] == "exact"].reset_index(drop=True)
            for example, face in EXAMPLES.items():
                at = exact.loc[(exact["value"] - example).abs().idxmin()]
                panel.plot(at["value"], at["gradient"], "o", label=f"Q = {example}".replace("-", MINUS), color=INK,
                           markerfacecolor=face, markersize=4.5, zorder=5)  # fmt: skip
            panel.set(title=form.capitalize(), xlabel="$Q(s, a)$ (return)")
        panels[0].set_ylabel("d push-down / d$Q$ (no unit)")
        legend_above(figure, panels[0])
    caption = (
        "Gradient of the regulariser's push-down term with respect to one action's value; above 0 it pushes the value "
        "down. Exact: automatic differentiation of the training loss. "
        f"Vertical dashed line: the floor at {FLOOR:g}; dots: the tutorial's two values with an exact floor."
    )
    return Drawing("max_operation", "The max operation's gradient", figure, frame, with_problem(frame, caption))


def unlearning(frame: pd.DataFrame) -> Drawing:
    """Plot Q of the good and of the tried action after the switch, and the true value of the greedy action.

    Columns: algorithm, time (full backups), good, tried (Q values), policy_value (true value of the greedy action).
    """
    algorithms = list(frame["algorithm"].drop_duplicates())
    line_styles = dict(zip(algorithms, ({"color": ORANGE, **LINE}, {"color": BLUE, **DASHED}), strict=True))
    with drawing_style():
        figure, panels = panels_in_rows(len(algorithms) + 1, height=2.1)
        for algorithm, panel in zip(algorithms, panels, strict=False):
            line = frame[frame["algorithm"] == algorithm].sort_values("time")
            colour = line_styles[algorithm]["color"]
            panel.plot(line["time"], line["good"], color=colour, label="good action", **LINE)
            panel.plot(line["time"], line["tried"], color=colour, label="tried action", **DOTTED)
            panel.set(title=algorithm, ylabel="Q (return)" if panel is panels[0] else "")
            panel.title.set_color(colour)
            panel.legend()
        for algorithm, line_style in line_styles.items():
            line = frame[frame["algorithm"] == algorithm].sort_values("time")
            panels[-1].step(line["time"], line["policy_value"], where="post", label=algorithm, **line_style)
        panels[-1].set(title="Greedy action", ylabel="True value (return)")
        panels[-1].legend()
        for panel in panels[1:-1]:
            panel.sharey(panels[0])
        for panel in panels:
            panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            panel.margins(x=0.02)
        name_x(figure, "Learning after the switch (full backups)")
    caption = (
        "Q of the good action of the offline phase and of a worse one that is tried online, and the true value of the "
        "action that is greedy in Q. Values and gradients are exact: tabular, full batch, no sampling."
    )
    return Drawing("unlearning", "Unlearning after the switch", figure, frame, with_problem(frame, caption))


def switch_data(frame: pd.DataFrame) -> Drawing:
    """Plot the time of unlearning against the share of offline data online: a panel per algorithm, a line per weight.

    Columns: algorithm, alpha, regulariser ("on", "off" online), share, wrong_time, threshold (share of offline data
    above which CQL's fixed point prefers the good action).
    """
    algorithms, alphas = list(frame["algorithm"].drop_duplicates()), sorted(frame["alpha"].drop_duplicates())
    with drawing_style():
        figure, panels = panels_in_rows(len(algorithms), height=2.2, sharey=True)
        for algorithm, panel in zip(algorithms, panels, strict=True):
            of_algorithm = frame[frame["algorithm"] == algorithm].sort_values("share")
            for place, alpha in enumerate(alphas):
                line = of_algorithm[of_algorithm["alpha"] == alpha]
                colour = mpl.colors.to_hex(mpl.colormaps["viridis"](0.85 - 0.7 * place / max(len(alphas) - 1, 1)))
                on = line[line["regulariser"] == "on"]
                panel.plot(on["share"], on["wrong_time"], "o-", color=colour, markersize=3, label=f"alpha {alpha:g}",
                           linewidth=1.3, zorder=3)  # fmt: skip
                if algorithm == "CQL":
                    panel.axvline(on["threshold"].iloc[0], color=colour, linewidth=0.9, linestyle=(0, (1, 1.3)))
            off = of_algorithm[of_algorithm["regulariser"] == "off"].groupby("share")["wrong_time"].max()
            panel.plot(off.index, off, color=INK, label="regulariser off, any alpha", **DASHED)
            panel.set(title=algorithm, xlabel="Share of offline data online")
            panel.margins(x=0.02)
        panels[0].set_ylabel("Time of unlearning (backups)")
        legend_above(figure, panels[0])
    caption = (
        f"Time after the switch, of {frame['wrong_time'].max():.0f} full backups, in which the worse action that is "
        "tried online has the larger Q, from a fixed point of offline learning. Dotted: the share of offline data from "
        "which on CQL's fixed point online prefers the good action, in closed form. Values and gradients are exact."
    )
    return Drawing(
        "switch_data", "Unlearning by the share of offline data", figure, frame, with_problem(frame, caption)
    )


def switch_scale(frame: pd.DataFrame) -> Drawing:
    """Plot the time of unlearning against the shift of the critics at the switch, a panel per share of offline data.

    Columns: algorithm, regulariser ("on", "decayed", "off" online), share, shift, wrong_time.
    """
    shares = sorted(frame["share"].drop_duplicates())
    line_styles = {"CQL": LINE, "Cal-QL": DASHED}
    colour = {"on": ORANGE, "decayed": BLUE, "off": INK}
    with drawing_style():
        figure, panels = panels_in_rows(len(shares), height=2.1, sharey=True)
        for share, panel in zip(shares, panels, strict=True):
            for (algorithm, regulariser), line in frame[frame["share"] == share].groupby(
                ["algorithm", "regulariser"], sort=False
            ):
                line = line.sort_values("shift")
                panel.plot(line["shift"], line["wrong_time"], color=colour[str(regulariser)],
                           **line_styles[str(algorithm)])  # fmt: skip
            panel.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
            panel.set(title=f"{share:.0%} offline data")
            panel.margins(x=0.02)
        panels[0].set_ylabel("Time of unlearning (backups)")
        name_x(figure, "Shift of the critics at the switch (return)")
        entries = [
            *(Line2D([], [], color=colour[name], linewidth=1.4, label=f"regulariser {name}") for name in colour),
            *(Line2D([], [], color=FAINT, label=name, **style) for name, style in line_styles.items()),
        ]
        figure.legend(handles=entries, loc="outside upper center", ncols=len(entries))
    caption = (
        f"Time after the switch, of {frame['wrong_time'].max():.0f} full backups, in which the worse action that is "
        "tried online has the larger Q, by a shift of all values at the switch. A decayed regulariser is off after "
        "half of the time. Values and gradients are exact."
    )
    return Drawing("switch_scale", "Unlearning by the scale at the switch", figure, frame, with_problem(frame, caption))


def regret_split(frame: pd.DataFrame) -> Drawing:
    """Plot cumulative regret over policy iterations and its two parts, a panel per arm.

    Columns: arm, iteration, miscalibration, overestimation (cumulative sums). Numbers: the same and regret, their sum.
    """
    numbers = frame.assign(regret=frame["miscalibration"] + frame["overestimation"])
    arms = in_order(frame["arm"])
    lines = {
        "regret": ("regret (sum)", {"color": FAINT, **BROAD}),
        "miscalibration": (r"miscalibration, $V^* - \max Q$", {"color": BLUE, **LINE}),
        "overestimation": (r"over-estimation, $\max Q - V_\pi$", {"color": ORANGE, **DASHED}),
    }
    with drawing_style():
        figure, panels = panels_in_rows(len(arms), height=1.9, sharey=True)
        for arm, panel in zip(arms, panels, strict=True):
            line = numbers[numbers["arm"] == arm].sort_values("iteration")
            panel.axhline(0, color=INK, linewidth=0.5, zorder=0)
            for column, (name, line_style) in lines.items():
                panel.plot(line["iteration"], line[column], label=name, **line_style)
            panel.set_title(label(arm))
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
        name_x(figure, "Iteration")
        figure.supylabel("Cumulative regret (return)", fontsize=STYLE["axes.labelsize"])
        legend_above(figure, panels[0])
    caption = (
        "Regret summed over iterations, and its exact decomposition into two parts: miscalibration (V* - max Q, below "
        "0 where values are too high) and over-estimation (max Q - V_pi, below 0 where values are too low). V*, V_pi "
        "and Q are exact."
    )
    return Drawing("regret_split", "Decomposition of regret", figure, numbers, with_problem(frame, caption))
