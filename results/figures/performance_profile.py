"""Which share of the runs does better than what."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.figures.captions import counts, episodes
from results.figures.curves import small_multiples
from results.figures.drawing import Drawing
from results.frame import done
from results.frame.comparison import common, listed
from results.statistics.aggregates import performance_profile as profile_of
from results.statistics.bootstrap import FEWEST, stratified_band
from results.statistics.estimate import CONFIDENCE
from results.style import FAINT, PAGE, STYLE, colours, in_order, label

THRESHOLDS = np.linspace(0.0, 1.0, 51)
RESAMPLING_SEED = 0
MOMENTS = {"offline_score": "Offline end", "final_score": "Online end"}
SCORE, SHARE = "Success rate \N{GREEK SMALL LETTER TAU}", "Share of runs above \N{GREEK SMALL LETTER TAU}"

# So many arms are told apart in one panel.
TOGETHER = 8


def performance_profile(runs: pd.DataFrame) -> Drawing:
    """Share of each arm's runs, over the tasks that they have in common, whose score exceeds a threshold, at the end of
    either phase: all arms in one panel per phase, or, of more than `TOGETHER`, a panel per arm.

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
    with mpl.rc_context(STYLE):
        figure = _together(numbers, arms) if len(arms) <= TOGETHER else _apart(numbers, arms)
    lines = "" if len(arms) <= TOGETHER else " Thin: offline end; thick: online end; grey: the other arms, online end."
    caption = (
        f"Performance profiles: share of the runs of {len(tasks)} task{'s' if len(tasks) > 1 else ''} whose success "
        f"rate exceeds tau.{lines} Band: {CONFIDENCE:.0%} stratified bootstrap interval at every tau, whole runs drawn "
        f"again within each task, {FEWEST:,} resamples or more. {counts(finished)} {episodes(finished)}"
        + (f" Tasks: {', '.join(tasks)}. Without {listed(absent)}, which not all of them have." if absent else "")
    )
    return Drawing("performance_profiles", "Performance profiles", figure, numbers, caption)


def _together(numbers: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel per phase with all arms."""
    colour = colours(arms)
    figure = Figure(figsize=(PAGE, 2.3 + 0.15 * ((len(arms) + 2) // 3)), layout="constrained")
    for panel, (moment, title) in zip(figure.subplots(1, 2, sharey=True), MOMENTS.items(), strict=True):
        for arm in arms:
            own = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)]
            panel.fill_between(own["threshold"], own["low"], own["high"], color=colour[arm], alpha=0.12, linewidth=0)
            panel.plot(own["threshold"], own["share"], color=colour[arm], linewidth=1.4, label=label(arm))
        panel.set(title=title, xlabel=SCORE, ylim=(-0.03, 1.03), xlim=(0, 1))
    figure.axes[0].set_ylabel(SHARE)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _apart(numbers: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel per arm with both phases, before the other arms' profiles at the online end."""
    colour = colours(arms)
    figure, panels = small_multiples(len(arms))
    ends = numbers[numbers["moment"] == "final_score"]
    for arm, panel in zip(arms, panels, strict=True):
        for _, other in ends[ends["arm"] != arm].groupby("arm", sort=False):
            panel.plot(other["threshold"], other["share"], color=FAINT, linewidth=0.5, zorder=1)
        for moment, width in zip(MOMENTS, (0.7, 1.6), strict=True):
            own = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)]
            panel.fill_between(own["threshold"], own["low"], own["high"], color=colour[arm], alpha=0.18, linewidth=0)
            panel.plot(own["threshold"], own["share"], color=colour[arm], linewidth=width)
        panel.set_title(label(arm))
        panel.set(ylim=(-0.03, 1.03), xlim=(0, 1))
    figure.supxlabel(SCORE, fontsize=STYLE["axes.labelsize"])
    figure.supylabel(SHARE, fontsize=STYLE["axes.labelsize"])
    return figure


def profile(finished: pd.DataFrame, arm: str, moment: str) -> pd.DataFrame:
    """The profile of one arm's runs over their tasks, with its band; no band where every task has a single run."""
    tasks = [group[moment].to_numpy() for _, group in finished.groupby("task", sort=False)]
    share, low, high = stratified_band(
        tasks, lambda each: profile_of(each, THRESHOLDS), np.random.default_rng(RESAMPLING_SEED)
    )
    values = {"threshold": THRESHOLDS, "share": share, "low": low, "high": high}
    return pd.DataFrame({"moment": moment, "arm": arm, **values, "n": len(finished)})
