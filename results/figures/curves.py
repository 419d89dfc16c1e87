"""Curves over training: scores and bound rates by groups of arms, and values with floors and returns-to-go."""

from collections.abc import Iterable, Sequence
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ablations.arms import ARMS
from ablations.axes import split_variant
from harness.metrics import METRICS
from results.figures.drawing import BAND, SEED_TYPES, Drawing, Look, counts, episodes, finished_of, window
from results.frame import PAIRING, done
from results.statistics.intervals import estimates_by
from results.style import FAINT, INK, PAGE, SHADE, STYLE, colour, drawing_style, grouped, in_order, label, short

# At most this many seeds are drawn as thin lines; more cannot be distinguished.
MOST = 50


def traces(panel: Axes, rows: pd.DataFrame, x: str, y: str, **line_style: Any) -> None:
    """Plot column `y` against `x` as a line per seed of `rows` (columns `PAIRING`), for the first `MOST` seeds.

    All seeds are one matplotlib line with gaps, because each line takes a millisecond to draw.
    """
    seed_rows = drawn(rows)[[*PAIRING, x, y]].sort_values([*PAIRING, x], kind="stable")
    gaps = seed_rows.drop_duplicates(PAIRING, keep="last").assign(**{y: float("nan")})
    lines = pd.concat([seed_rows, gaps]).sort_values(PAIRING, kind="stable")
    if len(lines):
        panel.plot(lines[x], lines[y], **line_style)


def drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first `MOST` seeds (columns `PAIRING`), per arm if `rows` has a column "arm"."""
    arms = ["arm"] if "arm" in rows else []
    seeds = rows[[*arms, *PAIRING]].drop_duplicates().sort_values(PAIRING, kind="stable")
    first = seeds.groupby(arms, sort=False).head(MOST) if arms else seeds.head(MOST)
    kept = pd.MultiIndex.from_frame(rows[first.columns]).isin(pd.MultiIndex.from_frame(first))
    return rows[kept]


def left_out(rows: pd.DataFrame) -> str:
    """A sentence for the caption if some seeds of `rows` are not drawn, otherwise an empty string."""
    seeds = len(rows[PAIRING].dropna().drop_duplicates())
    return f" Only the first {MOST} seeds are shown as thin lines." if seeds > MOST else ""


def curves(evaluations: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Compute mean and interval over seeds at every step, and add the values of the drawn seeds.

    Columns: arm, quantity, step, data_seed and seed (empty: the mean over seeds), mean (the value, for a seed), low,
    high, n, method.
    """
    long = evaluations.melt(["arm", *PAIRING, "step"], quantities, var_name="quantity", value_name="value").dropna()
    ranges = {name: (METRICS[name].low, METRICS[name].high) for name in quantities if name in METRICS}
    means = estimates_by(long, ["arm", "quantity", "step"], "value", ranges)
    numbers = pd.concat([means, drawn(long).rename(columns={"value": "mean"})], ignore_index=True)
    numbers = numbers[["arm", "quantity", "step", *PAIRING, "mean", "low", "high", "n", "method"]]
    return numbers.astype(SEED_TYPES)


# Arms of a panel, and of a figure that needs only one.
MOST_ARMS, ONE_PANEL = 6, 4

# The arms that stand for the question of the benchmark, beside those with a colour: the first of these that was run.
FURTHER = ("inflated_1", "inflated_0.5", "inflated_0.25", "exact", "official")

# Width of a figure of one panel in inches, and characters of a name that fits below one of three panels.
ALONE, LONGEST_NAME = 4.6, 31

# Line styles of the grey arms of a panel.
GREY_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (2, 2)), (0, (8, 2)))


def compared(arms: Iterable[str]) -> list[str]:
    """At most four arms that a figure with few lines compares: those with a colour and one of `FURTHER`."""
    present = in_order(arms)
    coloured = [arm for arm in present if arm in ARMS and ARMS[arm].colour]
    further = [arm for arm in FURTHER if arm in present][:1]
    chosen = in_order([*coloured[:3], *further])
    return chosen if len(chosen) > 1 else present[:4]


def accent_of(arms: Sequence[str]) -> str:
    """The grey arm that a figure of these arms points out: one of `FURTHER`, or the last; "" if all have a colour."""
    grey = [arm for arm in arms if arm not in ARMS or not ARMS[arm].colour]
    return next((arm for arm in FURTHER if arm in grey), grey[-1] if grey else "")


