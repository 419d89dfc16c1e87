"""Curves over training: scores, bound rates, values with floors and returns-to-go, and individual seeds."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from results.figures.drawing import BAND, SEED_TYPES, Drawing, Look, counts, episodes, finished_of, window
from results.frame import PAIRING
from results.statistics.intervals import estimates_by
from results.style import COLUMN, FAINT, INK, PAGE, SHADE, STYLE, colours, drawing_style, in_order, label

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
    means = estimates_by(long, ["arm", "quantity", "step"], "value")
    numbers = pd.concat([means, drawn(long).rename(columns={"value": "mean"})], ignore_index=True)
    numbers = numbers[["arm", "quantity", "step", *PAIRING, "mean", "low", "high", "n", "method"]]
    return numbers.astype(SEED_TYPES)


def small_multiples(count: int, legend: bool = False) -> tuple[Figure, Iterator[Axes]]:
    """Create a page-wide figure of `count` panels with shared axes, at most three per row."""
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
    """Mark the switch and the window of the dip, and label the axes."""
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
    """Format a step as 0, 500, 2k or 1.5M; offline steps are negative and drawn_rows without a sign."""
    size = abs(value)
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return f"{size:g}"


def seeds(panel: Axes, numbers: pd.DataFrame, colour: str) -> None:
    """Plot a thin line per seed."""
    seed_rows = numbers.dropna(subset="seed")
    traces(panel, seed_rows, "step", "mean", color=colour, alpha=0.45, linewidth=0.5, zorder=2)


def mean(panel: Axes, means: pd.DataFrame, **line_style: Any) -> None:
    """Plot the mean."""
    panel.plot(means["step"], means["mean"], **line_style)


def means_of_others(panel: Axes, means: pd.DataFrame) -> None:
    """Plot the means of several arms as faint lines (one matplotlib line with gaps, as in `traces`)."""
    gaps = means.drop_duplicates("arm", keep="last").assign(mean=float("nan"))
    lines = pd.concat([means, gaps]).sort_values("arm", kind="stable")
    mean(panel, lines, color=FAINT, linewidth=0.6, zorder=1)


def mean_with_band(panel: Axes, means: pd.DataFrame, colour: str) -> None:
    """Plot the mean as a thick line over a band for its interval."""
    panel.fill_between(means["step"], means["low"], means["high"], color=colour, alpha=0.18, linewidth=0, zorder=3)
    mean(panel, means, color=colour, linewidth=1.5, zorder=5)


def learning_curves(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the success rate over training, one figure per task: a panel with all means, then a panel per arm.

    Takes the two frames of `results.frame`. Numbers: as returned by `curves`.
    """
    drawings = []
    for task, task_rows in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        numbers = curves(task_rows, ["score"])
        means = numbers[numbers["seed"].isna()]
        arms = in_order(task_rows["arm"])
        colour = colours(arms)
        with drawing_style():
            figure, panels = small_multiples(1 + len(arms))
            together = next(panels)
            together.set_title("All arms, means")
            for arm in arms:
                mean(together, means[means["arm"] == arm], color=colour[arm], linewidth=1.3)
            for arm, panel in zip(arms, panels, strict=True):
                means_of_others(panel, means[means["arm"] != arm])
                arm_rows = numbers[numbers["arm"] == arm]
                seeds(panel, arm_rows, colour[arm])
                mean_with_band(panel, arm_rows[arm_rows["seed"].isna()], colour[arm])
                panel.set_title(label(arm))
            finish_curves(figure, finished, "Success rate")
            figure.axes[0].set_ylim(-0.03, 1.03)
        caption = (
            f"Success rate on {task} over training: gradient steps of the offline phase left of the dashed line, "
            f"environment steps of the online phase right of it. Thick: mean; band: {BAND}; thin: individual "
            f"seeds; grey: means of the other arms; shaded: the {window(finished):,.0f} environment steps over which "
            "the dip is measured. "
            f"{counts(finished)} {episodes(finished)}{left_out(task_rows)}"
        )
        drawings.append(Drawing(f"learning_curves_{task}", f"Learning curves, {task}", figure, numbers, caption))
    return drawings


# Share of the sampled actions of pi(.|s) below the floor, mean over the updates since the last evaluation.
RATE = "bound_rate_current"


