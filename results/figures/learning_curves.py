"""Success over training."""

import matplotlib as mpl
import pandas as pd

from results.figures.captions import BAND, counts, episodes, finished_of, window
from results.figures.curves import curves, finish_curves, mean, mean_with_band, means_of_others, seeds, small_multiples
from results.figures.drawing import Drawing
from results.figures.traces import left_out
from results.style import STYLE, colours, in_order, label


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
