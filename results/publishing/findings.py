"""The findings of the published runs: `python -m results.publishing.findings` writes FINDINGS.md and FLOORS.md.

The texts are templates that look up every number in the frames, so that no number can be out of date.
"""

from pathlib import Path

from ablations.fine_tuning import DATA_SEEDS, PHENOMENON
from ablations.grids import runs_of
from results.figures.cause import causes, factorial
from results.figures.drawing import Drawing
from results.figures.learned_floor import floor_errors
from results.frame.frames import load
from results.publishing.evidence import Evidence
from results.publishing.published_runs import CAUSE, FINE_TUNING, FLOOR_ERROR, PUBLISHED, STUDY, published_runs
from results.reports.page import markdown
from results.style import drawing_style

# The documents and their templates: the findings, and the study of floors in detail.
FINDINGS, FLOORS = PUBLISHED / "FINDINGS.md", PUBLISHED / "FLOORS.md"
TEMPLATES = {FINDINGS.name: "findings.md", FLOORS.name: "floors.md"}


def findings(folder: Path = PUBLISHED, document: str = FINDINGS.name) -> str:
    """The text of a document for exported frames; what concerns fine-tuning only if such runs are among them."""
    grids = {"study": STUDY, "truncation": "truncation", "implementation": "implementation"}
    evidence = {name: Evidence(published_runs(grid, folder=folder)) for name, grid in grids.items()}
    fine_tuning = {grid: evidence_of(grid, folder, len(DATA_SEEDS)) for grid in FINE_TUNING}
    sizes = {f"{grid}_size": len(runs_of(grid)) for grid in fine_tuning}
    figures = figures_of(fine_tuning[CAUSE], fine_tuning[FLOOR_ERROR])
    shown = {**evidence, **fine_tuning, **sizes, "figures": figures}
    return markdown(TEMPLATES[document], **shown)


def evidence_of(grid: str, folder: Path = PUBLISHED, usual_n: int | None = None) -> Evidence | None:
    """What a template looks up in a grid; None if none of its runs are exported."""
    if not {run.id for run in runs_of(grid)} & set(load(folder).runs["run"]):
        return None
    return Evidence(published_runs(grid, folder=folder), usual_n)


def figures_of(cause: Evidence | None, floor_error: Evidence | None) -> list[Drawing]:
    """The causes of the fall on the task that shows it, and outcomes by the error of the floor."""
    of_cause = [*causes(cause.frames.runs, cause.frames.evaluations), *factorial(cause.measures)] if cause else []
    of_floors = floor_errors(floor_error.measures) if floor_error else []
    return [*(drawing for drawing in of_cause if drawing.task == PHENOMENON), *of_floors]


def write(folder: Path = PUBLISHED) -> None:
    """Update the documents and the figures. The same frames give the same files."""
    for document in TEMPLATES:
        (folder / document).write_text(findings(document=document), encoding="utf-8")
    for drawing in figures_of(evidence_of(CAUSE), evidence_of(FLOOR_ERROR)):
        with drawing_style():
            drawing.figure.savefig(folder / f"{drawing.name}.png", format="png", dpi=200)


if __name__ == "__main__":
    write()
