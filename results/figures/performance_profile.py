"""Which share of the runs does better than what."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.figures.captions import counts, episodes
from results.figures.drawing import Drawing
from results.frame import done
from results.statistics.aggregates import performance_profile as profile_of
from results.statistics.bootstrap import FEWEST, stratified_band
from results.statistics.estimate import CONFIDENCE
from results.style import PAGE, STYLE, colours, in_order, label

THRESHOLDS = np.linspace(0.0, 1.0, 51)
RESAMPLING_SEED = 0
MOMENTS = {"offline_score": "Offline end", "final_score": "Online end"}


def performance_profile(runs: pd.DataFrame) -> Drawing:
    """Share of each arm's runs, over all tasks, whose score exceeds a threshold, at the end of either phase.

    Numbers: moment, arm, threshold, share, low, high, n.
    """
    finished = done(runs)
    numbers = pd.concat(
        [profile(finished[finished["arm"] == arm], arm, moment)
         for moment in MOMENTS for arm in in_order(finished["arm"])], ignore_index=True
    )  # fmt: skip
    arms = in_order(finished["arm"])
    colour = colours(arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 2.3 + 0.15 * ((len(arms) + 2) // 3)), layout="constrained")
        for panel, (moment, title) in zip(figure.subplots(1, 2, sharey=True), MOMENTS.items(), strict=True):
            for arm in arms:
                own = numbers[(numbers["arm"] == arm) & (numbers["moment"] == moment)]
                panel.fill_between(
                    own["threshold"], own["low"], own["high"], color=colour[arm], alpha=0.12, linewidth=0
                )
                panel.plot(own["threshold"], own["share"], color=colour[arm], linewidth=1.4, label=label(arm))
            panel.set(title=title, xlabel="Success rate \N{GREEK SMALL LETTER TAU}", ylim=(-0.03, 1.03), xlim=(0, 1))
        figure.axes[0].set_ylabel("Share of runs above \N{GREEK SMALL LETTER TAU}")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=3)
    tasks = finished["task"].nunique()
    caption = (
        f"Performance profiles: share of the runs of {tasks} task{'s' if tasks > 1 else ''} whose success rate exceeds "
        f"tau. Band: {CONFIDENCE:.0%} stratified bootstrap interval at every tau, whole runs drawn again within each "
        f"task, {FEWEST:,} resamples or more. {counts(finished)} {episodes(finished)}"
    )
    return Drawing("performance_profiles", "Performance profiles", figure, numbers, caption)


def profile(finished: pd.DataFrame, arm: str, moment: str) -> pd.DataFrame:
    """The profile of one arm's runs over their tasks, with its band; no band where every task has a single run."""
    tasks = [group[moment].to_numpy() for _, group in finished.groupby("task", sort=False)]
    share, low, high = stratified_band(
        tasks, lambda each: profile_of(each, THRESHOLDS), np.random.default_rng(RESAMPLING_SEED)
    )
    values = {"threshold": THRESHOLDS, "share": share, "low": low, "high": high}
    return pd.DataFrame({"moment": moment, "arm": arm, **values, "n": len(finished)})
