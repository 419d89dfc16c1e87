"""Figures of a study: history, importance of settings, slices and parallel coordinates; one figure of many studies."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.metrics import METRICS
from results.figures.drawing import Drawing
from results.style import ACCENT, COLUMN, FAINT, GREY, INK, PAGE, colours, drawing_style, in_order, label
from results.tuning.ledger import FEWEST, SETTING, Ledger, importance, plain

# A figure of settings against values needs this many complete trials.
FEWEST_SHOWN = 3


def tuning_figures(ledger: Ledger) -> list[Drawing]:
    """All figures of a study; figures without data, or with too few complete trials to compare, are omitted."""
    complete = len(ledger.complete())
    if not complete:
        return []
    importance_figure = importances(ledger)
    return [
        history(ledger),
        *([importance_figure] if importance_figure else []),
        *([slices(ledger), parallel_coordinates(ledger)] if complete >= FEWEST_SHOWN else []),
    ]


def searches(ledgers: Sequence[Ledger]) -> Drawing | None:
    """Plot the values of all complete trials of several studies, a row per study; None without any.

    Numbers: study, arm, number, value, chosen (whether the trial is the best of its arm).
    """
    tables = []
    for ledger in ledgers:
        complete = ledger.complete()[["arm", "number", "value"]]
        best = {number for arm in ledger.arms for number in ledger.best_first(ledger.complete(arm)).head(1)["number"]}
        tables.append(complete.assign(study=ledger.study, chosen=complete["number"].isin(best)))
    numbers = pd.concat(tables, ignore_index=True)[["study", "arm", "number", "value", "chosen"]]
    if numbers.empty:
        return None
    studies = list(numbers["study"].unique())
    # Studies of one grid share the beginning of their names.
    names = [name.partition("-")[2] if len({name.partition("-")[0] for name in studies}) == 1 else name
             for name in studies]  # fmt: skip
    with drawing_style():
        figure = Figure(figsize=(4.8, 0.8 + 0.2 * len(studies)), layout="constrained")
        panel = figure.subplots()
        rows = numbers["study"].map(studies.index)
        first = numbers["number"] == 0
        looks: dict[str, tuple[pd.Series, dict[str, Any]]] = {
            "a trial": (~numbers["chosen"] & ~first, {"color": GREY, "s": 12}),
            "default settings": (first, {"facecolor": "none", "edgecolor": INK, "s": 26, "linewidths": 0.8}),
            "chosen": (numbers["chosen"], {"color": ACCENT, "s": 16, "zorder": 4}),
        }
        for chosen, (mask, look) in looks.items():
            panel.scatter(numbers["value"][mask], rows[mask], label=chosen, **{"linewidths": 0} | look)
        panel.set_yticks(range(len(studies)), names)
        panel.set(ylim=(len(studies) - 0.5, -0.5), xlabel=_objective_of(ledgers))
        panel.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper right", ncols=3)
    better = "higher" if ledgers[0].direction == "maximize" else "lower"
    arms = in_order({arm for ledger in ledgers for arm in ledger.arms})
    caption = (
        f"Value of every complete trial of {len(studies)} searches ({'; '.join(map(label, arms))}), each a mean over "
        f"the tuning seeds {', '.join(map(str, ledgers[0].seeds))}, which the reported runs do not use; {better} is "
        "better."
    )
    return Drawing("searches", "Trials of the searches for settings", figure, numbers, caption)


def _objective_of(ledgers: Sequence[Ledger]) -> str:
    """The objectives of some studies as an axis label."""
    return " or ".join(dict.fromkeys(map(_objective, ledgers)))


def history(ledger: Ledger) -> Drawing:
    """Plot the value of every trial and the best value so far. Numbers: arm, number, state, value, best_so_far."""
    numbers = pd.concat([_with_best_so_far(ledger, arm_trials) for _, arm_trials in _by_arm(ledger)], ignore_index=True)
    colour = colours(ledger.arms)
    with drawing_style():
        figure, panel = _one_panel(ledger)
        for arm in in_order(ledger.arms):
            arm_trials = numbers[numbers["arm"] == arm]
            complete, pruned = (arm_trials[arm_trials["state"] == state] for state in ("complete", "pruned"))
            panel.scatter(complete["number"], complete["value"], s=9, color=colour[arm], alpha=0.7, linewidths=0)
            panel.scatter(
                pruned["number"], pruned["value"], s=10, color=colour[arm], alpha=0.5, marker="x", linewidths=0.8
            )
            panel.step(arm_trials["number"], arm_trials["best_so_far"], where="post", color=colour[arm], linewidth=1.4)
        panel.set(xlabel="Trial", ylabel=_objective(ledger))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        pruned_too = bool((numbers["state"] == "pruned").any())
        _legend(
            figure,
            ledger,
            Line2D([], [], color=INK, marker="x", linestyle="", markersize=4, label="pruned"),
            pruned_too,
        )
    caption = (
        f"Value of every trial in the order of the search and, as a step line, the best complete trial so far; trial 0 "
        f"has the default settings. {_counts(ledger)}"
        + (" Crosses: pruned trials, at their last compared evaluation." if pruned_too else "")
    )
    return Drawing(f"tuning_history_{ledger.study}", f"History, study {ledger.study}", figure, numbers, caption)


def importances(ledger: Ledger) -> Drawing | None:
    """Plot the importance of every setting; None with too few trials.

    Numbers: arm, setting, importance.
    """
    numbers = importance(ledger)
    if numbers.empty:
        return None
    arms, settings = in_order(numbers["arm"]), list(ledger.space)
    colour, height = colours(arms), 0.8 / len(arms)
    with drawing_style():
        figure, panel = _one_panel(ledger, 0.9 + 0.14 * len(settings) * (1 + len(arms)))
        for place, arm in enumerate(arms):
            arm_trials = numbers[numbers["arm"] == arm].set_index("setting")["importance"].reindex(settings)
            panel.barh(
                np.arange(len(settings)) + place * height, arm_trials, height, color=colour[arm], label=label(arm)
            )
        panel.set_yticks(np.arange(len(settings)) + 0.4 - height / 2, [_short(path) for path in settings])
        panel.invert_yaxis()
        panel.set(xlabel="Importance", xlim=(0, 1))
        _legend(figure, ledger)
    caption = (
        "Importance of each setting for being in the best tenth of the trials (PED-ANOVA, "
        f"Watanabe et al. 2023), per arm; only arms with at least {FEWEST} complete trials. {_counts(ledger)}"
    )
    return Drawing(
        f"tuning_importance_{ledger.study}", f"Importance of settings, study {ledger.study}", figure, numbers, caption
    )


def slices(ledger: Ledger) -> Drawing:
    """Plot the value against every setting, a panel per setting.

    Numbers: arm, number, value, settings of the complete trials.
    """
    numbers = _complete(ledger)
    colour, paths = colours(ledger.arms), list(ledger.space)
    columns = min(len(paths), 3)
    rows = ceil(len(paths) / columns)
    width = COLUMN if columns == 1 else PAGE
    with drawing_style():
        figure = Figure(figsize=(width, 0.3 + 1.75 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for panel, path in zip(grid.flatten(), paths, strict=False):
            for arm in in_order(numbers["arm"]):
                arm_trials = numbers[numbers["arm"] == arm]
                values = arm_trials[SETTING + path]
                places = values.map(plain) if values.dtype in (object, bool) else values
                panel.scatter(places, arm_trials["value"], s=9, color=colour[arm], alpha=0.7, linewidths=0)
            if ledger.is_logarithmic(path):
                panel.set_xscale("log")
            panel.set_xlabel(_short(path))
        for spare in grid.flatten()[len(paths) :]:
            spare.remove()
        for row in grid:
            row[0].set_ylabel(_objective(ledger))
        _legend(figure, ledger)
    caption = f"Value of every complete trial against each searched setting. {_counts(ledger)}"
    return Drawing(f"tuning_slices_{ledger.study}", f"Slices, study {ledger.study}", figure, numbers, caption)


def parallel_coordinates(ledger: Ledger) -> Drawing:
    """Plot all settings of every trial as parallel coordinates, a panel per arm; numbers: as for `slices`."""
    numbers, paths = _complete(ledger), list(ledger.space)
    arms, colour = in_order(numbers["arm"]), colours(ledger.arms)
    names = [*map(_short, paths), _objective(ledger)]
    with drawing_style():
        figure = Figure(figsize=(PAGE, 0.3 + 1.9 * len(arms)), layout="constrained")
        for panel, arm in zip(figure.subplots(len(arms), 1, squeeze=False).flatten(), arms, strict=True):
            arm_trials = numbers[numbers["arm"] == arm]
            heights = np.column_stack([
                *(_height(ledger, path, arm_trials[SETTING + path]) for path in paths),
                _scaled(arm_trials["value"].to_numpy(float), numbers["value"].min(), numbers["value"].max()),
            ])  # fmt: skip
            best = set(ledger.best_first(arm_trials).head(ceil(len(arm_trials) / 10))["number"])
            for line, number in zip(heights, arm_trials["number"], strict=True):
                good = number in best
                line_style = (
                    {"color": colour[arm], "linewidth": 1.3, "zorder": 3}
                    if good
                    else {"color": FAINT, "linewidth": 0.6}
                )
                panel.plot(range(len(names)), line, **line_style)
            panel.set_title(label(arm), loc="left")
            panel.set(ylim=(-0.12, 1.12), yticks=[])
            panel.set_xticks(range(len(names)), names)
            panel.tick_params(bottom=False)
            panel.spines[["left", "bottom"]].set_visible(False)
            for place, (low, high) in enumerate([*(_ends(ledger, path) for path in paths), _value_ends(numbers)]):
                panel.plot([place, place], [0.0, 1.0], color=INK, linewidth=0.6)
                panel.annotate(low, (place, -0.02), ha="center", va="top", fontsize=7)
                panel.annotate(high, (place, 1.02), ha="center", va="bottom", fontsize=7)
    caption = (
        "Every complete trial as a line through its settings, from the smallest to the largest searched value "
        f"(logarithmic if searched on a log scale), and its value. In colour: the best tenth. {_counts(ledger)}"
    )
    return Drawing(
        f"tuning_parallel_{ledger.study}", f"Parallel coordinates, study {ledger.study}", figure, numbers, caption
    )


def _by_arm(ledger: Ledger) -> Iterator[tuple[str, pd.DataFrame]]:
    for arm in in_order(ledger.arms):
        yield arm, ledger.trials[ledger.trials["arm"] == arm]


def _with_best_so_far(ledger: Ledger, arm_trials: pd.DataFrame) -> pd.DataFrame:
    values = arm_trials["value"].where(arm_trials["state"] == "complete")
    best = values.cummax() if ledger.direction == "maximize" else values.cummin()
    return arm_trials[["arm", "number", "state", "value"]].assign(best_so_far=best.ffill())


def _complete(ledger: Ledger) -> pd.DataFrame:
    columns = ["arm", "number", "value", *(SETTING + path for path in ledger.space)]
    return ledger.complete()[columns].reset_index(drop=True)


def _one_panel(ledger: Ledger, height: float = 2.3) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(COLUMN, height + 0.15 * len(ledger.arms)), layout="constrained")
    return figure, figure.subplots()


def _legend(figure: Figure, ledger: Ledger, extra: Line2D | None = None, shown: bool = False) -> None:
    colour = colours(ledger.arms)
    entries = [Line2D([], [], color=colour[arm], linewidth=1.5, label=label(arm)) for arm in in_order(ledger.arms)]
    entries += [extra] if extra and shown else []
    figure.legend(handles=entries, loc="outside upper left", ncols=2 if figure.get_figwidth() <= COLUMN else 4)


def _objective(ledger: Ledger) -> str:
    metric = METRICS.get(ledger.objective)
    return f"{metric.label} ({metric.unit})" if metric else ledger.objective


def _counts(ledger: Ledger) -> str:
    parts = []
    for arm, arm_trials in _by_arm(ledger):
        states = arm_trials["state"].value_counts()
        named = [("complete", "complete"), ("pruned", "pruned"), ("fail", "failed")]
        counted = [f"{states[state]} {word}" for state, word in named if state in states]
        parts.append(f"{label(arm)}: {', '.join(counted)}")
    better = "larger" if ledger.direction == "maximize" else "smaller"
    return (
        f"Each trial is a mean over {len(ledger.seeds)} tuning seeds; {better} is better. Trials: {'; '.join(parts)}."
    )


def _short(path: str) -> str:
    """A setting's name without its section."""
    return path.rpartition(".")[2].replace("_", " ")


def _height(ledger: Ledger, path: str, values: pd.Series) -> np.ndarray:
    """The positions of values in the searched range, scaled to [0, 1]."""
    attributes = ledger.space[path]["attributes"]
    if "choices" in attributes:
        places = [attributes["choices"].index(value) for value in values]
        return np.array(places) / max(len(attributes["choices"]) - 1, 1)
    ends = np.array([attributes["low"], attributes["high"]], float)
    numbers = values.to_numpy(float)
    if ledger.is_logarithmic(path):
        ends, numbers = np.log(ends), np.log(numbers)
    return _scaled(numbers, *ends)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _ends(ledger: Ledger, path: str) -> tuple[str, str]:
    attributes = ledger.space[path]["attributes"]
    choices = attributes.get("choices")
    return (plain(choices[0]), plain(choices[-1])) if choices else (plain(attributes["low"]), plain(attributes["high"]))


def _value_ends(numbers: pd.DataFrame) -> tuple[str, str]:
    return plain(float(numbers["value"].min())), plain(float(numbers["value"].max()))
