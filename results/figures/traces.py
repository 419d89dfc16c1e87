"""A thin line per seed."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

# Lines that an eye can tell apart, with room to spare; of more seeds the first so many are drawn.
MOST = 50


def traces(panel: Axes, rows: pd.DataFrame, x: str, y: str, **look: Any) -> None:
    """Draw column `y` over `x` for each seed of `rows` (column "seed"), of the first `MOST`.

    One line with gaps for matplotlib, which takes a millisecond per line.
    """
    each = drawn(rows)[["seed", x, y]].sort_values(["seed", x], kind="stable")
    gaps = each.drop_duplicates("seed", keep="last").assign(**{y: float("nan")})
    lines = pd.concat([each, gaps]).sort_values("seed", kind="stable")
    if len(lines):
        panel.plot(lines[x], lines[y], **look)


def drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds (column "seed") that get a line: the first `MOST`, of every arm where arms are named."""
    seeds = rows.groupby("arm")["seed"] if "arm" in rows else rows["seed"]
    return rows[seeds.rank(method="dense") <= MOST]


def left_out(rows: pd.DataFrame) -> str:
    """A sentence for the caption where not every seed of `rows` is drawn, else nothing."""
    return f" Thin lines are those of the first {MOST} seeds." if rows["seed"].nunique() > MOST else ""
