"""Faults of a figure that a reader would see: clipped and overlapping text, legends outside, axes without a unit."""

import re

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from results.figures.drawing import lay_out
from results.style import STYLE

# Pixels at 300 dpi by which boxes may overlap or stand out: a box is larger than the letters in it.
TOLERANCE = 4.0

# An axis names a unit in parentheses, or a quantity that is counted or has none.
UNIT = re.compile(r"\(.+\)|rate|share|probability|importance|steps|iteration|trial|\bratio\b", re.IGNORECASE)


def faults(figure: Figure) -> list[str]:
    """One line per fault."""
    with mpl.rc_context(STYLE):
        FigureCanvasAgg(figure)
        lay_out(figure)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        canvas = figure.bbox
        boxes = [(text, text.get_window_extent(renderer)) for text in _texts(figure)]
        lines = [f"clipped: {text.get_text()!r}" for text, box in boxes if _outside(box, canvas)]
        lines += [
            f"overlapping: {first.get_text()!r} and {second.get_text()!r}"
            for place, (first, one) in enumerate(boxes)
            for second, other in boxes[place + 1 :]
            if _overlap(one, other)
        ]
        legends = figure.findobj(Legend)
        lines += ["legend outside" for legend in legends if _outside(legend.get_window_extent(renderer), canvas)]
    return lines + _without_unit(figure)


def _texts(figure: Figure) -> list[Text]:
    """The visible texts; labels of ticks beyond the ends of an axis are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {id(tick.label1), id(tick.label2)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def _outside(box: Bbox, canvas: Bbox) -> bool:
    return (
        box.x0 < canvas.x0 - TOLERANCE
        or box.y0 < canvas.y0 - TOLERANCE
        or box.x1 > canvas.x1 + TOLERANCE
        or box.y1 > canvas.y1 + TOLERANCE
    )


def _overlap(one: Bbox, other: Bbox) -> bool:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return bool(width > TOLERANCE and height > TOLERANCE)


def _without_unit(figure: Figure) -> list[str]:
    """Axes of numbers without a unit in their label, or in the label or title that they share."""
    lines = []
    for axes in figure.axes:
        for axis, shared in ((axes.xaxis, figure.get_supxlabel()), (axes.yaxis, figure.get_supylabel())):
            ticks = [label for label in axis.get_ticklabels() if label.get_text()]
            if not ticks or _is_of_names(axis):
                continue
            first = figure.axes[0].get_ylabel() if axis is axes.yaxis else ""
            labels = [axis.get_label_text() or shared or first, axes.get_title(), axes.get_title(loc="left")]
            if not any(UNIT.search(label) for label in labels):
                lines.append(f"no unit: {labels}")
    return lines


def _is_of_names(axis: Axis) -> bool:
    """Whether the ticks are words."""
    return any(re.search("[A-Za-z]{3}", label.get_text()) for label in axis.get_ticklabels())


def drawn(panel) -> dict:
    """The named lines of a panel: name -> (x, y)."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines}
