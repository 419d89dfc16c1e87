"""Distributions of scores: score by floor, and performance profiles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.curves import small_multiples
from results.figures.drawing import BAND, SEED_TYPES, Drawing, counts, episodes
from results.frame import PAIRING, done
from results.frame.comparison import common, listed
from results.statistics.aggregates import FEWEST, stratified_band
from results.statistics.aggregates import performance_profile as profile_of
from results.statistics.intervals import CONFIDENCE, estimates_by
from results.style import COLUMN, FAINT, INK, PAGE, STYLE, colours, drawing_style, in_order, label

# More panels in a row cannot be read at the width of a page.
TASKS_PER_FIGURE = 3


def score_by_floor(runs: pd.DataFrame) -> list[Drawing]:
    """Success at the end of the offline and of the online phase by arm: a dot per seed, mean and interval; a panel per
    task, at most `TASKS_PER_FIGURE`. Numbers: task, arm, phase, data_seed and seed (empty: the mean over seeds), mean,
    low, high, n, method."""
    finished = done(runs)
    tasks = list(finished["task"].drop_duplicates())
    blocks = [tasks[first : first + TASKS_PER_FIGURE] for first in range(0, len(tasks), TASKS_PER_FIGURE)]
    return [
        _of_tasks(finished[finished["task"].isin(block)], "score_by_floor" + (f"_{place}" if place > 1 else ""))
        for place, block in enumerate(blocks, 1)
    ]


def _of_tasks(finished: pd.DataFrame, name: str) -> Drawing:
    """Plot the figure of a few tasks."""
    long = finished.melt(
        ["task", "arm", *PAIRING], ["offline_score", "final_score"], var_name="phase", value_name="score"
    ).replace({"phase": {"offline_score": "offline", "final_score": "online"}})
    keys = ["task", "arm", "phase"]
    numbers = pd.concat([estimates_by(long, keys, "score"), long.rename(columns={"score": "mean"})], ignore_index=True)
    numbers = numbers[[*keys, *PAIRING, "mean", "low", "high", "n", "method"]].astype(SEED_TYPES)
    tasks = list(finished["task"].drop_duplicates())
    arms = in_order(finished["arm"])
    colour = colours(arms)
    width = COLUMN if len(tasks) == 1 else PAGE
    with drawing_style():
        figure = Figure(figsize=(width, 0.75 + (0.45 if len(arms) < 10 else 0.33) * len(arms)), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True):
            for (arm, phase), group in numbers[numbers["task"] == task].groupby(["arm", "phase"]):
                _dots(axes, group, arms.index(arm), phase, colour[arm])
            axes.update_datalim([(0, 0), (1, 0)])
            axes.autoscale_view()
            axes.set(title=task, xlabel="Success rate", ylim=(len(arms) - 0.45, -0.65))
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
            axes.set_yticks(range(len(arms)), [label(arm) for arm in arms])
            axes.tick_params(axis="y", length=0)
        marks = [Line2D([], [], color=INK, marker="o", markersize=4, linewidth=1.2, markerfacecolor=face, label=text)
                 for face, text in (("white", "offline end"), (INK, "online end"))]  # fmt: skip
        figure.legend(handles=marks, loc="outside lower right", ncols=2)
    caption = (
        "Success rate by floor, at the end of the offline phase (open) and of the online phase (filled): a small dot "
        f"per seed, and the mean with {BAND}, not clipped to [0, 1]. {counts(finished)} {episodes(finished)}"
    )
    return Drawing(name, f"Score by floor, {', '.join(tasks)}", figure, numbers, caption)


def _dots(axes: Axes, group: pd.DataFrame, row: int, phase: str, colour: str) -> None:
    """Plot the seeds of one arm and phase as dots, stacked if they coincide, with mean and interval."""
    height = row + (-0.13 if phase == "offline" else 0.13)
    seeds = group.dropna(subset="seed")
    stack = seeds.groupby("mean").cumcount() * 0.3 / max(len(seeds) - 1, 5)
    away = -1 if phase == "offline" else 1
    face = "white" if phase == "offline" else colour
    axes.scatter(seeds["mean"], height + away * (0.1 + stack), s=3, color=colour, alpha=0.7, linewidth=0, zorder=2)
    mean = group[group["seed"].isna()].iloc[0]
    axes.plot([mean["low"], mean["high"]], [height, height], color=colour, linewidth=1.2, zorder=3)
    axes.plot(mean["mean"], height, "o", color=colour, markerfacecolor=face, markersize=4, markeredgewidth=1, zorder=4)


THRESHOLDS = np.linspace(0.0, 1.0, 51)
RESAMPLING_SEED = 0
MOMENTS = {"offline_score": "Offline end", "final_score": "Online end"}
SCORE, SHARE = "Success rate \N{GREEK SMALL LETTER TAU}", "Share of runs above \N{GREEK SMALL LETTER TAU}"

# So many arms are told apart in one panel.
ARMS_TOGETHER = 8


def performance_profile(runs: pd.DataFrame) -> Drawing:
    """Share of each arm's runs, over the tasks that they have in common, whose score exceeds a threshold, at the end of
    either phase: all arms in one panel per phase, or, of more than `ARMS_TOGETHER`, a panel per arm.

    Numbers: moment, arm, threshold, share, low, high, n.
    """
    finished = done(runs)
    tasks, arms = common(finished)
    absent = [label(arm) for arm in in_order(finished["arm"]) if arm not in arms]
    finished = finished[finished["task"].isin(tasks) & finished["arm"].isin(arms)]
    numbers = pd.concat(
        [profile(finished[finished["arm"] == arm], arm, moment) for moment in MOMENTS for arm in arms],
        ignore_index=True,
    )
    with drawing_style():
        figure = _together(numbers, arms) if len(arms) <= ARMS_TOGETHER else _apart(numbers, arms)
    legend = " Thin: offline end; thick: online end; grey: the other arms, online end."
    lines = "" if len(arms) <= ARMS_TOGETHER else legend
    caption = (
        f"Performance profiles: share of the runs of {len(tasks)} task{'s' if len(tasks) > 1 else ''} whose success "
        f"rate exceeds tau.{lines} Band: {CONFIDENCE:.0%} pointwise stratified bootstrap interval, runs resampled "
        f"within each task, at least {FEWEST:,} resamples. {counts(finished)} {episodes(finished)}"
        + (
            f" Tasks: {', '.join(tasks)}. Not shown, as they lack some of these tasks: {listed(absent)}."
            if absent
            else ""
        )
    )
    return Drawing("performance_profiles", "Performance profiles", figure, numbers, caption)


def _together(numbers: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Plot a panel per phase with all arms."""
    colour = colours(arms)
    figure = Figure(figsize=(PAGE, 2.3 + 0.15 * ((len(arms) + 2) // 3)), layout="constrained")
    for panel, (moment, title) in zip(figure.subplots(1, 2, sharey=True), MOMENTS.items(), strict=True):
        for arm in arms:
            arm_rows = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)]
            panel.fill_between(
                arm_rows["threshold"], arm_rows["low"], arm_rows["high"], color=colour[arm], alpha=0.12, linewidth=0
            )
            panel.plot(arm_rows["threshold"], arm_rows["share"], color=colour[arm], linewidth=1.4, label=label(arm))
        panel.set(title=title, xlabel=SCORE, ylim=(-0.03, 1.03), xlim=(0, 1))
    figure.axes[0].set_ylabel(SHARE)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _apart(numbers: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Plot a panel per arm with both phases; the other arms' profiles at the online end are grey."""
    colour = colours(arms)
    figure, panels = small_multiples(len(arms))
    ends = numbers[numbers["moment"] == "final_score"]
    for arm, panel in zip(arms, panels, strict=True):
        for _, other in ends[ends["arm"] != arm].groupby("arm", sort=False):
            panel.plot(other["threshold"], other["share"], color=FAINT, linewidth=0.5, zorder=1)
        for moment, width in zip(MOMENTS, (0.7, 1.6), strict=True):
            arm_rows = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)]
            panel.fill_between(
                arm_rows["threshold"], arm_rows["low"], arm_rows["high"], color=colour[arm], alpha=0.18, linewidth=0
            )
            panel.plot(arm_rows["threshold"], arm_rows["share"], color=colour[arm], linewidth=width)
        panel.set_title(label(arm))
        panel.set(ylim=(-0.03, 1.03), xlim=(0, 1))
    figure.supxlabel(SCORE, fontsize=STYLE["axes.labelsize"])
    figure.supylabel(SHARE, fontsize=STYLE["axes.labelsize"])
    return figure


def profile(finished: pd.DataFrame, arm: str, moment: str) -> pd.DataFrame:
    """The performance profile of an arm with its band; without a band if every task has a single run."""
    tasks = [group[moment].to_numpy() for _, group in finished.groupby("task", sort=False)]
    share, low, high = stratified_band(
        tasks, lambda scores: profile_of(scores, THRESHOLDS), np.random.default_rng(RESAMPLING_SEED)
    )
    values = {"threshold": THRESHOLDS, "share": share, "low": low, "high": high}
    return pd.DataFrame({"moment": moment, "arm": arm, **values, "n": len(finished)})
