"""The figures, at a journal's column widths, each with its numbers and its caption."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from results.frame import done
from results.statistics.estimate import CONFIDENCE
from results.statistics.intervals import estimates_by
from results.style import COLUMN, FAINT, INK, PAGE, SHADE, STYLE, colours, in_order, label

Look = dict[str, Any]

# The lines beside Q(s, pi(s)) in the figure of values. The return-to-go lies broad under all others, so that a floor
# that equals it is seen as such.
Q_DATA: Look = {"linestyle": ":", "linewidth": 1.2, "zorder": 4}
REFERENCES: dict[str, Look] = {
    "floor_mean": {"color": INK, "linestyle": "--", "linewidth": 0.9, "zorder": 4},
    "return_to_go": {"color": FAINT, "linestyle": "-", "linewidth": 2.6, "zorder": 1},
}

BAND = f"{CONFIDENCE:.0%} t interval over seeds"


@dataclass(frozen=True)
class Drawing:
    """A figure with what must stand beside it."""

    # Stem of its files.
    name: str
    title: str
    figure: Figure
    # What is drawn, one row per mean and per seed.
    numbers: pd.DataFrame
    # Names the statistic, the interval and n.
    caption: str


def learning_curves(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """Success over training, one figure per task: all means together, then every arm with its seeds.

    Takes the two frames of `results.frame`. Numbers: as `curves` gives them.
    """
    drawings = []
    for task, of_task in evaluations.groupby("task", sort=False):
        finished = _of_task(runs, task)
        numbers = curves(of_task, ["score"])
        means = numbers[numbers["seed"].isna()]
        arms = in_order(of_task["arm"])
        colour = colours(arms)
        with mpl.rc_context(STYLE):
            figure, panels = _small_multiples(1 + len(arms))
            together = next(panels)
            together.set_title("All arms, means")
            for arm in arms:
                _mean(together, means[means["arm"] == arm], color=colour[arm], linewidth=1.3)
            for arm, panel in zip(arms, panels, strict=True):
                for other in arms:
                    if other != arm:
                        _mean(panel, means[means["arm"] == other], color=FAINT, linewidth=0.6, zorder=1)
                own = numbers[numbers["arm"] == arm]
                _seeds(panel, own, colour[arm])
                _mean_with_band(panel, own[own["seed"].isna()], colour[arm])
                panel.set_title(label(arm), color=colour[arm])
            _finish_curves(figure, finished, "Success rate")
            figure.axes[0].set_ylim(-0.03, 1.03)
        caption = (
            f"Success rate on {task} over training: left of the dashed line gradient steps of the offline phase, right "
            f"of it environment steps of the online phase. Thick: mean; band: {BAND}; thin: every seed; grey: means of "
            f"the other arms; shaded: the {_window(finished):,.0f} steps over which the dip is measured. "
            f"{_counts(finished)} {_episodes(finished)}"
        )
        drawings.append(Drawing(f"learning_curves_{task}", f"Learning curves, {task}", figure, numbers, caption))
    return drawings


def values_and_floors(runs: pd.DataFrame, evaluations: pd.DataFrame) -> list[Drawing]:
    """The critics' values over training against floor and return-to-go, one figure per task and one panel per arm."""
    drawings = []
    for task, of_task in evaluations.groupby("task", sort=False):
        finished = _of_task(runs, task)
        numbers = curves(of_task, ["q_policy", "q_data", "floor_mean", "return_to_go"])
        arms = in_order(of_task["arm"])
        colour = colours(arms)
        with mpl.rc_context(STYLE):
            figure, panels = _small_multiples(len(arms), legend=True)
            for arm, panel in zip(arms, panels, strict=True):
                own = numbers[numbers["arm"] == arm]
                policy, means = own[own["quantity"] == "q_policy"], own[own["seed"].isna()]
                _seeds(panel, policy, colour[arm])
                for quantity, look in {"q_data": {**Q_DATA, "color": colour[arm]}, **REFERENCES}.items():
                    _mean(panel, means[means["quantity"] == quantity], **look)
                _mean_with_band(panel, policy[policy["seed"].isna()], colour[arm])
                panel.set_title(label(arm), color=colour[arm])
            _finish_curves(figure, finished, "Value (mapped return)")
            _value_legend(figure)
        caption = (
            f"Values of the two critics on {task}, mean over probe transitions of the dataset, against the floor and "
            f"the return-to-go of the same transitions. Solid: Q(s, pi(s)), with {BAND} and every seed thin; dotted: "
            "Q(s, a) of the dataset's actions; black dashed: mean floor (absent where there is none); broad grey: mean "
            "return-to-go. Dashed upright: the switch to the online phase; shaded: the "
            f"{_window(finished):,.0f} steps over which the dip is measured. {_counts(finished)}"
        )
        drawings.append(Drawing(f"values_and_floors_{task}", f"Q against the floor, {task}", figure, numbers, caption))
    return drawings


