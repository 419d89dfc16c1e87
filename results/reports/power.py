"""How many seeds a comparison of two arms needs, estimated from a pilot: a table and a figure."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from ablations.claim import FEWEST_SEEDS
from harness.errors import UserError
from harness.metrics import METRICS
from results.figures.drawing import Drawing
from results.frame.frames import PAIRING
from results.frame.per_run import replicates
from results.statistics.intervals import Range, bounds_of, bounds_of_difference
from results.statistics.power import (
    ALPHA,
    LIMIT_CONFIDENCE,
    MOST_SEEDS,
    POWER,
    difference_power,
    equivalence_power,
    pilot_deviation,
    seeds_needed,
)
from results.style import COLUMN, INK, PAGE, drawing_style, label
from results.tables import Table
from results.tables.table import number

# Panels per row, and the colours of the two tests.
COLUMNS = 3
COLOURS = ("#0072b2", "#d55e00")
TICKS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Comparison:
    """Two arms and a metric, with the effect to detect and the margin of equivalence, in units of the metric."""

    # Column of `results.frame.per_run.per_run`.
    metric: str
    arm: str
    baseline: str
    effect: float
    margin: float


@dataclass(frozen=True)
class Pilot:
    """The paired differences of a comparison on a task, and the seeds that its tests need."""

    task: str
    # Pairs: seeds, or data seeds if there are several.
    n: int
    mean: float
    # Standard deviation of the differences, and its upper confidence limit.
    deviation: float
    upper: float
    # Seeds for `POWER`, with the deviation and with its upper limit; None above `MOST_SEEDS`.
    difference_seeds: int | None
    difference_seeds_upper: int | None
    equivalence_seeds: int | None
    equivalence_seeds_upper: int | None


def pilots(per_run: pd.DataFrame, comparison: Comparison) -> list[Pilot]:
    """The pilots of a comparison, task by task; `per_run` is the frame of this name.

    Raises UserError for an unknown metric, for runs that differ in settings other than the arm, and if no task has two
    pairs.
    """
    numeric = [str(name) for name in per_run.select_dtypes("number") if name not in PAIRING]
    if comparison.metric not in numeric:
        numeric = [name for name in numeric if "." not in name]
        raise UserError(
            f"--metric {comparison.metric}: not a number that runs have; choose one of {', '.join(numeric)}"
        )
    pair = [comparison.arm, comparison.baseline]
    of_tasks = []
    for task, rows in per_run.groupby("task", sort=False):
        if rows[rows["arm"].isin(pair)].duplicated(["arm", *PAIRING]).any():
            raise UserError(f"power: {task} has several runs of an arm and seed, with other settings; name a grid")
        table = rows.pivot(index=PAIRING, columns="arm", values=comparison.metric).reindex(columns=pair).astype(float)
        pairs = replicates(table.dropna())
        differences = (pairs[comparison.arm] - pairs[comparison.baseline]).to_numpy()
        if len(differences) > 1:
            bounds = bounds_of_difference(bounds_of(comparison.metric, rows))
            of_tasks.append(_pilot(str(task), differences, comparison, bounds))
    if not of_tasks:
        raise UserError(f"power: no task has two seeds with {' and '.join(pair)}; run a pilot with both arms")
    return of_tasks


def _pilot(task: str, differences: np.ndarray, comparison: Comparison, bounds: Range) -> Pilot:
    deviation = pilot_deviation(differences, bounds=bounds)
    needed = [
        _needed(power, size, spread)
        for power, size in ((difference_power, comparison.effect), (equivalence_power, comparison.margin))
        for spread in (deviation.deviation, deviation.upper)
    ]
    return Pilot(task, deviation.seeds, float(differences.mean()), deviation.deviation, deviation.upper, *needed)


def _needed(power: Callable[[int, float, float], float], size: float, deviation: float) -> int | None:
    """Seeds, at least `FEWEST_SEEDS`, at which a test of `size`, an effect or a margin, has power `POWER`."""
    if deviation == 0:
        return FEWEST_SEEDS
    return seeds_needed(lambda seeds: power(seeds, size, deviation), fewest=FEWEST_SEEDS)


def power_table(pilots: Sequence[Pilot], comparison: Comparison) -> Table:
    """One row per task. Numbers: the fields of `Pilot`."""
    text = [
        {
            "Task": pilot.task,
            "Pilot": f"n = {pilot.n}",
            "Mean difference": number(pilot.mean, 3, sign=True),
            "Standard deviation": f"{number(pilot.deviation, 3)} (at most {number(pilot.upper, 3)})",
            f"Seeds for a difference of {comparison.effect:g}": _seeds(
                pilot.difference_seeds, pilot.difference_seeds_upper
            ),
            f"Seeds for equivalence within {comparison.margin:g}": _seeds(
                pilot.equivalence_seeds, pilot.equivalence_seeds_upper
            ),
        }
        for pilot in pilots
    ]
    notes = (
        f"{_subject(comparison)}, paired by seed; where there are several data seeds, by data seed, as a mean over its "
        f"seeds. Seeds for a power of {POWER:g} at a significance level of {ALPHA:g}: two-sided paired t test of a "
        f"true difference of {comparison.effect:g}; two one-sided tests of equivalence within {comparison.margin:g} "
        f"if there is no difference; at least {FEWEST_SEEDS}, with which an exact sign-flip test can reject at all. In "
        f"brackets: with the upper {LIMIT_CONFIDENCE:.0%} confidence limit of the standard deviation.",
    )
    frame = pd.DataFrame([asdict(pilot) for pilot in pilots])
    return Table("power", "Seeds that a comparison needs", frame, pd.DataFrame(text), notes)


def power_figure(pilots: Sequence[Pilot], comparison: Comparison) -> Drawing:
    """Power against the number of seeds, a panel per task. Numbers: task, test, seeds, power, power_upper."""
    rows = []
    for pilot in pilots:
        seeds = np.unique(np.geomspace(2, _last(pilot), 60).round().astype(int))
        for test, power, size in _tests(comparison):
            rows += [
                {"task": pilot.task, "test": test, "seeds": n,
                 **{column: power(int(n), size, spread) if spread > 0 else 1.0
                    for column, spread in (("power", pilot.deviation), ("power_upper", pilot.upper))}}
                for n in seeds
            ]  # fmt: skip
    numbers = pd.DataFrame(rows)
    with drawing_style():
        columns = min(COLUMNS, len(pilots))
        lines = -(-len(pilots) // COLUMNS)
        figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 2.3 * lines + 0.3), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for panel in panels.flat[len(pilots) :]:
            panel.remove()
        for pilot, panel in zip(pilots, panels.flat, strict=False):
            for (test, _, size), colour in zip(_tests(comparison), COLOURS, strict=True):
                curve = numbers[(numbers["task"] == pilot.task) & (numbers["test"] == test)]
                panel.plot(curve["seeds"], curve["power"], color=colour, linewidth=1.3, label=f"{test} {size:g}")
                panel.fill_between(curve["seeds"], curve["power_upper"], curve["power"], color=colour, alpha=0.2, lw=0)
            panel.axhline(POWER, color=INK, linewidth=0.6, linestyle=(0, (3, 3)))
            panel.set(title=pilot.task, xlabel="Seeds", xscale="log", ylim=(0, 1.02))
            panel.set_xticks([tick for tick in TICKS if tick <= _last(pilot)], minor=False)
            panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.xaxis.set_minor_locator(NullLocator())
        for row in panels:
            row[0].set_ylabel("Power")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    caption = (
        f"Power of paired tests against the number of seeds. {_subject(comparison)}. "
        f"Bands: down to the power with the upper {LIMIT_CONFIDENCE:.0%} confidence limit of the standard deviation. "
        f"Dashed: {POWER:g}. Pilots: {', '.join(f'{pilot.task} n = {pilot.n}' for pilot in pilots)}."
    )
    return Drawing("power_curves", "Power against the number of seeds", figure, numbers, caption)


def _tests(comparison: Comparison) -> tuple[tuple[str, Callable[[int, float, float], float], float], ...]:
    """Name, power function and size of both tests."""
    return (
        ("difference of", difference_power, comparison.effect),
        ("equivalence within", equivalence_power, comparison.margin),
    )


def _last(pilot: Pilot) -> int:
    """The largest number of seeds of a panel: a bit more than all tests need."""
    needed = (pilot.difference_seeds_upper, pilot.equivalence_seeds_upper)
    return max(20, *(min(round(1.3 * seeds), 1000) if seeds else 1000 for seeds in needed))


def _subject(comparison: Comparison) -> str:
    metric = METRICS[comparison.metric].label if comparison.metric in METRICS else comparison.metric
    return f"{metric} of {label(comparison.arm)} minus {label(comparison.baseline)}"


def _seeds(seeds: int | None, upper: int | None) -> str:
    """The seeds and, in brackets, those with the upper limit: "24 (31)"."""
    first, second = (f"{value:,}" if value else f"more than {MOST_SEEDS:,}" for value in (seeds, upper))
    return f"{first} ({second})"
