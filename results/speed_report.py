"""The report about the benchmarks: a table, two figures and a page."""

from pathlib import Path

import pandas as pd

from harness.errors import UserError
from results import tables
from results.figures.drawing import write
from results.figures.speed import share_of_peak, update_parts
from results.page import render
from results.tables.speed import speed


def write_speed_report(benchmarks: pd.DataFrame, out: Path) -> list[Path]:
    """Write the report about a frame of `results.benchmarks.read` into the folder `out`; the files, the page first.

    `report.html`; `tables/` with csv, md and tex; `figures/` with pdf, svg, png, csv and caption of every figure.
    Raises UserError if `out` cannot be written.
    """
    table = speed(benchmarks)
    drawings = [drawing for draw in (share_of_peak, update_parts) if (drawing := draw(benchmarks)) is not None]
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
        files = [out / "report.html", *tables.write(table, out / "tables")]
        for drawing in drawings:
            files += write(drawing, out / "figures")
        images = {drawing.name: (out / "figures" / f"{drawing.name}.svg").read_text() for drawing in drawings}
        files[0].write_text(render("speed.html", images, table=table, drawings=drawings, about=benchmarks.attrs))
    except OSError as error:
        raise UserError(f"report folder {out}: cannot be written ({error.strerror}); name another folder") from None
    return files
