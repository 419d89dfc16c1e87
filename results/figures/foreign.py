"""Learning curves of others beside ours."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.figures.curves import ALONE, accent_of, compared
from results.figures.drawing import BAND, Drawing, counts, finished_of
from results.frame.foreign import OURS, name_beside_ours
from results.statistics.intervals import estimates_by
from results.style import AMBER, GREY, INK, colour, drawing_style, label
from results.tables.table import spread

# Colours of their arms, and line styles once the colours are used up.
COLOURS = (AMBER, INK, GREY)
LINES = ((0, (4, 1.6)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)))

# Most arms of others in a figure.
MOST = len(COLOURS) * len(LINES)


def curves_beside_foreign(runs: pd.DataFrame, evaluations: pd.DataFrame, foreign: pd.DataFrame) -> list[Drawing]:
    """Plot the scores of others and of the `compared` arms of ours: a figure per task that both have.

    The horizontal axis is the share of each phase, whose numbers of steps may differ. Numbers: arm, source, position,
    step, mean, low, high, n, method; the source of ours is "floorbench".
    """
    drawings = []
    for task, rows in evaluations.groupby("task", sort=False):
        theirs = foreign[foreign["task"] == task]
        if len(theirs):
            drawings.append(_of_task(str(task), finished_of(runs, task), rows, theirs))
    return drawings


def _of_task(task: str, finished: pd.DataFrame, rows: pd.DataFrame, theirs: pd.DataFrame) -> Drawing:
    arms = compared(rows["arm"].unique())
    ours = rows[rows["arm"].isin(arms)]
    parts = [_estimates(ours.assign(source=OURS), float(finished["schedule.offline_steps"].max()))]
    parts += [_estimates(group, float(group["offline_steps"].iloc[0])) for _, group in theirs.groupby("source")]
    numbers = pd.concat(parts, ignore_index=True)
    others = numbers[numbers["source"] != OURS][["source", "arm"]].drop_duplicates().to_numpy().tolist()
    drawn = others[:MOST]
    with drawing_style():
        figure = Figure(figsize=(ALONE, 2.6 + 0.14 * len(drawn)), layout="constrained")
        panel = figure.subplots()
        for arm, of_arm in numbers[numbers["source"] == OURS].groupby("arm", sort=False):
            _line(panel, of_arm, label(arm), colour(str(arm), accent_of(arms)), "-")
        for place, (source, arm) in enumerate(drawn):
            of_arm = numbers[(numbers["source"] == source) & (numbers["arm"] == arm)]
            look = COLOURS[place % len(COLOURS)], LINES[place // len(COLOURS)]
            _line(panel, of_arm, name_beside_ours(arm, source), *look)
        panel.axvline(0, color=INK, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2)
        panel.set_xticks([-1, 0, 1], ["start", "switch", "end"])
        panel.set_xlabel("Share of the offline and of the online phase")
        panel.set_ylabel("Score (success rate or normalised return)")
        panel.legend(loc="upper left", bbox_to_anchor=(0, -0.22), fontsize=6.5, ncols=2, borderpad=0)
    runs = theirs.drop_duplicates(["source", "arm", "seed"])
    sizes = [((runs["source"] == source) & (runs["arm"] == arm)).sum() for source, arm in others]
    named = [f"{name_beside_ours(arm, source)}: {n}" for (source, arm), n in zip(others, sizes, strict=True)]
    caption = (
        f"Score on {task} of runs of others (broken lines, their source in brackets) and of ours (full lines): means "
        f"over runs; bands, for runs of others: {BAND}. Each phase is drawn with the same width: "
        f"{_phases(finished, theirs)}. Runs of others, in no average of ours: {'; '.join(named)}. Ours: "
        f"{counts(finished[finished['arm'].isin(arms)])}"
        f"{f' Only the first {MOST} arms of others are drawn.' if len(others) > MOST else ''}"
    )
    return Drawing(f"foreign_{task}", "Runs of others", figure, numbers, caption, task)


def _estimates(rows: pd.DataFrame, offline: float) -> pd.DataFrame:
    """Mean and interval per arm and step of a source, and the position: -1 to 0 offline, 0 to 1 online."""
    means = estimates_by(rows, ["arm", "source", "step"], "score", (0.0, 1.0))
    online = float(max(rows["step"].max(), 1))
    position = means["step"].where(means["step"] > 0, means["step"] / (offline or 1.0))
    means.insert(2, "position", position.where(means["step"] <= 0, means["step"] / online))
    return means


def _line(panel: Axes, means: pd.DataFrame, name: str, line_colour: str, dashes: object) -> None:
    x = means["position"]
    if dashes != "-":
        panel.fill_between(x, means["low"], means["high"], color=line_colour, alpha=0.14, linewidth=0, zorder=3)
    panel.plot(x, means["mean"], color=line_colour, linestyle=dashes, linewidth=1.4, label=name, zorder=5)


def _phases(finished: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """The numbers of steps of both phases, of ours and of every source."""
    phases = [f"ours {spread(finished['schedule.offline_steps'])} + {spread(finished['schedule.online_steps'])} steps"]
    for source, group in theirs.groupby("source"):
        phases.append(f"{source} {group['offline_steps'].iloc[0]:,} + {max(group['step'].max(), 0):,} steps")
    return ", ".join(phases)
