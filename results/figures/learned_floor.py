"""Learned floors: compared with the Monte Carlo floor within seed, and by the error of their estimators."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from ablations.axes import split_variant
from ablations.measures import MARGIN
from harness.metrics import LEARNED_FLOOR, METRICS, Metric
from results.figures.drawing import SEED_TYPES, Drawing, Look
from results.figures.forest import estimate
from results.frame import PAIRING
from results.frame.per_run import replicated
from results.statistics.intervals import CONFIDENCE, bounds_of, bounds_of_difference, mean_interval
from results.statistics.pairs import paired_difference
from results.style import (
    ACCENT,
    AMBER,
    FAINT,
    GREEN,
    GREY,
    INK,
    PAGE,
    SHADE,
    colour,
    drawing_style,
    in_order,
    label,
    short,
)
from results.tables.table import number

LEARNED, EXACT = "learned", "monte_carlo"

# Columns of `per_run` in the numbers; the last two are drawn, in these colours.
QUANTITIES = ("switch.floor_mean", "final_score", "regret_eval")
DRAWN = {"final_score": GREY, "regret_eval": GREEN}

# Errors of a fit against returns that were held out, and those that replace them where V_mu is known.
ERRORS = ("held_out_r2", "held_out_bias", "held_out_rmse")
TRUE_ERRORS = ("held_out_r2", "exact_bias", "exact_rmse")
# Fewest learned floors of a task whose errors are compared.
FEWEST_FLOORS = 3

# The first is drawn against errors if all arms have it, the second if not; the third always.
OUTCOMES = ("online_change", "final_score", "regret_eval")

# Arms without a learned floor, drawn as lines.
REFERENCES = ("cql", "monte_carlo")
# Colours and markers of estimators, and sizes of their variants.
COLOURS = (GREEN, AMBER, ACCENT, INK, GREY)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
SIZES = (2.6, 3.5, 4.6, 5.7, 6.8)


def learned_floor(per_run: pd.DataFrame) -> Drawing | None:
    """Plot the differences by task, learned minus Monte Carlo; None if no seed has both.

    `per_run` is the frame of `results.frame.per_run.per_run`. Numbers: task, quantity, data_seed and seed (empty: the
    mean difference), monte_carlo, learned, held_out_rmse, mean, low, high, n, method, correlation, p_value.
    """
    exact, learned = (per_run[per_run["arm"] == arm] for arm in (EXACT, LEARNED))
    both = pd.merge(exact, learned, on=["task", *PAIRING])
    if both.empty:
        return None
    seeds, estimates = [], []
    for quantity in QUANTITIES:
        columns = {"monte_carlo": both[f"{quantity}_x"], "learned": both[f"{quantity}_y"]}
        error = {"held_out_rmse": both["learned_floor.held_out_rmse_y"]}
        seeds.append(both[["task", *PAIRING]].assign(quantity=quantity, **columns, **error))
        for task, group in seeds[-1].groupby("task", sort=False):
            learned_values, exact_values = (replicated(group[arm], group) for arm in ("learned", "monte_carlo"))
            bounds = bounds_of_difference(bounds_of(quantity, exact[exact["task"] == task]))
            pairs = asdict(paired_difference(learned_values, exact_values, bounds=bounds))
            estimates.append({"task": task, "quantity": quantity, **pairs})
    numbers = pd.concat([pd.DataFrame(estimates), *seeds], ignore_index=True)
    order = ["task", "quantity", *PAIRING, "monte_carlo", "learned", "held_out_rmse"]
    numbers = numbers[[*order, *(name for name in estimates[0] if name not in order)]]
    numbers = numbers.astype(SEED_TYPES)
    tasks = list(both["task"].drop_duplicates())
    with drawing_style():
        figure = Figure(figsize=(5.0, 0.95 + 0.36 * len(tasks)), layout="constrained")
        panel = figure.subplots()
        panel.axvspan(-MARGIN, MARGIN, color=SHADE, linewidth=0, zorder=0)
        panel.axvline(0, color=INK, linewidth=0.7, zorder=1)
        for row, task in enumerate(tasks):
            for place, (quantity, arm_colour) in enumerate(DRAWN.items()):
                height = row + (place - 0.5) * 0.42
                of_quantity = numbers[(numbers["task"] == task) & (numbers["quantity"] == quantity)]
                of_seeds = of_quantity[of_quantity["seed"].notna()]
                differences = of_seeds["learned"] - of_seeds["monte_carlo"]
                panel.plot(differences, [height] * len(of_seeds), "o", color=arm_colour,
                           markersize=2.2, markeredgewidth=0, alpha=0.6, zorder=5)  # fmt: skip
                mean = of_quantity[of_quantity["seed"].isna()].iloc[0]
                estimate(panel, height, mean["mean"], mean["low"], mean["high"], arm_colour, height=0.34)
        panel.set_yticks(range(len(tasks)), tasks)
        panel.set(ylim=(len(tasks) - 0.4, -0.6), xlabel="Learned minus Monte Carlo floor, within seed (success rate)")
        panel.tick_params(axis="y", length=0)
        for edge in range(1, len(tasks)):
            panel.axhline(edge - 0.5, color=FAINT, linewidth=0.3, zorder=0)
        entries = [Line2D([], [], color=arm_colour, linewidth=4, alpha=0.7, label=METRICS[quantity].label)
                   for quantity, arm_colour in DRAWN.items()]  # fmt: skip
        figure.legend(handles=entries, loc="outside upper right", ncols=2)
    caption = (
        "Cal-QL with a learned floor minus Cal-QL with the Monte Carlo floor: a dot per seed, mean and "
        f"{CONFIDENCE:.0%} paired t interval; shaded: the claims' margin of {MARGIN:g}. "
        f"{_floors([row for row in estimates if row['quantity'] == QUANTITIES[0]])}"
    )
    return Drawing("learned_floor", "Learned against Monte Carlo floor", figure, numbers, caption)


def _floors(estimates: list[dict[str, Any]]) -> str:
    """A sentence about the difference of the floors themselves."""
    parts = [f"{row['task']} {row['mean']:+.3g} [{row['low']:.3g}, {row['high']:.3g}]" for row in estimates]
    counts = sorted({row["n"] for row in estimates})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    return (
        f"Mean difference of the floors themselves, in mapped return: {'; '.join(parts)}. {n} pairs of runs per task."
    )


def floor_errors(per_run: pd.DataFrame) -> list[Drawing]:
    """Plot outcomes against the errors of the estimated floor, a figure per task with several learned floors.

    The outcomes are the change online, where it is measured, or else the score at the end, and regret.

    `per_run` is the frame of `results.frame.per_run.per_run`. Numbers, per arm: task, arm, error (name of the
    column of `learned_floor.`), error_mean, quantity, mean, low, high, n, method; error_mean is empty for `REFERENCES`.
    """
    return [
        drawing
        for task, rows in per_run.groupby("task", sort=False)
        if (drawing := _floor_errors(str(task), rows)) is not None
    ]


def _floor_errors(task: str, rows: pd.DataFrame) -> Drawing | None:
    """The figure of one task; None with too few learned floors."""
    fitted = rows[rows["learned_floor.held_out_rmse"].notna()]
    arms = in_order(fitted["arm"])
    if len(arms) < FEWEST_FLOORS:
        return None
    errors = TRUE_ERRORS if fitted["learned_floor.exact_rmse"].notna().all() else ERRORS
    references = [arm for arm in REFERENCES if arm in set(rows["arm"])]
    compared = rows[rows["arm"].isin([*references, *arms])]
    changes, score, regret = OUTCOMES
    measured = compared[changes].notna().groupby(compared["arm"]).any().all()
    outcomes = (changes if measured else score, regret)
    numbers = _means(task, compared, [*references, *arms], outcomes, errors)
    estimators = list(dict.fromkeys(split_variant(arm)[0] for arm in arms))
    # The arm itself last: it sees all data, and a dose is usually a share of them.
    variants = sorted(dict.fromkeys(split_variant(arm)[1] for arm in arms), key=lambda name: not name)
    looks: dict[str, Look] = {
        name: {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(estimators)
    }
    sizes = {name: SIZES[min(place, len(SIZES) - 1)] for place, name in enumerate(variants)}
    entries = [
        *(Line2D([], [], linestyle="none", markersize=4.6, label=short(name), **looks[name]) for name in estimators),
        *(Line2D([], [], color=colour(arm), linewidth=1.2, label=label(arm)) for arm in references),
        *(Line2D([], [], linestyle="none", marker="o", color=GREY, markersize=sizes[name],
                 label=name.replace("=", " = ").replace(",", ", ") or "default settings")
          for name in (variants if len(variants) > 1 else ())),
    ]  # fmt: skip
    with drawing_style():
        figure = Figure(figsize=(PAGE, 3.4 + 0.16 * (len(entries) // 3 + 1)), layout="constrained")
        panels = figure.subplots(len(outcomes), len(errors), sharex="col", sharey="row")
        for quantity, row in zip(outcomes, panels, strict=True):
            for error, panel in zip(errors, row, strict=True):
                shown = numbers[(numbers["quantity"] == quantity) & (numbers["error"] == error)].set_index("arm")
                for arm in references:
                    panel.axhline(shown.loc[arm, "mean"], color=colour(arm), linewidth=1.2, zorder=1)
                _points(panel, shown.loc[arms], looks, sizes)
                if "bias" in error:
                    panel.axvline(0, color=INK, linewidth=0.5, zorder=0)
            row[0].set_ylabel(f"{METRICS[quantity].label} ({METRICS[quantity].unit})")
        for error, panel in zip(errors, panels[-1], strict=True):
            panel.set_xlabel(_axis(error))
        figure.legend(handles=entries, loc="outside lower center", ncols=3)
    known = (
        "R2: held-out; bias and RMSE: against V_mu" if errors == TRUE_ERRORS else "on trajectories the fit did not use"
    )
    quantities = " and ".join(METRICS[quantity].label.lower() for quantity in outcomes)
    caption = (
        f"{task}: {quantities} by the error of the estimated floor ({known}, mapped return). A point per arm: mean and "
        f"{CONFIDENCE:.0%} t interval over seeds, or data seeds if there are several; lines join the variants of an "
        f"estimator. {_rank_correlations(numbers.dropna(subset='error_mean'), outcomes, errors)}"
    )
    return Drawing(f"floor_errors_{task}", f"{task}: how good a floor must be", figure, numbers, caption, task)


def _means(
    task: str, rows: pd.DataFrame, arms: list[str], outcomes: tuple[str, ...], errors: tuple[str, ...]
) -> pd.DataFrame:
    """The numbers of `floor_errors`."""
    numbers = []
    for arm in arms:
        of_arm = rows[rows["arm"] == arm]
        for quantity in outcomes:
            bounds = bounds_of(quantity, of_arm)
            interval = asdict(mean_interval(replicated(of_arm[quantity], of_arm), bounds=bounds))
            for error in errors:
                mean = float("nan") if arm in REFERENCES else of_arm[f"learned_floor.{error}"].mean()
                numbers.append(
                    {"task": task, "arm": arm, "error": error, "error_mean": mean, "quantity": quantity, **interval}
                )
    return pd.DataFrame(numbers)


def _points(panel: Axes, shown: pd.DataFrame, looks: dict[str, Look], sizes: dict[str, float]) -> None:
    """Draw a point with its interval for every arm, and a line through the variants of each estimator."""
    for arm, row in shown.iterrows():
        estimator, variant = split_variant(str(arm))
        panel.vlines(row["error_mean"], row["low"], row["high"], color=looks[estimator]["color"], linewidth=0.7,
                     alpha=0.6, zorder=2)  # fmt: skip
        panel.plot(row["error_mean"], row["mean"], markersize=sizes[variant], markeredgewidth=0, zorder=4,
                   **looks[estimator])  # fmt: skip
    for estimator, look in looks.items():
        of_estimator = [arm for arm in shown.index if split_variant(str(arm))[0] == estimator]
        line = shown.loc[sorted(of_estimator, key=lambda arm: sizes[split_variant(str(arm))[1]])]
        panel.plot(line["error_mean"], line["mean"], color=look["color"], linewidth=0.7, alpha=0.6, zorder=3)


def _axis(error: str) -> str:
    """The label of an axis: "Held-out bias (return)"."""
    against = " against $V_\\mu$" if error in TRUE_ERRORS[1:] else ""
    return f"{_label(error).replace('R2', '$R^2$')}{against} ({_metric(error).unit})"


def _rank_correlations(numbers: pd.DataFrame, outcomes: tuple[str, ...], errors: tuple[str, ...]) -> str:
    """A sentence with Spearman's correlations over arms of mean errors, and of the size of biases, with the means."""
    parts = []
    for quantity in outcomes:
        of_quantity = numbers[numbers["quantity"] == quantity]
        values = []
        for error in errors:
            means = of_quantity[of_quantity["error"] == error]
            text = f"{_label(error)} {_rank_correlation(means['error_mean'], means['mean'])}"
            if "bias" in error:
                text += f" (its size {_rank_correlation(means['error_mean'].abs(), means['mean'])})"
            values.append(text)
        parts.append(f"{METRICS[quantity].label} with {', '.join(values)}")
    return f"Rank correlations over the {numbers['arm'].nunique()} arms: {'; '.join(parts)}."


def _rank_correlation(errors: pd.Series, means: pd.Series) -> str:
    constant = errors.nunique() < 2 or means.nunique() < 2
    return "n/a" if constant else number(stats.spearmanr(errors, means).statistic, 2, True)


def _metric(error: str) -> Metric:
    (metric,) = (metric for metric in LEARNED_FLOOR if metric.name == error)
    return metric


def _label(error: str) -> str:
    return _metric(error).label
