"""The figures of the exact lab about floors: their size, kind, estimator, randomness and truncation."""

import matplotlib as mpl
import pandas as pd
from matplotlib.ticker import PercentFormatter

from results.figures.drawing import (
    BROAD,
    DASHED,
    DOTTED,
    LINE,
    MINUS,
    Drawing,
    Look,
    legend_above,
    name_x,
    panels_in_rows,
    with_problem,
)
from results.style import BLUE, FAINT, GREEN, INK, ORANGE, SHADE, STYLE, drawing_style

# Tolerance of the solvers; smaller differences count as zero.
TOLERANCE = 1e-6


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
        figure, (left, right) = panels_in_rows(2, height=2.2)
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
    return Drawing("floor_dose", "Value against the dose of inflation", figure, numbers, with_problem(frame, caption))


def inflation_kinds(frame: pd.DataFrame) -> Drawing:
    """Plot, with a panel per kind of inflation, what is added to the floor and the rise of the learned value, by state.

    Columns: kind, alpha, state, excess (floor - V_mu), rise (value - value with the floor V_mu).
    """
    kinds, alphas = list(frame["kind"].drop_duplicates()), sorted(frame["alpha"].drop_duplicates())
    looks: list[Look] = [{"color": ORANGE, **LINE}, {"color": BLUE, **LINE}]
    with drawing_style():
        figure, panels = panels_in_rows(len(kinds), height=1.25, sharey=True)
        for kind, panel in zip(kinds, panels, strict=True):
            of_kind = frame[frame["kind"] == kind].sort_values("state")
            floor = of_kind[of_kind["alpha"] == alphas[0]]
            panel.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
            panel.fill_between(floor["state"], floor["excess"], step="mid", color=SHADE, linewidth=0, zorder=0)
            panel.step(floor["state"], floor["excess"], where="mid", label="floor", color=INK, **DASHED)
            for alpha, look in zip(alphas, looks, strict=True):
                line = of_kind[of_kind["alpha"] == alpha]
                panel.plot(line["state"], line["rise"], "o-", markersize=2.5, label=f"value, alpha {alpha:g}", **look)
            symbols = kind.replace("V*", "$V^*$").replace("V_mu", r"$V_\mu$").replace(" - ", f" {MINUS} ")
            panel.set_title(symbols[0].upper() + symbols[1:])
            panel.margins(x=0.02)
        name_x(figure, "State (the goal is to the right)")
        figure.supylabel(r"Difference to the exact floor $V_\mu$ (return)", fontsize=STYLE["axes.labelsize"])
        legend_above(figure, panels[0])
    caption = (
        "Kinds of inflation: what each adds to the floor V_mu (dashed), and by how much the converged E_pi Q then "
        "exceeds that with the floor V_mu, for a weak and a strong regulariser. With the strong one, values follow the "
        "floor; with the weak one, they lie above V_mu, so that only floors above them matter, and their rise spreads "
        "upstream. All values exact."
    )
    return Drawing("inflation_kinds", "Kinds of inflation", figure, frame, with_problem(frame, caption))


def monte_carlo_bias(frame: pd.DataFrame) -> Drawing:
    """Plot the bias of a Monte Carlo floor in the loss and in the converged value by the deviation of the return.

    Columns: deviation (standard deviation of the return), ratio (pi / beta), loss_bias, value_shift.
    """
    loss = frame.drop_duplicates("deviation").sort_values("deviation")
    with drawing_style():
        figure, (left, right) = panels_in_rows(2, height=2.2)
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
    return Drawing("monte_carlo_bias", "The bias of a Monte Carlo floor", figure, frame, with_problem(frame, caption))


def floor_estimators(frame: pd.DataFrame) -> Drawing:
    """Plot the bias of estimators of the floor by state, and the error of TD(lambda) in an approximator.

    Columns: estimator, state, bias (estimate - V_mu); td_lambda, error (root mean squared error of TD(lambda)).
    """
    of_states, td = frame.dropna(subset="bias"), frame.dropna(subset="error").sort_values("td_lambda")
    names = list(of_states["estimator"].drop_duplicates())
    marks = ("o", "s", "D", "^", "v", "P")
    with drawing_style():
        figure, (left, right) = panels_in_rows(2, height=2.5)
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
    return Drawing(
        "floor_estimators", "The bias of estimators of the floor", figure, frame, with_problem(frame, caption)
    )


def truncation(frame: pd.DataFrame) -> Drawing:
    """Plot the error of the floor of every truncation rule by the number of steps left until the truncation.

    Columns: rule ("failure rule", "sum", "bootstrap"), steps_left, error (E floor - V_mu).
    """
    line_styles: dict[str, Look] = {"failure rule": {"color": ORANGE, **LINE}, "sum": {"color": INK, **DASHED},
                              "bootstrap": {"color": BLUE, **DOTTED}}  # fmt: skip
    with drawing_style():
        figure, (panel,) = panels_in_rows(1, height=2.3)
        panel.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        for rule, line_style in line_styles.items():
            line = frame[frame["rule"] == rule].sort_values("steps_left")
            panel.plot(line["steps_left"], line["error"], label=rule, **line_style)
        panel.set(xlabel="Steps left until the truncation", ylabel=r"E floor $-$ $V_\mu$ (return)")
        panel.invert_xaxis()
        panel.margins(x=0)
        legend_above(figure, panel)
    caption = (
        "Error of the floor by the number of steps left until the truncation (time runs to the right). Failure rule: a "
        "truncated trajectory is assumed to fail forever; sum: the rewards up to the truncation; bootstrap: the exact "
        "V_mu of the last state is added. Expectations over exact distributions; above 0 the floor is inflated."
    )
    return Drawing("truncation", "The error of each truncation rule", figure, frame, with_problem(frame, caption))