def score_by_floor(runs: pd.DataFrame) -> Drawing:
    """Success at the end of the offline and of the online phase by arm: a dot per seed, mean and interval; a panel per
    task. Numbers: task, arm, phase, seed (empty: the mean over seeds), mean, low, high, n, method."""
    finished = done(runs)
    long = finished.melt(
        ["task", "arm", "seed"], ["offline_score", "final_score"], var_name="phase", value_name="score"
    ).replace({"phase": {"offline_score": "offline", "final_score": "online"}})
    keys = ["task", "arm", "phase"]
    numbers = pd.concat([estimates_by(long, keys, "score"), long.rename(columns={"score": "mean"})], ignore_index=True)
    numbers = numbers[[*keys, "seed", "mean", "low", "high", "n", "method"]].astype({"seed": "Int64", "n": "Int64"})
    tasks = list(finished["task"].drop_duplicates())
    arms = in_order(finished["arm"])
    colour = colours(arms)
    width = COLUMN if len(tasks) == 1 else PAGE
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.75 + 0.45 * len(arms)), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True):
            for (arm, phase), group in numbers[numbers["task"] == task].groupby(["arm", "phase"]):
                _dots(axes, group, arms.index(arm), phase, colour[arm])
            axes.update_datalim([(0, 0), (1, 0)])
            axes.autoscale_view()
            axes.set(title=task, xlabel="Success rate", ylim=(len(arms) - 0.45, -0.65), xticks=[0, 0.25, 0.5, 0.75, 1])
            axes.set_yticks(range(len(arms)), [label(arm) for arm in arms])
            axes.tick_params(axis="y", length=0)
        marks = [Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.2, markerfacecolor=face, label=text)
                 for face, text in (("white", "offline end"), (INK, "online end"))]  # fmt: skip
        figure.legend(handles=marks, loc="outside lower right", ncols=2)
    caption = (
        "Success rate by floor, at the end of the offline phase (open) and of the online phase (filled): a small dot "
        f"per seed, the mean and its {BAND}, not cut at 0 and 1. {_counts(finished)} {_episodes(finished)}"
    )
    return Drawing("score_by_floor", "Score by floor", figure, numbers, caption)


