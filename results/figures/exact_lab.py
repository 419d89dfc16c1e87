"""The figures of the exact lab: one function per figure, from a frame of exact numbers to a drawing.

`frame.attrs["problem"]` may describe the problem in one or two sentences, which are appended to the caption.
"""

from math import ceil

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from results.figures.drawing import Drawing, Look
from results.style import BLUE, COLUMN, FAINT, GREEN, INK, ORANGE, PAGE, SHADE, STYLE, drawing_style, in_order, label

# The tutorial's example: its floor, and its two Q-values with the fill colour of their dots.
FLOOR = -10.0
EXAMPLES = {-7: INK, -35: "#ffffff"}

# Tolerance of the solvers; smaller differences count as zero.
TOLERANCE = 1e-6

MINUS = "\N{MINUS SIGN}"


# Drawn below the other lines, so that a line equal to it stays visible.
BROAD: Look = {"linewidth": 2.8, "zorder": 1}
LINE: Look = {"linewidth": 1.4, "zorder": 3}
DASHED: Look = {"linewidth": 1.4, "linestyle": (0, (4, 1.6)), "zorder": 4}
DOTTED: Look = {"linewidth": 1.4, "linestyle": (0, (1, 1.3)), "zorder": 4}


def max_operation(frame: pd.DataFrame) -> Drawing:
    """Plot the gradient of the push-down against Q, without a floor, with an exact and with a Monte Carlo floor.

    Columns: form ("expectation", "soft maximum"), floor ("none", "exact", "Monte Carlo"), value (Q of the action),
    slope (of the regulariser's push-down term).
    """
    forms = list(frame["form"].drop_duplicates())
    line_styles = {"none": {"color": ORANGE, **BROAD}, "exact": {"color": INK, **LINE},
             "Monte Carlo": {"color": BLUE, **LINE, "linewidth": 1.1, "zorder": 4}}  # fmt: skip
    names = {"none": "no floor (CQL)", "exact": "exact floor", "Monte Carlo": "Monte Carlo floor"}
    with drawing_style():
        figure, panels = _panels(len(forms), height=2.1, sharey=True)
        for form, panel in zip(forms, panels, strict=True):
            of_form = frame[frame["form"] == form]
            for floor, line_style in line_styles.items():
                line = of_form[of_form["floor"] == floor].sort_values("value")
                panel.plot(line["value"], line["slope"], label=names[floor], **line_style)
            panel.axvline(FLOOR, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
            exact = of_form[of_form["floor"] == "exact"].reset_index(drop=True)
            for example, face in EXAMPLES.items():
                at = exact.loc[(exact["value"] - example).abs().idxmin()]
                panel.plot(at["value"], at["slope"], "o", label=f"Q = {example}".replace("-", MINUS), color=INK,
                           markerfacecolor=face, markersize=4.5, zorder=5)  # fmt: skip
            panel.set(title=form.capitalize(), xlabel="$Q(s, a)$ (return)")
        panels[0].set_ylabel("d push-down / d$Q$ (no unit)")
        _legend(figure, panels[0])
    caption = (
        "Gradient of the regulariser's push-down term with respect to one action's value; above 0 it pushes the value "
        "down. Exact: automatic differentiation of the training loss. "
        f"Vertical dashed line: the floor at {FLOOR:g}; dots: the tutorial's two values with an exact floor."
    )
    return Drawing("max_operation", "The max operation's gradient", figure, frame, _caption(frame, caption))


def floor_dose(frame: pd.DataFrame) -> Drawing:
    """Plot the converged E_pi Q against the dose in one state, and the share of states with over-estimation.

    Columns: dose, state, value (E_pi Q), floor, policy_value, behaviour_value, stopping_value; problem, if states
    of several problems share names. Numbers: the same, and per dose the shares infeasible (floor above V_pi) and
    over_estimated (value above V_pi) over all states.
    """
    numbers = frame.assign(
        infeasible=(frame["floor"] > frame["policy_value"] + TOLERANCE).groupby(frame["dose"]).transform("mean"),
        over_estimated=(frame["value"] > frame["policy_value"] + TOLERANCE).groupby(frame["dose"]).transform("mean"),
    )
    names = frame[[column for column in ("problem", "state") if column in frame]]
    state = frame["state"].iloc[0]
    state_rows = numbers[(names == names.iloc[0]).all(axis="columns")].sort_values("dose")
    shares = numbers.drop_duplicates("dose").sort_values("dose")
    lines = {
        "value": (r"$E_\pi Q$", {"color": BLUE, **BROAD, "zorder": 3}),
        "floor": ("floor", {"color": INK, **DASHED}),
        "stopping_value": ("stopping value", {"color": GREEN, **DOTTED}),
        "policy_value": (r"$V_\pi$", {"color": ORANGE, **LINE, "zorder": 2}),
        "behaviour_value": (r"$V_\mu$", {"color": FAINT, **BROAD}),
    }
    with drawing_style():
        figure, (left, right) = _panels(2, height=2.2)
        for column, (name, line_style) in lines.items():
            left.plot(state_rows["dose"], state_rows[column], label=name, **line_style)
        infeasible = state_rows[state_rows["floor"] > state_rows["policy_value"] + TOLERANCE]
        if len(infeasible):
            left.axvspan(infeasible["dose"].min(), state_rows["dose"].max(), color=SHADE, linewidth=0, zorder=0)
        left.set(ylabel=f"Value in state {state} (return)")
        right.plot(shares["dose"], shares["infeasible"], label=r"infeasible: floor > $V_\pi$", color=INK, **DASHED)
        right.plot(
            shares["dose"], shares["over_estimated"], label=r"over-estimated: $E_\pi Q$ > $V_\pi$", color=BLUE, **BROAD
        )
        right.set(ylabel="Share of states", ylim=(-0.03, 1.03))
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        for panel, columns in ((left, 3), (right, 1)):
            panel.set_xlabel(r"Dose of inflation (share of the range of $V_\mu$)")
            panel.margins(x=0)
            panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    caption = (
        f"Converged E_pi Q against the dose of inflation. Left: state {state} with the exact values of the policy "
        "(V_pi) and of the behaviour policy (V_mu), the floor, and the value of following the policy with the option "
        "to stop and receive the floor; shaded: doses at which the floor lies above V_pi. Right: share of the "
        f"{len(names.drop_duplicates())} states in which the floor, and in which E_pi Q, lies above V_pi by more than "
        f"{TOLERANCE:g}. All values exact, by linear solves."
    )
    return Drawing("floor_dose", "Value against the dose of inflation", figure, numbers, _caption(frame, caption))


def monte_carlo_bias(frame: pd.DataFrame) -> Drawing:
    """Plot the bias of a Monte Carlo floor in the loss and in the converged value by the deviation of the return.

    Columns: deviation (standard deviation of the return), ratio (pi / beta), loss_bias, value_shift.
    """
    loss = frame.drop_duplicates("deviation").sort_values("deviation")
    with drawing_style():
        figure, (left, right) = _panels(2, height=2.2)
        left.plot(loss["deviation"], loss["deviation"] / 2, label="bound: deviation / 2", color=INK, **DASHED)
        left.plot(loss["deviation"], loss["loss_bias"], label=f"E max(q, G) {MINUS} max(q, E G)", color=BLUE, **LINE)
        left.set(ylabel="Bias of the loss at q = E G (return)")
        ratios = sorted(frame["ratio"].drop_duplicates())
        for place, ratio in enumerate(ratios):
            line = frame[frame["ratio"] == ratio].sort_values("deviation")
            colour = mpl.colors.to_hex(mpl.colormaps["viridis"](0.25 + 0.5 * place / max(len(ratios) - 1, 1)))
            right.plot(line["deviation"], line["value_shift"], color=colour, label=f"{ratio:g}", **LINE)
        right.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        right.set(ylabel=r"Converged Q $-$ $V_\mu$ (return)")
        right.legend(title=r"$\pi(a|s)$ / $\beta(a|s)$", title_fontsize=STYLE["legend.fontsize"], reverse=True)
        left.legend()
        for panel in (left, right):
            panel.set_xlabel("Standard deviation of $G$ (return)")
            panel.margins(x=0)
    caption = (
        "A Monte Carlo floor is a random return G instead of its mean. Left: the resulting bias of the floored value "
        "at q = E G, the worst case, and the bound that holds for every distribution. Right: the resulting difference "
        "of the converged value to V_mu, by the ratio of the policy's and the data's probability of the action. "
        "Expectations over the exact distribution of the return."
    )
    return Drawing("monte_carlo_bias", "The bias of a Monte Carlo floor", figure, frame, _caption(frame, caption))


def unlearning(frame: pd.DataFrame) -> Drawing:
    """Plot Q of the good and of the tried action after the switch, and the true value of the greedy action.

    Columns: algorithm, time (full backups), good, tried (Q values), policy_value (true value of the greedy action).
    """
    algorithms = list(frame["algorithm"].drop_duplicates())
    line_styles = dict(zip(algorithms, ({"color": ORANGE, **LINE}, {"color": BLUE, **DASHED}), strict=True))
    with drawing_style():
        figure, panels = _panels(len(algorithms) + 1, height=2.1)
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
        _name_x(figure, "Learning after the switch (full backups)")
    caption = (
        "Q of the good action of the offline phase and of a worse one that is tried online, and the true value of the "
        "action that is greedy in Q. Values and gradients are exact: tabular, full batch, no sampling."
    )
    return Drawing("unlearning", "Unlearning after the switch", figure, frame, _caption(frame, caption))


def switch_data(frame: pd.DataFrame) -> Drawing:
    """Plot the time of unlearning against the share of offline data online: a panel per algorithm, a line per weight.

    Columns: algorithm, alpha, regulariser ("on", "off" online), share, wrong_time, threshold (share of offline data
    above which CQL's fixed point prefers the good action).
    """
    algorithms, alphas = list(frame["algorithm"].drop_duplicates()), sorted(frame["alpha"].drop_duplicates())
    with drawing_style():
        figure, panels = _panels(len(algorithms), height=2.2, sharey=True)
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
        _legend(figure, panels[0])
    caption = (
        f"Time after the switch, of {frame['wrong_time'].max():.0f} full backups, in which the worse action that is "
        "tried online has the larger Q, from a fixed point of offline learning. Dotted: the share of offline data from "
        "which on CQL's fixed point online prefers the good action, in closed form. Values and gradients are exact."
    )
    return Drawing("switch_data", "Unlearning by the share of offline data", figure, frame, _caption(frame, caption))


def switch_scale(frame: pd.DataFrame) -> Drawing:
    """Plot the time of unlearning against the shift of the critics at the switch, a panel per share of offline data.

    Columns: algorithm, regulariser ("on", "decayed", "off" online), share, shift, wrong_time.
    """
    shares = sorted(frame["share"].drop_duplicates())
    line_styles = {"CQL": LINE, "Cal-QL": DASHED}
    colour = {"on": ORANGE, "decayed": BLUE, "off": INK}
    with drawing_style():
        figure, panels = _panels(len(shares), height=2.1, sharey=True)
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
        _name_x(figure, "Shift of the critics at the switch (return)")
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
    return Drawing("switch_scale", "Unlearning by the scale at the switch", figure, frame, _caption(frame, caption))


def floor_estimators(frame: pd.DataFrame) -> Drawing:
    """Plot the bias of estimators of the floor by state, and the error of TD(lambda) in an approximator.

    Columns: estimator, state, bias (estimate - V_mu); td_lambda, error (root mean squared error of TD(lambda)).
    """
    of_states, td = frame.dropna(subset="bias"), frame.dropna(subset="error").sort_values("td_lambda")
    names = list(of_states["estimator"].drop_duplicates())
    marks = ("o", "s", "D", "^", "v", "P")
    with drawing_style():
        figure, (left, right) = _panels(2, height=2.5)
        for place, (name, mark) in enumerate(zip(names, marks, strict=False)):
            line = of_states[of_states["estimator"] == name].sort_values("state")
            colour = mpl.colors.to_hex(mpl.colormaps["viridis"](0.9 * place / max(len(names) - 1, 1)))
            left.plot(line["state"], line["bias"], marker=mark, markersize=3.5, color=colour, label=name, linewidth=1.1)
        left.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        left.set(xlabel="State (the goal is to the right)", ylabel=r"Estimate $-$ $V_\mu$ (return)")
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
        right.plot(td["td_lambda"], td["error"], "o-", color=BLUE, markersize=3.5, label="one value per pair of states")
        right.axhline(0, color=INK, label="a table", **DASHED)
        right.set(xlabel=r"$\lambda$ of TD($\lambda$); 1 is regression on returns", ylabel="RMSE (return)")
        right.set_ylim(bottom=-0.04 * td["error"].max())
        right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    caption = (
        "Bias of estimators of the floor with infinite data. Left: estimate minus V_mu by state; the expectile of "
        "level 0.5 is the mean. Right: root mean squared error of TD(lambda) over the data, in a table and where "
        "neighbouring states share a value. All values exact, from the distribution of the return and by linear solves."
    )
    return Drawing("floor_estimators", "The bias of estimators of the floor", figure, frame, _caption(frame, caption))


def truncation(frame: pd.DataFrame) -> Drawing:
    """Plot the error of the floor of every truncation rule by the number of steps left until the truncation.

    Columns: rule ("failure rule", "sum", "bootstrap"), steps_left, error (E floor - V_mu).
    """
    line_styles: dict[str, Look] = {"failure rule": {"color": ORANGE, **LINE}, "sum": {"color": INK, **DASHED},
                              "bootstrap": {"color": BLUE, **DOTTED}}  # fmt: skip
    with drawing_style():
        figure, (panel,) = _panels(1, height=2.3)
        panel.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        for rule, line_style in line_styles.items():
            line = frame[frame["rule"] == rule].sort_values("steps_left")
            panel.plot(line["steps_left"], line["error"], label=rule, **line_style)
        panel.set(xlabel="Steps left until the truncation", ylabel=r"E floor $-$ $V_\mu$ (return)")
        panel.invert_xaxis()
        panel.margins(x=0)
        _legend(figure, panel)
    caption = (
        "Error of the floor by the number of steps left until the truncation (time runs to the right). Failure rule: a "
        "truncated trajectory is assumed to fail forever; sum: the rewards up to the truncation; bootstrap: the exact "
        "V_mu of the last state is added. Expectations over exact distributions; above 0 the floor is inflated."
    )
    return Drawing("truncation", "The error of each truncation rule", figure, frame, _caption(frame, caption))


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
        figure, panels = _panels(len(arms), height=1.9, sharey=True)
        for arm, panel in zip(arms, panels, strict=True):
            line = numbers[numbers["arm"] == arm].sort_values("iteration")
            panel.axhline(0, color=INK, linewidth=0.5, zorder=0)
            for column, (name, line_style) in lines.items():
                panel.plot(line["iteration"], line[column], label=name, **line_style)
            panel.set_title(label(arm))
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
        _name_x(figure, "Iteration")
        figure.supylabel("Cumulative regret (return)", fontsize=STYLE["axes.labelsize"])
        _legend(figure, panels[0])
    caption = (
        "Regret summed over iterations, and its exact decomposition into two parts: miscalibration (V* - max Q, below "
        "0 where values are too high) and over-estimation (max Q - V_pi, below 0 where values are too low). V*, V_pi "
        "and Q are exact."
    )
    return Drawing("regret_split", "Decomposition of regret", figure, numbers, _caption(frame, caption))


def _panels(count: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Create a figure of `count` panels, at most three per row, with rows `height` inches high including labels."""
    columns = 2 if count == 4 else min(count, 3)
    rows = ceil(count / columns)
    figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 0.3 + height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False).flatten()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def _legend(figure: Figure, panel: Axes) -> None:
    """Place the legend of a panel above the figure."""
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def _name_x(figure: Figure, quantity: str) -> None:
    figure.supxlabel(quantity, fontsize=STYLE["axes.labelsize"])


def _caption(frame: pd.DataFrame, text: str) -> str:
    return f"{text} {frame.attrs.get('problem', '')}".strip()
