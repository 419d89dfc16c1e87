"""Curves over training: scores, bound rates, values with their references, and single seeds."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from results.figures.drawing import BAND, Drawing, Look, counts, episodes, finished_of, window
from results.statistics.intervals import estimates_by
from results.style import COLUMN, FAINT, INK, PAGE, SHADE, STYLE, colours, in_order, label

# Lines that an eye can tell apart, with room to spare; of more seeds the first so many are drawn.
MOST = 50


def traces(panel: Axes, rows: pd.DataFrame, x: str, y: str, **look: Any) -> None:
    """Draw column `y` over `x` for each seed of `rows` (column "seed"), of the first `MOST`.

    One line with gaps for matplotlib, which takes a millisecond per line.
    """
    each = drawn(rows)[["seed", x, y]].sort_values(["seed", x], kind="stable")
    gaps = each.drop_duplicates("seed", keep="last").assign(**{y: float("nan")})
    lines = pd.concat([each, gaps]).sort_values("seed", kind="stable")
    if len(lines):
        panel.plot(lines[x], lines[y], **look)


def drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds (column "seed") that get a line: the first `MOST`, of every arm where arms are named."""
    seeds = rows.groupby("arm")["seed"] if "arm" in rows else rows["seed"]
    return rows[seeds.rank(method="dense") <= MOST]


def left_out(rows: pd.DataFrame) -> str:
    """A sentence for the caption where not every seed of `rows` is drawn, else nothing."""
    return f" Thin lines are those of the first {MOST} seeds." if rows["seed"].nunique() > MOST else ""


def curves(evaluations: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Mean and interval over seeds, and every seed that is drawn, at every step.

    Columns: arm, quantity, step, seed (empty: the mean over seeds), mean (of a seed: its value), low, high, n, method.
    """
    long = evaluations.melt(["arm", "seed", "step"], quantities, var_name="quantity", value_name="value").dropna()
    means = estimates_by(long, ["arm", "quantity", "step"], "value")
    numbers = pd.concat([means, drawn(long).rename(columns={"value": "mean"})], ignore_index=True)
    numbers = numbers[["arm", "quantity", "step", "seed", "mean", "low", "high", "n", "method"]]
    return numbers.astype({"seed": "Int64", "n": "Int64"})


def small_multiples(count: int, legend: bool = False) -> tuple[Figure, Iterator[Axes]]:
    """A page-wide figure of `count` panels with shared axes, at most three beside each other."""
    columns = 2 if count == 4 else min(count, 3)
    rows = ceil(count / columns)
    width = COLUMN if columns == 1 else PAGE
    figure = Figure(figsize=(width, 0.3 + 0.2 * legend + 1.55 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for place, panel in enumerate(grid):
        panel.tick_params(labelbottom=place + columns >= count)
    for spare in grid[count:]:
        spare.remove()
    return figure, iter(grid[:count])


def finish_curves(figure: Figure, finished: pd.DataFrame, quantity: str) -> None:
    """Mark the switch and the dip's window, and name the axes."""
    for panel in figure.axes:
        panel.axvspan(0, window(finished), color=SHADE, linewidth=0, zorder=0)
        panel.axvline(0, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
        panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 10]))
        panel.xaxis.set_major_formatter(FuncFormatter(_steps))
        panel.margins(x=0.02)
    figure.supxlabel(
        "\N{LEFTWARDS ARROW} offline, gradient steps  |  online, environment steps \N{RIGHTWARDS ARROW}",
        fontsize=STYLE["axes.labelsize"],
    )
    figure.supylabel(quantity, fontsize=STYLE["axes.labelsize"])


def _steps(value: float, position: int | None = None) -> str:
    """0, 500, 2k, 1.5M; offline steps without their sign, since the switch separates them."""
    size = abs(value)
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return f"{size:g}"


def seeds(panel: Axes, numbers: pd.DataFrame, colour: str) -> None:
    """A thin line per seed."""
    each = numbers.dropna(subset="seed")
    traces(panel, each, "step", "mean", color=colour, alpha=0.45, linewidth=0.5, zorder=2)


def mean(panel: Axes, means: pd.DataFrame, **look: Any) -> None:
    """The mean alone."""
    panel.plot(means["step"], means["mean"], **look)