def curves(evaluations: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Mean and interval over seeds, and every seed, at every step.

    Columns: arm, quantity, step, seed (empty: the mean over seeds), mean (of a seed: its value), low, high, n, method.
    """
    long = evaluations.melt(["arm", "seed", "step"], quantities, var_name="quantity", value_name="value").dropna()
    means = estimates_by(long, ["arm", "quantity", "step"], "value")
    numbers = pd.concat([means, long.rename(columns={"value": "mean"})], ignore_index=True)
    numbers = numbers[["arm", "quantity", "step", "seed", "mean", "low", "high", "n", "method"]]
    return numbers.astype({"seed": "Int64", "n": "Int64"})


def write(drawing: Drawing, folder: Path) -> list[Path]:
    """Write `<name>.pdf`, `.svg`, `.png`, the numbers as `.csv` and the caption as `.txt`; no file holds a date."""
    paths = [folder / f"{drawing.name}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "txt")]
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    with mpl.rc_context(STYLE):
        for path, (kind, metadata) in zip(paths, undated.items(), strict=False):
            drawing.figure.savefig(path, format=kind, metadata=metadata)
    paths[3].write_text(drawing.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    paths[4].write_text(drawing.caption + "\n")
    return paths


def _small_multiples(count: int, legend: bool = False) -> tuple[Figure, Iterator[Axes]]:
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


def _finish_curves(figure: Figure, finished: pd.DataFrame, quantity: str) -> None:
    """Mark the switch and the dip's window, and name the axes."""
    for panel in figure.axes:
        panel.axvspan(0, _window(finished), color=SHADE, linewidth=0, zorder=0)
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


def _seeds(panel: Axes, numbers: pd.DataFrame, colour: str) -> None:
    sns.lineplot(
        numbers.dropna(subset="seed"), x="step", y="mean", units="seed", estimator=None, color=colour, alpha=0.45,
        linewidth=0.5, ax=panel, zorder=2, legend=False,
    )  # fmt: skip
    panel.set(xlabel="", ylabel="")


def _mean(panel: Axes, means: pd.DataFrame, **look: Any) -> None:
    panel.plot(means["step"], means["mean"], **look)


def _mean_with_band(panel: Axes, means: pd.DataFrame, colour: str) -> None:
    panel.fill_between(means["step"], means["low"], means["high"], color=colour, alpha=0.18, linewidth=0, zorder=3)
    _mean(panel, means, color=colour, linewidth=1.5, zorder=5)


def _value_legend(figure: Figure) -> None:
    entries = {
        "Q(s, pi(s))": Line2D([], [], color=INK, linewidth=1.5),
        "Q(s, a), dataset": Line2D([], [], color=INK, **Q_DATA),
        "mean floor": Line2D([], [], **REFERENCES["floor_mean"]),
        "mean return-to-go": Line2D([], [], **REFERENCES["return_to_go"]),
    }
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4)


def _dots(axes: Axes, group: pd.DataFrame, row: int, phase: str, colour: str) -> None:
    """The seeds of one arm and phase as dots, stacked where they coincide, with mean and interval."""
    height = row + (-0.13 if phase == "offline" else 0.13)
    seeds = group.dropna(subset="seed")
    stack = seeds.groupby("mean").cumcount() * 0.3 / max(len(seeds) - 1, 5)
    away = -1 if phase == "offline" else 1
    face = "white" if phase == "offline" else colour
    axes.scatter(seeds["mean"], height + away * (0.1 + stack), s=3, color=colour, alpha=0.7, linewidth=0, zorder=2)
    mean = group[group["seed"].isna()].iloc[0]
    axes.plot([mean["low"], mean["high"]], [height, height], color=colour, linewidth=1.2, zorder=3)
    axes.plot(mean["mean"], height, "o", color=colour, markerfacecolor=face, markersize=4, markeredgewidth=1, zorder=4)


def _of_task(runs: pd.DataFrame, task: object) -> pd.DataFrame:
    return done(runs[runs["task"] == task])


def _window(finished: pd.DataFrame) -> float:
    return float(finished["dip_window"].max())


def _counts(finished: pd.DataFrame) -> str:
    """n of every arm in one sentence, in one number where they agree."""
    counts = finished.groupby(["task", "arm"], sort=False).size()
    if counts.nunique() == 1:
        return f"n = {counts.iloc[0]} seeds per arm."
    several = finished["task"].nunique() > 1
    names = [f"{task}, {label(arm)}" if several else label(arm) for task, arm in counts.index]
    return f"Seeds per arm: {'; '.join(f'{name}: {n}' for name, n in zip(names, counts, strict=True))}."


def _episodes(finished: pd.DataFrame) -> str:
    numbers = sorted(set(finished["schedule.evaluation_episodes"]))
    return f"{' or '.join(map(str, numbers))} deterministic episodes per evaluation."
