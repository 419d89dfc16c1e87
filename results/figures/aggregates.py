"""Estimates over several tasks as rliable draws them: interquartile means, improvement, performance profiles."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.figures.curves import accent_of, compared
from results.figures.drawing import Drawing, counts, episodes
from results.figures.forest import estimate, forest, not_applicable, places_of
from results.frame import done
from results.frame.comparison import common, listed
from results.frame.per_run import replicated
from results.statistics.aggregates import FEWEST, stratified_band
from results.statistics.aggregates import performance_profile as profile_of
from results.statistics.intervals import CONFIDENCE
from results.style import INK, PAGE, STYLE, colour, drawing_style, in_order, label, short
from results.tables import Table
from results.tables.pooled import improvement
from results.tables.scores import BASELINE

BOOTSTRAP = (
    f"{CONFIDENCE:.0%} stratified bootstrap interval (runs resampled within each task, at least {FEWEST:,} resamples), "
    "which covers the choice of seeds, not of tasks"
)

# Panels of the figure of aggregates: titles by metric, with the direction that is better.
PANELS = {
    "offline_iqm": "IQM of the score,\noffline end (right is better)",
    "final_iqm": "IQM of the score,\nonline end (right is better)",
    "regret_iqm": "IQM of regret_eval\n(left is better)",
}


def aggregates(table: Table | None, finished: pd.DataFrame) -> Drawing | None:
    """Plot the interquartile means of the table `pooled`, a row per arm; None without the table.

    Numbers: the rows of the table for the metrics shown.
    """
    if table is None:
        return None
    numbers = table.numbers[table.numbers["metric"].isin(PANELS)].reset_index(drop=True)
    values: dict[Any, Any] = numbers.set_index(["arm", "metric"]).to_dict("index")
    places = places_of(numbers["arm"])
    with drawing_style():
        figure, panels = forest(places, len(PANELS))
        for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
            for arm, place in places.items():
                row = values[arm, metric]
                estimate(panel, place, row["mean"], row["low"], row["high"], colour(arm))
            panel.set_title(title)
            panel.locator_params(axis="x", nbins=5)
        figure.supxlabel("Success rate", fontsize=STYLE["axes.labelsize"])
    tasks, arms = common(finished, BASELINE, fewest=2)
    absent = [label(arm) for arm in in_order(finished["arm"]) if arm not in arms]
    caption = (
        f"Interquartile mean (IQM: without the lowest and the highest quarter) of all runs of an arm on {len(tasks)} "
        f"tasks, with {BOOTSTRAP}. {counts(finished[finished['task'].isin(tasks) & finished['arm'].isin(arms)])}"
        + (f" Not shown, as they lack some of the tasks: {listed(absent)}." if absent else "")
    )
    return Drawing("aggregates", "Interquartile means over all tasks", figure, numbers, caption)


# Arms against which the others are compared.
OPPONENTS = ("cql", "monte_carlo")


def probability_of_improvement(runs: pd.DataFrame, table: Table | None) -> Drawing | None:
    """Plot the probability that a run of an arm beats one of another arm; a panel per opponent, None for one task.

    Against `BASELINE` the numbers are those of the table `pooled`. Numbers: arm, opponent, mean, low, high, n, method.
    """
    finished = done(runs)
    tasks, arms = common(finished, BASELINE, fewest=2)
    opponents = [arm for arm in OPPONENTS if arm in arms]
    if table is None or len(arms) < 2:
        return None
    known = table.numbers[table.numbers["metric"] == "improvement"].drop(columns="metric")
    others = [
        {"arm": arm, "opponent": opponent, **asdict(improvement(finished, tasks, arm, opponent))}
        for opponent in opponents if opponent != BASELINE for arm in arms if arm != opponent
    ]  # fmt: skip
    numbers = pd.concat([known.assign(opponent=BASELINE), pd.DataFrame(others)], ignore_index=True)
    numbers = numbers[["arm", "opponent", *numbers.columns.drop(["arm", "opponent"])]]
    values: dict[Any, Any] = numbers.set_index(["arm", "opponent"]).to_dict("index")
    places = places_of(arms)
    with drawing_style():
        figure, panels = forest(places, len(opponents), width=5.4)
        for panel, opponent in zip(panels, opponents, strict=True):
            panel.axvline(0.5, color=INK, linewidth=0.7, zorder=1)
            for arm, place in places.items():
                if arm == opponent:
                    not_applicable(panel, place)
                    continue
                row = values[arm, opponent]
                estimate(panel, place, row["mean"], row["low"], row["high"], colour(arm))
            panel.set(title=f"against {short(opponent)}", xlim=(0, 1))
            panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        figure.supxlabel("Probability of a higher score at the online end", fontsize=STYLE["axes.labelsize"])
    caption = (
        f"Probability that a run of the arm has a higher score at the online end than a run of the opponent on a task "
        f"drawn from the {len(tasks)}; ties count half, so an arm without effect is at 0.5. Bars: {BOOTSTRAP}, in "
        f"pairs of equal seed. {counts(finished[finished['task'].isin(tasks) & finished['arm'].isin(arms)])}"
    )
    return Drawing("improvement", "Probability of improvement", figure, numbers, caption)


THRESHOLDS = np.linspace(0.0, 1.0, 51)
RESAMPLING_SEED = 0
MOMENTS = {"offline_score": "Offline end", "final_score": "Online end"}


def performance_profile(runs: pd.DataFrame) -> Drawing | None:
    """Share of each arm's runs, over the tasks of all arms, whose score exceeds a threshold, at the end of each phase.

    The arms are those of `compared`; None for fewer than two tasks. Numbers: moment, arm, threshold, share, low, high,
    n.
    """
    finished = done(runs)
    tasks, arms = common(finished, fewest=2)
    arms = compared(arms)
    if len(tasks) < 2:
        return None
    finished = finished[finished["task"].isin(tasks) & finished["arm"].isin(arms)]
    numbers = pd.concat(
        [profile(finished[finished["arm"] == arm], arm, moment) for moment in MOMENTS for arm in arms],
        ignore_index=True,
    )
    with drawing_style():
        figure = _profiles(numbers, arms)
    caption = (
        f"Performance profiles: share of the runs of {len(tasks)} tasks whose success rate exceeds tau. Band: "
        f"pointwise {BOOTSTRAP}. {counts(finished)} {episodes(finished)} Tasks: {', '.join(tasks)}."
    )
    return Drawing("performance_profiles", "Performance profiles", figure, numbers, caption)


def _profiles(numbers: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Plot a panel per moment."""
    accent = accent_of(arms)
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    for panel, (moment, title) in zip(figure.subplots(1, 2, sharey=True), MOMENTS.items(), strict=True):
        for arm in arms:
            rows, arm_colour = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)], colour(arm, accent)
            panel.fill_between(rows["threshold"], rows["low"], rows["high"], color=arm_colour, alpha=0.14, linewidth=0)
            panel.plot(rows["threshold"], rows["share"], color=arm_colour, linewidth=1.4, label=label(arm))
        panel.set(title=title, xlabel=r"Success rate $\tau$", ylim=(-0.03, 1.03), xlim=(0, 1))
    figure.axes[0].set_ylabel(r"Share of runs with a score $> \tau$")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def profile(finished: pd.DataFrame, arm: str, moment: str) -> pd.DataFrame:
    """The performance profile of an arm with its band; without a band if every task has a single run."""
    tasks = [replicated(group[moment], group).to_numpy() for _, group in finished.groupby("task", sort=False)]
    share, low, high = stratified_band(
        tasks, lambda scores: profile_of(scores, THRESHOLDS), np.random.default_rng(RESAMPLING_SEED)
    )
    values = {"threshold": THRESHOLDS, "share": share, "low": low, "high": high}
    return pd.DataFrame({"moment": moment, "arm": arm, **values, "n": sum(map(len, tasks))})