def means_of_others(panel: Axes, means: pd.DataFrame) -> None:
    """The means of several arms, faint; one line with gaps for matplotlib, which takes a millisecond per line."""
    gaps = means.drop_duplicates("arm", keep="last").assign(mean=float("nan"))
    lines = pd.concat([means, gaps]).sort_values("arm", kind="stable")
    mean(panel, lines, color=FAINT, linewidth=0.6, zorder=1)


def mean_with_band(panel: Axes, means: pd.DataFrame, colour: str) -> None:
    """The mean, thick, on its interval."""
    panel.fill_between(means["step"], means["low"], means["high"], color=colour, alpha=0.18, linewidth=0, zorder=3)
    mean(panel, means, color=colour, linewidth=1.5, zorder=5)


def learning_curves(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Success over training, one figure per task: all means together, then every arm with its seeds.

    Takes the two frames of `results.frame`. Numbers: as `curves` gives them.
    """
    drawings = []
    for task, of_task in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        numbers = curves(of_task, ["score"])
        means = numbers[numbers["seed"].isna()]
        arms = in_order(of_task["arm"])
        colour = colours(arms)
        with mpl.rc_context(STYLE):
            figure, panels = small_multiples(1 + len(arms))
            together = next(panels)
            together.set_title("All arms, means")
            for arm in arms:
                mean(together, means[means["arm"] == arm], color=colour[arm], linewidth=1.3)
            for arm, panel in zip(arms, panels, strict=True):
                means_of_others(panel, means[means["arm"] != arm])
                own = numbers[numbers["arm"] == arm]
                seeds(panel, own, colour[arm])
                mean_with_band(panel, own[own["seed"].isna()], colour[arm])
                panel.set_title(label(arm))
            finish_curves(figure, finished, "Success rate")
            figure.axes[0].set_ylim(-0.03, 1.03)
        caption = (
            f"Success rate on {task} over training: left of the dashed line gradient steps of the offline phase, right "
            f"of it environment steps of the online phase. Thick: mean; band: {BAND}; thin: every seed; grey: means of "
            f"the other arms; shaded: the {window(finished):,.0f} steps over which the dip is measured. "
            f"{counts(finished)} {episodes(finished)}{left_out(of_task)}"
        )
        drawings.append(Drawing(f"learning_curves_{task}", f"Learning curves, {task}", figure, numbers, caption))
    return drawings


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


# A seed whose last score lies below this has failed.
FAILED = 0.1


def seed_traces(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """The score of every seed, failed ones in colour, one figure per task and one panel per arm.

    Numbers: arm, seed, run, step, score, failed.
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        last = rows.groupby("run")["score"].transform("last")
        numbers = rows.assign(failed=last < FAILED)[["arm", "seed", "run", "step", "score", "failed"]]
        numbers = numbers.reset_index(drop=True)
        here = runs[runs["task"] == task]
        arms = in_order(here["arm"])
        colour = colours(arms)
        with mpl.rc_context(STYLE):
            figure, panels = small_multiples(len(arms))
            for arm, panel in zip(arms, panels, strict=True):
                own = numbers[numbers["arm"] == arm]
                shown = drawn(own)
                failed = shown["failed"]
                traces(panel, shown[~failed], "step", "score", color=FAINT, linewidth=0.9, zorder=2)
                traces(panel, shown[failed], "step", "score", color=colour[arm], linewidth=1.1, zorder=3)
                panel.set_title(f"{label(arm)}\n{_count(own, here[here['arm'] == arm])}")
            finish_curves(figure, finished_of(runs, task), "Success rate")
            figure.axes[0].set_ylim(-0.03, 1.03)
        caption = (
            f"Success rate of every seed on {task}, one line each, nothing averaged. In colour, and counted in the "
            f"titles: seeds whose last evaluation lies below {FAILED:g}; runs that did not end are counted with them "
            f"and have no line. {episodes(finished_of(runs, task))}{left_out(rows)}"
        )
        drawings.append(Drawing(f"seed_traces_{task}", f"Every seed, {task}", figure, numbers, caption))
    return drawings


def _count(own: pd.DataFrame, runs: pd.DataFrame) -> str:
    """How many of an arm's runs failed or did not end: "2 of 6 failed", "1 of 6 failed, 1 not done"."""
    failed = own.loc[own["failed"], "run"].nunique()
    missing = int((runs["state"] != "done").sum())
    return f"{failed} of {len(runs)} failed" + (f", {missing} not done" if missing else "")
