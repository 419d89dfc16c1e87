"""The results in README, made of the project's own runs: `python -m results.readme` writes them between two marks.

The runs' frames lie in results/reference/, where `floorbench report --root DIR --export results/reference` puts them.
"""

import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from ablations.claims import CLAIMS
from ablations.implementations import IMPLEMENTATIONS, SWITCHES
from harness.errors import UserError
from results.claim_sections import all_verdicts, claim_sections, overview
from results.figures.score_by_floor import score_by_floor
from results.frame.store import NAMES, Frames, load
from results.style import STYLE
from results.tables.scores import scores

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
REFERENCE = PROJECT / "results" / "reference"
FIGURE = "score_by_floor.png"

BEGIN, END = "<!-- results: `make report` writes what stands here -->", "<!-- end of results -->"

NOTHING = "No runs of the project's own have been exported yet."

# What README shows of the main table; the report shows all of it.
COLUMNS = [
    "Task", "Arm", "Score, offline end", "Score, online end", "regret_eval", "Dip", "Calibration, offline end", "n",
]  # fmt: skip


def section(reference: Path = REFERENCE) -> str:
    """What stands between the marks for the frames in a folder; without frames a sentence that says so."""
    if not any((reference / f"{name}.parquet").exists() for name in NAMES):
        return NOTHING
    frames = load(reference)
    shown = floors(frames.runs)
    table = scores(shown)
    judged = [each for each in claim_sections(CLAIMS, shown, frames.evaluations) if each.verdicts]
    claims = overview(all_verdicts(judged))
    caption = score_by_floor(shown).caption
    return "\n\n".join(
        [
            f"Of {_runs(shown)}, whose numbers lie in `results/reference/`; `make report` rebuilds what stands "
            "here, and the whole report, without training.",
            _markdown(table.text[COLUMNS]),
            table.notes[0],
            f"![Score by floor](results/reference/{FIGURE})",
            caption,
            "What became of the claims that these runs speak about, by task:",
            _markdown(claims.drop(columns=["Topic", "Id"])),
        ]
    )


def with_section(text: str, reference: Path = REFERENCE) -> str:
    """README's text with the section in its place. Raises UserError if it has not each mark once, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"README: should have the line {BEGIN!r} and, below it, {END!r}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{section(reference)}\n\n{END}{rest.split(END)[1]}"


def write(readme: Path = README, reference: Path = REFERENCE) -> None:
    """Bring README and its figure up to date; the same frames give the same text."""
    readme.write_text(with_section(readme.read_text(), reference))
    if section(reference) != NOTHING:
        draw(load(reference), reference / FIGURE)


def floors(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs about the floor; those about implementations are for the report."""
    return runs[~runs["arm"].isin([*IMPLEMENTATIONS, *SWITCHES])]


def draw(frames: Frames, file: Path) -> None:
    """README's figure."""
    with mpl.rc_context(STYLE):
        score_by_floor(floors(frames.runs)).figure.savefig(file, format="png")


def _runs(runs: pd.DataFrame) -> str:
    """ "30 runs (30 done) on pointmaze-medium"."""
    states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    return f"{len(runs)} runs ({states}) on {', '.join(runs['task'].unique())}"


def _markdown(table: pd.DataFrame) -> str:
    """Without the padding, which would change every line when one cell grows."""
    return re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", table.to_markdown(index=False, disable_numparse=True)))


if __name__ == "__main__":
    write()