def bound_rate(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the bound rate of every arm with a floor, one figure per task. Numbers: as returned by `curves`."""
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        # Arms without a floor have no bound rate, and it is undefined before the first update.
        numbers = curves(rows[rows["floor_mean"].notna()], [RATE])
        if numbers.empty:
            continue
        arms = in_order(numbers["arm"])
        colour = colours(in_order(rows["arm"]))
        finished = finished_of(runs, task)
        with drawing_style():
            figure, (panel,) = small_multiples(1, legend=True)
            figure.set_size_inches(figure.get_figwidth(), 2.1 + 0.15 * len(arms))
            for arm in arms:
                arm_rows = numbers[numbers["arm"] == arm]
                seeds(panel, arm_rows, colour[arm])
                mean_with_band(panel, arm_rows[arm_rows["seed"].isna()], colour[arm])
            finish_curves(figure, finished, "Bound rate")
            panel.set_ylim(-0.03, 1.03)
            entries = [Line2D([], [], color=colour[arm], linewidth=1.5, label=label(arm)) for arm in arms]
            figure.legend(handles=entries, loc="outside upper left")
        caption = (
            f"Bound rate on {task}: share of the sampled policy actions whose Q-value lies below the floor, so that "
            "the push-down does not act on them. Mean over the updates since the previous evaluation. Thick line: mean "
            f"over seeds; band: {BAND}; thin lines: individual seeds. CQL has no floor. "
            f"{counts(finished[finished['arm'].isin(arms)])}"
            f"{left_out(rows)}"
        )
        drawings.append(Drawing(f"bound_rate_{task}", f"Bound rate, {task}", figure, numbers, caption))
    return drawings


# Line styles of the other values beside Q(s, pi(s)). The return-to-go is a broad line below the others, so that a
# floor equal to it stays visible.
Q_DATA: Look = {"linestyle": ":", "linewidth": 1.2, "zorder": 4}
REFERENCES: dict[str, Look] = {
    "floor_mean": {"color": INK, "linestyle": "--", "linewidth": 0.9, "zorder": 4},
    "return_to_go": {"color": FAINT, "linestyle": "-", "linewidth": 2.6, "zorder": 1},
}


def values_and_floors(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the critics' values, the floor and the return-to-go over training: a figure per task, a panel per arm."""
    drawings = []
    for task, task_rows in evaluations.groupby("task", sort=False):
        finished = finished_of(runs, task)
        numbers = curves(task_rows, ["q_policy", "q_data", "floor_mean", "return_to_go"])
        arms = in_order(task_rows["arm"])
        colour = colours(arms)
        with drawing_style():
            figure, panels = small_multiples(len(arms), legend=True)
            for arm, panel in zip(arms, panels, strict=True):
                arm_rows = numbers[numbers["arm"] == arm]
                policy, means = arm_rows[arm_rows["quantity"] == "q_policy"], arm_rows[arm_rows["seed"].isna()]
                seeds(panel, policy, colour[arm])
                for quantity, line_style in {"q_data": {**Q_DATA, "color": colour[arm]}, **REFERENCES}.items():
                    mean(panel, means[means["quantity"] == quantity], **line_style)
                mean_with_band(panel, policy[policy["seed"].isna()], colour[arm])
                panel.set_title(label(arm))
            finish_curves(figure, finished, "Value (mapped return)")
            _value_legend(figure)
        caption = (
            f"Values of the two critics on {task}, mean over probe transitions of the dataset, against the floor and "
            f"the return-to-go of the same transitions. Solid: Q(s, pi(s)) with {BAND}; thin: individual seeds; "
            "dotted: Q(s, a) of the dataset's actions; black dashed: mean floor (absent for arms without one); broad "
            "grey: mean return-to-go. Vertical dashed line: the switch to the online phase; shaded: the "
            f"{window(finished):,.0f} environment steps over which the dip is measured. {counts(finished)}"
            f"{left_out(task_rows)}"
        )
        drawings.append(Drawing(f"values_and_floors_{task}", f"Q and the floor, {task}", figure, numbers, caption))
    return drawings


def _value_legend(figure: Figure) -> None:
    entries = {
        "Q(s, pi(s))": Line2D([], [], color=INK, linewidth=1.5),
        "Q(s, a), dataset": Line2D([], [], color=INK, **Q_DATA),
        "mean floor": Line2D([], [], **REFERENCES["floor_mean"]),
        "mean return-to-go": Line2D([], [], **REFERENCES["return_to_go"]),
    }
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4)


# A seed counts as failed if its last score is below this value.
FAILED = 0.1


def seed_traces(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Plot the score of every seed, failed ones in colour: a figure per task, a panel per arm.

    Numbers: arm, data_seed, seed, run, step, score, failed.
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        last = rows.groupby("run")["score"].transform("last")
        numbers = rows.assign(failed=last < FAILED)[["arm", *PAIRING, "run", "step", "score", "failed"]]
        numbers = numbers.reset_index(drop=True)
        task_runs = runs[runs["task"] == task]
        arms = in_order(task_runs["arm"])
        colour = colours(arms)
        with drawing_style():
            figure, panels = small_multiples(len(arms))
            for arm, panel in zip(arms, panels, strict=True):
                arm_rows = numbers[numbers["arm"] == arm]
                drawn_rows = drawn(arm_rows)
                failed = drawn_rows["failed"]
                traces(panel, drawn_rows[~failed], "step", "score", color=FAINT, linewidth=0.9, zorder=2)
                traces(panel, drawn_rows[failed], "step", "score", color=colour[arm], linewidth=1.1, zorder=3)
                panel.set_title(f"{label(arm)}\n{_count(arm_rows, task_runs[task_runs['arm'] == arm])}")
            finish_curves(figure, finished_of(runs, task), "Success rate")
            figure.axes[0].set_ylim(-0.03, 1.03)
        caption = (
            f"Success rate of every seed on {task}, one line per seed. Seeds whose last evaluation is below "
            f"{FAILED:g} are drawn in colour and counted as failed in the titles; unfinished runs are counted as not "
            f"done and have no line. {episodes(finished_of(runs, task))}{left_out(rows)}"
        )
        drawings.append(Drawing(f"seed_traces_{task}", f"Every seed, {task}", figure, numbers, caption))
    return drawings


def _count(arm_rows: pd.DataFrame, runs: pd.DataFrame) -> str:
    """How many runs of an arm failed or are not done: "2 of 6 failed", "1 of 6 failed, 1 not done"."""
    failed = arm_rows.loc[arm_rows["failed"], "run"].nunique()
    missing = int((runs["state"] != "done").sum())
    return f"{failed} of {len(runs)} failed" + (f", {missing} not done" if missing else "")
