"""Every seed on its own, and how many of them failed."""

import matplotlib as mpl
import pandas as pd

from results.figures.captions import episodes, finished_of
from results.figures.curves import finish_curves, small_multiples
from results.figures.drawing import Drawing
from results.figures.traces import drawn, left_out, traces
from results.style import FAINT, STYLE, colours, in_order, label

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