def small_multiples(count: int, columns: int = 3, height: float = 1.55) -> tuple[Figure, list[Axes]]:
    """Create a page-wide figure of `count` panels with shared axes, `columns` per row at most."""
    columns = min(count, columns)
    rows = ceil(count / columns)
    width = ALONE if columns == 1 else PAGE
    figure = Figure(figsize=(width, 0.35 + height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def finish_curves(panel: Axes, finished: pd.DataFrame) -> None:
    """Mark the switch and the window of the dip on an axis of the steps of both phases.

    A short online phase is stretched to `ONLINE_SHARE` of the axis.
    """
    switch, online = switch_of(finished), float(finished["schedule.online_steps"].max())
    panel.axvspan(switch, switch + window(finished), color=SHADE, linewidth=0, zorder=0)
    panel.axvline(switch, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
    factor = max(1.0, ONLINE_SHARE / (1 - ONLINE_SHARE) * switch / online) if online else 1.0
    panel.set_xscale("function", functions=(partial(stretch, switch, factor), partial(stretch, switch, 1 / factor)))
    ticks = {tick: f"{tick / 1000:g}" for tick in (0.0, switch)}
    ticks |= {switch + tick: f"+{tick / 1000:g}" for tick in _rounds(online)}
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.margins(x=0.02)


def stretch(switch: float, factor: float, steps: np.ndarray) -> np.ndarray:
    """Multiply the distance of `steps` beyond the switch by a factor."""
    return np.where(steps > switch, switch + (steps - switch) * factor, steps)


def _rounds(end: float) -> list[float]:
    """One or two round numbers above 0, up to `end`."""
    return [float(tick) for tick in MaxNLocator(2, steps=[1, 2, 2.5, 5, 10]).tick_values(0, end) if 0 < tick <= end]


def switch_of(finished: pd.DataFrame) -> float:
    """The gradient steps of the offline phase: where the switch lies on the axis of steps."""
    return float(finished["schedule.offline_steps"].max())


STEPS = "Steps (thousand): gradient steps; +: environment steps after the switch"

# The least share of an axis of steps that the online phase has.
ONLINE_SHARE = 0.4


def label_axes(figure: Figure, quantity: str) -> None:
    """Label the axes of all panels: a single one beside its axis, several together."""
    figure.supxlabel(STEPS, fontsize=STYLE["axes.labelsize"])
    set_label = figure.axes[0].set_ylabel if len(figure.axes) == 1 else figure.supylabel
    set_label(quantity, fontsize=STYLE["axes.labelsize"])


def mean_with_band(panel: Axes, means: pd.DataFrame, switch: float, line_colour: str, **line_style: Any) -> None:
    """Plot the mean as a thick line over a band for its interval."""
    steps = means["step"] + switch
    panel.fill_between(steps, means["low"], means["high"], color=line_colour, alpha=0.16, linewidth=0, zorder=3)
    panel.plot(steps, means["mean"], **{"color": line_colour, "linewidth": 1.5, "zorder": 5, **line_style})


def seeds(panel: Axes, numbers: pd.DataFrame, switch: float, line_colour: str) -> None:
    """Plot a thin line per seed."""
    seed_rows = numbers.dropna(subset="seed")
    seed_rows = seed_rows.assign(step=seed_rows["step"] + switch)
    traces(panel, seed_rows, "step", "mean", color=line_colour, alpha=0.35, linewidth=0.45, zorder=2)


def panels_of(arms: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Titles and arms of the panels of a figure: the groups of the arms, long groups in pieces.

    A few arms share one panel, without a title. A long group with variants has a panel per arm with its variants.
    """
    arms = list(arms)
    if len(arms) <= ONE_PANEL:
        return [("", arms)]
    pieces = []
    for title, names in grouped(arms).items():
        of_arm: dict[str, list[str]] = {}
        for name in names:
            of_arm.setdefault(split_variant(name)[0], []).append(name)
        if MOST_ARMS < len(names) > len(of_arm):
            pieces += [piece for arm, variants in of_arm.items() for piece in _in_pieces(short(arm), variants)]
        else:
            pieces += _in_pieces(title, names)
    return pieces if len(pieces) > 1 else [("", arms)]


def _in_pieces(title: str, names: list[str]) -> list[tuple[str, list[str]]]:
    """Panels of at most `MOST_ARMS` arms each, of about equal size."""
    size = ceil(len(names) / ceil(len(names) / MOST_ARMS))
    return [(title, names[start : start + size]) for start in range(0, len(names), size)]


def by_group(
    finished: pd.DataFrame, numbers: pd.DataFrame, reference: Sequence[str], limits: tuple[float, float] | None
) -> Figure:
    """Plot means and bands, a panel per group of arms, each with the `reference` arms as thin lines.

    The last arm of a group is in the accent colour, the others of it are grey and differ in the dashes.
    """
    means = numbers[numbers["seed"].isna()]
    pieces = panels_of(in_order(numbers["arm"]))
    names_of = {
        arm: _in_legend(arm, title) if len(pieces) > 1 else label(arm) for title, names in pieces for arm in names
    }
    switch = switch_of(finished)
    with drawing_style():
        longest = max(len(names) for _, names in pieces)
        columns = 3 if max(map(len, names_of.values())) <= LONGEST_NAME else 2
        figure, panels = small_multiples(len(pieces), columns, height=1.5 + 0.14 * longest)
        for panel, (title, names) in zip(panels, pieces, strict=True):
            for arm in (arm for arm in reference if arm not in names):
                of_arm = means[means["arm"] == arm]
                panel.plot(
                    of_arm["step"] + switch, of_arm["mean"], color=colour(arm), linewidth=0.8, alpha=0.8, zorder=4
                )
            accent, dashes = accent_of(names), iter(GREY_LINES)
            for arm in names:
                arm_colour = colour(arm, accent)
                style = {} if arm == accent or (arm in ARMS and ARMS[arm].colour) else {"linestyle": next(dashes),
                         "linewidth": 1.1}  # fmt: skip
                of_arm = means[means["arm"] == arm]
                if style:
                    panel.plot(of_arm["step"] + switch, of_arm["mean"], color=arm_colour, zorder=4, **style)
                else:
                    mean_with_band(panel, of_arm, switch, arm_colour)
                panel.plot([], [], color=arm_colour, label=names_of[arm], **({"linewidth": 1.5} | style))
            panel.set_title(title, loc="left")
            finish_curves(panel, finished)
            # Below the ticks, so that no curve is hidden.
            panel.legend(loc="upper left", bbox_to_anchor=(0, -0.14), fontsize=6.5, handlelength=2.2, borderpad=0,
                         labelspacing=0.25)  # fmt: skip
        if limits:
            panels[0].set_ylim(*limits)
    return figure


def _in_legend(arm: str, title: str) -> str:
    """The short label of an arm below a panel, without the name of the arm that is the panel's title."""
    text = short(arm)
    rest = text.removeprefix(f"{title}, ")
    return text if rest == text else rest[0].upper() + rest[1:]


def references(arms: Sequence[str]) -> list[str]:
    """The arms that every panel shows for comparison."""
    return [arm for arm in ("cql", "monte_carlo", "reference_cql", "reference") if arm in arms]


REFERENCE_LINES = "thin orange and blue lines: CQL and Cal-QL with the Monte Carlo floor, for comparison"


def learning_curves(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the success rate over training: a figure per task, a panel per group of arms.

    Takes the two frames of `results.frame`. Numbers: as returned by `curves`.
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        numbers = curves(rows, ["score"])
        arms = in_order(rows["arm"])
        figure = by_group(finished, numbers, references(arms), (-0.03, 1.03))
        with drawing_style():
            label_axes(figure, "Success rate")
        caption = (
            f"Success rate on {task} over training. Lines: means over seeds; bands, for the arms in colour: {BAND}; "
            f"{REFERENCE_LINES}. Dashed: the switch to the online phase; shaded: the {window(finished):,.0f} "
            "environment steps over which the dip is measured. Arms are Cal-QL unless they say otherwise. "
            f"{counts(finished)} {episodes(finished)}"
        )
        drawings.append(Drawing(f"learning_curves_{task}", "Learning curves", figure, numbers, caption, task=str(task)))
    return drawings


def tasks_and_arms(runs: pd.DataFrame, evaluations: pd.DataFrame) -> Drawing | None:
    """Plot the success rate of the `compared` arms on all tasks, a panel per task; None for a single task.

    Numbers: task, and the columns of `curves`.
    """
    tasks = list(evaluations["task"].unique())
    if len(tasks) < 2:
        return None
    arms = compared(evaluations["arm"].unique())
    shown = evaluations[evaluations["arm"].isin(arms)]
    numbers = pd.concat(
        [curves(rows, ["score"]).assign(task=task) for task, rows in shown.groupby("task", sort=False)],
        ignore_index=True,
    )
    numbers = numbers[["task", *numbers.columns.drop("task")]]
    accent = accent_of(arms)
    with drawing_style():
        figure, panels = small_multiples(len(tasks), height=1.25)
        for panel, task in zip(panels, tasks, strict=True):
            finished = finished_of(runs, task)
            for arm in arms:
                of_arm = numbers[(numbers["task"] == task) & (numbers["arm"] == arm) & numbers["seed"].isna()]
                mean_with_band(panel, of_arm, switch_of(finished), colour(arm, accent), linewidth=1.3)
            panel.set_title(task)
            finish_curves(panel, finished)
        panels[0].set_ylim(-0.03, 1.03)
        label_axes(figure, "Success rate")
        entries = [Line2D([], [], color=colour(arm, accent), linewidth=1.5, label=label(arm)) for arm in arms]
        figure.legend(handles=entries, loc="outside upper center", ncols=min(len(arms), 4))
    finished = done(runs)
    caption = (
        f"Success rate over training on every task. Lines: means over seeds; bands: {BAND}. Dashed: the switch to the "
        "online phase; shaded: the environment steps over which the dip is measured. "
        f"{counts(finished[finished['arm'].isin(arms)])} {episodes(finished)}"
    )
    return Drawing("tasks", "Learning curves on every task", figure, numbers, caption)


# Share of the sampled actions of pi(.|s) below the floor, mean over the updates since the last evaluation.
RATE = "bound_rate_current"


def bound_rate(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the bound rate of the arms with a floor: a figure per task, a panel per group of arms.

    Numbers: as returned by `curves`.
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        # Arms without a floor have no bound rate, and it is undefined before the first update.
        numbers = curves(rows[rows["floor_mean"].notna()], [RATE])
        if numbers.empty:
            continue
        arms = in_order(numbers["arm"])
        finished = finished_of(runs, task)
        figure = by_group(finished, numbers, references(arms), None)
        with drawing_style():
            figure.axes[0].set_ylim(bottom=0)
            label_axes(figure, "Bound rate (share of actions)")
        caption = (
            f"Bound rate on {task}: share of the sampled policy actions whose Q-value lies below the floor, so that "
            "the push-down does not act on them; mean over the updates since the previous evaluation. Lines: means "
            f"over seeds; bands, for the arms in colour: {BAND}; thin blue line: Cal-QL with the Monte Carlo floor, "
            "for comparison. Arms without a floor are left out. "
            f"{counts(finished[finished['arm'].isin(arms)])}"
        )
        drawings.append(Drawing(f"bound_rate_{task}", "Bound rate", figure, numbers, caption, task=str(task)))
    return drawings


# Line styles of the other values beside Q(s, pi(s)). The return-to-go is a broad line below the others, so that a
# floor equal to it stays visible.
Q_DATA: Look = {"linestyle": ":", "linewidth": 1.2, "zorder": 4}
REFERENCES: dict[str, Look] = {
    "floor_mean": {"color": INK, "linestyle": "--", "linewidth": 0.9, "zorder": 4},
    "return_to_go": {"color": FAINT, "linestyle": "-", "linewidth": 2.6, "zorder": 1},
}


def values_and_floors(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the critics' values, the floor and the return-to-go over training: a figure per task, a panel per arm.

    The arms are those of `compared`.
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        arms = compared(rows["arm"].unique())
        numbers = curves(rows[rows["arm"].isin(arms)], ["q_policy", "q_data", "floor_mean", "return_to_go"])
        accent, switch = accent_of(arms), switch_of(finished)
        with drawing_style():
            figure, panels = small_multiples(len(arms), columns=4 if len(arms) > 3 else 3, height=1.75)
            for arm, panel in zip(arms, panels, strict=True):
                arm_colour = colour(arm, accent)
                arm_rows = numbers[numbers["arm"] == arm]
                policy, means = arm_rows[arm_rows["quantity"] == "q_policy"], arm_rows[arm_rows["seed"].isna()]
                seeds(panel, policy, switch, arm_colour)
                for quantity, line_style in {"q_data": {**Q_DATA, "color": arm_colour}, **REFERENCES}.items():
                    of_quantity = means[means["quantity"] == quantity]
                    panel.plot(of_quantity["step"] + switch, of_quantity["mean"], **line_style)
                mean_with_band(panel, policy[policy["seed"].isna()], switch, arm_colour)
                panel.set_title(short(arm))
                finish_curves(panel, finished)
            label_axes(figure, "Value (mapped return)")
            _value_legend(figure)
        caption = (
            f"Values of the critics on {task}, mean over probe transitions of the dataset, against the floor and "
            f"the return-to-go of the same transitions. Solid: Q(s, pi(s)) with {BAND}; thin: individual seeds; "
            "dotted: Q(s, a) of the dataset's actions; dashed: mean floor (absent for arms without one); broad "
            "grey: mean return-to-go. Vertical line: the switch to the online phase; shaded: the "
            f"{window(finished):,.0f} environment steps over which the dip is measured. "
            f"{counts(finished[finished['arm'].isin(arms)])}{left_out(rows)}"
        )
        drawings.append(Drawing(f"values_and_floors_{task}", "Q and the floor", figure, numbers, caption, str(task)))
    return drawings


def _value_legend(figure: Figure) -> None:
    entries = {
        r"$Q(s, \pi(s))$": Line2D([], [], color=INK, linewidth=1.5),
        "$Q(s, a)$, dataset": Line2D([], [], color=INK, **Q_DATA),
        "mean floor": Line2D([], [], **REFERENCES["floor_mean"]),
        "mean return-to-go": Line2D([], [], **REFERENCES["return_to_go"]),
    }
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4)
