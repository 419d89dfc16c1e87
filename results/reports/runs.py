"""The report about runs: tables, figures and linked HTML pages that need no network."""

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from results.figures.drawing import SCREEN
from results.frame import Frames
from results.processes import processes
from results.reports.claim_sections import SYMBOLS
from results.reports.contents import Contents, contents
from results.reports.page import markdown, render
from results.style import label
from results.tables import write
from results.tuning.ledger import Ledger
from results.verdicts import table as words
from results.verdicts.decisions import Verdict

# The pages beside one per task: the first one, all claims, all figures, runs with provenance.
PAGES = ("report.html", "claims.html", "figures.html", "runs.html")


def write_report(
    frames: Frames,
    out: Path,
    exact: Sequence[Verdict] = (),
    workers: int = 1,
    tuning: Sequence[Ledger] = (),
    grids: Sequence[str] = (),
    formats: Sequence[str] = SCREEN,
) -> list[Path]:
    """Write the report about the runs of `frames` into the folder `out`; return the files written, the page first.

    Writes `PAGES` and a page per task; `report.md`; `tables/` with csv, md and tex of every table and `runs.csv`, all
    runs; `figures/` with numbers, caption and the `formats` (svg, pdf, png) of every figure; the pages show the svg.
    `exact`: verdicts of the exact lab, whose report is in `out`/exact. `workers`: number of processes that draw figures
    (see `processes`). `tuning`: studies to include. `grids`: the names of the grids, for titles. The same frames give
    byte-identical files.

    Raises UserError if there is no finished run or if `out` cannot be written.
    """
    out = Path(out)
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
        with processes(workers) as submit:
            page = contents(frames, out / "figures", submit, formats, grids, exact, tuning)
        files = _write_pages(page, out)
        page.runs.to_csv(out / "tables" / "runs.csv", index=False, lineterminator="\n")
        tables = {table.name: table for table in (page.verdicts, *page.general, *page.tables)}
        tables |= {table.name: table for table in (page.cost, page.time, page.expectation, page.searches) if table}
        files += [path for table in tables.values() for path in write(table, out / "tables")]
    except OSError as error:
        raise UserError(
            f"report directory {out}: cannot be written ({error.strerror}); choose another directory"
        ) from None
    return [*files, out / "tables" / "runs.csv", *(path for one in page.pictures for path in one.files)]


def _write_pages(page: Contents, out: Path) -> list[Path]:
    values = {"page": page, "words": words, "symbols": SYMBOLS, "label": label}
    texts = {name: render(name, **values) for name in PAGES}
    texts |= {task.file: render("task.html", task=task, **values) for task in page.tasks}
    texts["report.md"] = markdown("report.md", **values)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in texts]
