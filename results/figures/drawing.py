"""A figure with its numbers and caption, and their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.frame import done
from results.statistics.intervals import CONFIDENCE
from results.style import COLUMN, ON_DARK, PAGE, STYLE, drawing_style, label

Look = dict[str, Any]

MINUS = "\N{MINUS SIGN}"

# Drawn below the other lines, so that a line equal to it stays visible.
BROAD: Look = {"linewidth": 2.8, "zorder": 1}
LINE: Look = {"linewidth": 1.4, "zorder": 3}
DASHED: Look = {"linewidth": 1.4, "linestyle": (0, (4, 1.6)), "zorder": 4}
DOTTED: Look = {"linewidth": 1.4, "linestyle": (0, (1, 1.3)), "zorder": 4}

# Types of the columns of numbers that are empty for a mean or for a seed.
SEED_TYPES = {"data_seed": "Int64", "seed": "Int64", "n": "Int64"}


@dataclass(frozen=True)
class Drawing:
    """A figure with its title, numbers and caption."""

    # File name without a suffix.
    name: str
    title: str
    figure: Figure
    # The plotted numbers, one row per mean and per seed.
    numbers: pd.DataFrame
    # Names the statistic, the interval and n.
    caption: str
    # Empty if the figure is about several tasks.
    task: str = ""


@dataclass(frozen=True)
class Picture:
    """A written figure, as pages show it."""

    name: str
    title: str
    caption: str
    task: str
    # Width and height in inches.
    size: tuple[float, float]
    files: tuple[Path, ...]

    @property
    def formats(self) -> tuple[str, ...]:
        """The suffixes of its files without the caption, to be linked."""
        return tuple(path.suffix[1:] for path in self.files if path.suffix != ".txt")


# The format that pages show, and those for papers.
SCREEN, PRINT = ("svg",), ("svg", "pdf", "png")


def write(drawing: Drawing, folder: Path, formats: Sequence[str] = PRINT) -> list[Path]:
    """Write `<name>` in the formats ("svg", "pdf", "png"), the numbers as `.csv` and the caption as `.txt`.

    No file contains a date. The layout is computed once, at the resolution of the PNG.
    """
    options: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},
        "svg": {"metadata": {"Date": None}},
        # A higher compression level takes as long as drawing the figure.
        "png": {"pil_kwargs": {"compress_level": 2}},
    }
    paths = [folder / f"{drawing.name}.{suffix}" for suffix in (*formats, "csv", "txt")]
    with drawing_style():
        lay_out(drawing.figure)
        for path, kind in zip(paths, formats, strict=False):
            drawing.figure.savefig(path, format=kind, **options[kind])
    for path in paths:
        if path.suffix == ".svg":
            path.write_text(with_dark_colours(path.read_text(encoding="utf-8")), encoding="utf-8")
    paths[-2].write_text(
        drawing.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"), encoding="utf-8"
    )
    paths[-1].write_text(drawing.caption + "\n", encoding="utf-8")
    return paths


def picture(drawing: Drawing, folder: Path, formats: Sequence[str] = SCREEN) -> Picture:
    """Write a figure and return what pages need of it."""
    files = tuple(write(drawing, folder, formats))
    width, height = map(float, drawing.figure.get_size_inches())
    return Picture(drawing.name, drawing.title, drawing.caption, drawing.task, (width, height), files)


def with_dark_colours(svg: str) -> str:
    """The SVG with a style sheet that replaces its colours where the reader prefers a dark scheme."""
    present = {light: dark for light, dark in ON_DARK.items() if light in svg}
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in present.items()
        for kind in ("fill", "stroke")
        if f"{kind}: {light}" in svg
    )
    # The first element after the opening tag.
    opening = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:opening]}<style>@media (prefers-color-scheme: dark){{{rules}}}</style>{svg[opening:]}"


def lay_out(figure: Figure) -> None:
    """Compute the layout once and freeze it; otherwise each file format computes it again."""
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi = STYLE["savefig.dpi"]
        engine.execute(figure)
        figure.set_layout_engine(None)


BAND = f"{CONFIDENCE:.0%} t interval over seeds"


def finished_of(runs: pd.DataFrame, task: object) -> pd.DataFrame:
    """The finished runs of a task."""
    return done(runs[runs["task"] == task])


def window(finished: pd.DataFrame) -> float:
    """The number of environment steps after the switch over which the dip is measured."""
    return float(finished[["dip_window", "schedule.online_steps"]].min(axis=1).max())


def counts(finished: pd.DataFrame) -> str:
    """A sentence with the number of seeds per arm: one number if all arms have the same.

    Data seeds, if there are several: every number is then a mean over the seeds of one.
    """
    groups = finished.groupby(["task", "arm"], sort=False)
    counts = groups.size()
    if finished["data_seed"].nunique() > 1:
        data_seeds = sorted(set(groups["data_seed"].nunique()))
        runs = sorted(set(counts))
        return (
            f"n = {_extent(data_seeds)} data seeds per arm, each with the mean of its runs ({_extent(runs)} runs per "
            "arm)."
        )
    if counts.nunique() == 1:
        return f"n = {counts.iloc[0]} seeds per arm."
    several = finished["task"].nunique() > 1
    names = [f"{task}, {label(arm)}" if several else label(arm) for task, arm in counts.index]
    return f"Seeds per arm: {'; '.join(f'{name}: {n}' for name, n in zip(names, counts, strict=True))}."


def _extent(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"


def episodes(finished: pd.DataFrame) -> str:
    """A sentence with the number of episodes per evaluation."""
    numbers = sorted(set(finished["schedule.evaluation_episodes"]))
    return f"{' or '.join(map(str, numbers))} deterministic episodes per evaluation."


def panels_in_rows(count: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Create a figure of `count` panels, at most three per row, with rows `height` inches high including labels."""
    columns = 2 if count == 4 else min(count, 3)
    rows = ceil(count / columns)
    figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 0.3 + height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False).flatten()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def legend_above(figure: Figure, panel: Axes) -> None:
    """Place the legend of a panel above the figure."""
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def name_x(figure: Figure, quantity: str) -> None:
    """Name the horizontal axis that all panels share."""
    figure.supxlabel(quantity, fontsize=STYLE["axes.labelsize"])


def with_problem(frame: pd.DataFrame, text: str) -> str:
    """A caption with the description of the problem that the frame has in `attrs["problem"]`, if any."""
    return f"{text} {frame.attrs.get('problem', '')}".strip()
