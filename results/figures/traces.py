"""A thin line per seed, for any number of seeds."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

# More lines than this become pixels in vector files, which would else grow by a megabyte per thousand.
VECTOR_LIMIT = 100


def traces(panel: Axes, rows: pd.DataFrame, x: str, y: str, **look: Any) -> None:
    """Draw column `y` over `x` for each seed of `rows` (column "seed").

    One line with gaps for matplotlib, which takes a millisecond per line.
    """
    if rows.empty:
        return
    each = rows[["seed", x, y]].sort_values(["seed", x], kind="stable")
    gaps = each.drop_duplicates("seed", keep="last").assign(**{y: float("nan")})
    lines = pd.concat([each, gaps]).sort_values("seed", kind="stable")
    panel.plot(lines[x], lines[y], rasterized=len(gaps) > VECTOR_LIMIT, **look)
