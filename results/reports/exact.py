"""The report of the exact lab: claims with verdicts, figures and provenance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import pandas as pd

from harness.errors import UserError
from harness.folders.provenance import code_version, machine, package_versions, torch_threads
from results import tables
from results.figures import exact_floors, exact_lab
from results.figures.drawing import SCREEN, picture
from results.reports.claim_sections import SYMBOLS
from results.reports.page import render
from results.tables import Table
from results.verdicts import table as words
from results.verdicts.decisions import Outcome, Verdict
from results.verdicts.table import by_topic, verdict_table

# One function per frame, in page order.
FIGURES = (
    exact_lab.max_operation, exact_floors.floor_dose, exact_floors.inflation_kinds, exact_floors.monte_carlo_bias,
    exact_lab.unlearning, exact_lab.switch_data, exact_lab.switch_scale, exact_floors.floor_estimators,
    exact_floors.truncation, exact_lab.regret_split,
)  # fmt: skip


def write_exact_report(
    verdicts: Sequence[Verdict], frames: Mapping[str, pd.DataFrame], out: Path, formats: Sequence[str] = SCREEN
) -> list[Path]:
    """Write the report of the exact lab to the directory `out`; return the files written, the page first.

    `frames` maps the name of every function of `FIGURES` to its frame.

    Writes `report.html`; `tables/` with csv, md and tex of the verdicts; `figures/` with numbers, caption and the
    `formats` (svg, pdf, png) of every figure. The same numbers give byte-identical files.

    Raises UserError if `out` cannot be written.
    """
    out = Path(out)
    drawings = [draw(frames[draw.__name__]) for draw in FIGURES]
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
        files = [out / "report.html", *tables.write(verdict_table(verdicts), out / "tables")]
        pictures = [picture(drawing, out / "figures", formats) for drawing in drawings]
        files += [path for one in pictures for path in one.files]
        page = render(
            "exact.html",
            symbols=SYMBOLS,
            summary=summary(verdicts),
            topics=by_topic(verdicts),
            words=words,
            pictures=pictures,
            provenance=provenance_table(),
        )
        files[0].write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"report directory {out}: cannot be written ({error.strerror}); choose another directory"
        ) from None
    return files


def summary(verdicts: Sequence[Verdict]) -> str:
    """The number of claims by outcome: "12 claims: 9 supported, 2 contradicted, 1 inconclusive"."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])
    return f"{len(verdicts)} claim{'s' if len(verdicts) != 1 else ''}: {outcomes}"


def provenance_table() -> Table:
    """The commit, package versions and machine that produced the numbers."""
    code, packages, computer = code_version(), package_versions(), machine()
    values = {
        "floorbench commit": code["commit"] or f"not from a checkout; build {code.get('build')}",
        "changes to the commit": code["difference"] or "none",
        **{name: packages[name] for name in ("torch", "numpy", "scipy")},
        "Python": computer["python"],
        "processor": computer["processor"],
        "threads": torch_threads(),
    }
    text = pd.DataFrame([{"Item": name, "Value": str(value)} for name, value in values.items()])
    return Table("provenance", "Provenance", text, text)
