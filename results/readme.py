"""The results in README, made of the project's own study: `python -m results.readme` writes them between two marks."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import matplotlib as mpl
import pandas as pd

from ablations.claims import CLAIMS
from harness.errors import UserError
from results.claim_sections import all_verdicts, claim_sections
from results.figures.dose_response import dose_response
from results.figures.drawing import Drawing
from results.figures.effects import effects_figure
from results.frame import done
from results.frame.frames import Frames
from results.own_runs import PROJECT, REFERENCE, STUDY, has_frames, own_runs
from results.style import STYLE, in_order, label
from results.tables.effects import effects, effects_table
from results.tables.text import NONE, number
from results.verdicts.per_run import per_run
from results.verdicts.verdict import Outcome, Verdict

README = PROJECT / "README.md"

BEGIN, END = "<!-- results: `make report` writes what stands here -->", "<!-- end of results -->"

NOTHING = "No runs of the project's own have been exported yet."

# What README shows of the runs, where the report shows all: of the arms, and of what they change.
ARMS = ["cql", "monte_carlo", "learned", "inflated_0.25", "inflated_1"]
CHANGES = ["Arm", "Q of the policy", "Bound rate", "Score, offline end", "regret_eval", "Tasks"]


def section(reference: Path = REFERENCE) -> str:
    """What stands between the marks for the frames in a folder; without frames a sentence that says so."""
    if not has_frames(reference):
        return NOTHING
    frames = own_runs(STUDY, reference=reference)
    changes = effects_table(effects(per_run(frames.runs, frames.evaluations)))
    parts = [
        f"Of {_runs(frames.runs)}, whose numbers lie in `results/published/`; `make report` rebuilds what stands "
        "here, and the whole report, without training. Success rate, offline end \N{RIGHTWARDS ARROW} online end, mean "
        "over seeds:",
        _markdown(scores_by_task(frames.runs)),
    ]
    if changes is not None:
        parts += ["What every arm changes:", _markdown(changes.text[CHANGES]), changes.notes[0]]
    for drawing in drawings(frames):
        parts += [f"![{drawing.title}](results/published/{drawing.name}.png)", drawing.caption]
    judged = [each for each in claim_sections(CLAIMS, frames.runs, frames.evaluations) if each.verdicts]
    parts += [
        "What became of the claims that these runs speak about, in verdicts by task and arm:",
        _markdown(tally(all_verdicts(judged))),
    ]
    return "\n\n".join(parts)


def scores_by_task(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per task, a column per arm of `ARMS` that was run: "0.72 \N{RIGHTWARDS ARROW} 0.78"."""
    finished = done(runs)
    finished = finished[finished["arm"].isin(ARMS)]
    means = finished.groupby(["task", "arm"], sort=False)[["offline_score", "final_score"]].mean()
    ends = means.map(lambda mean: number(mean, 2))
    text = ends["offline_score"] + " \N{RIGHTWARDS ARROW} " + ends["final_score"]
    table = text.unstack("arm", sort=False).fillna(NONE).reindex(columns=in_order(finished["arm"]))
    counts = finished.groupby(["task", "arm"]).size().groupby("task")
    seeds = counts.min().astype(str).where(counts.min() == counts.max(), counts.min().astype(str) + "+")
    return table.rename(columns=label).assign(n=seeds).rename_axis("Task").rename_axis(columns=None).reset_index()


def tally(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """A row per claim: Claim, then how many verdicts each outcome has, those for which there is nothing left out."""
    rows: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        if verdict.n:
            rows.setdefault(verdict.claim.statement, Counter())[verdict.outcome] += 1
    return pd.DataFrame(
        [{"Claim": claim, **{each.capitalize(): str(counts[each]) for each in get_args(Outcome)}}
         for claim, counts in rows.items()]
    )  # fmt: skip


def with_section(text: str, reference: Path = REFERENCE) -> str:
    """README's text with the section in its place. Raises UserError if it has not each mark once, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"README: should have the line {BEGIN!r} and, below it, {END!r}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{section(reference)}\n\n{END}{rest.split(END)[1]}"


def write(readme: Path = README, reference: Path = REFERENCE) -> None:
    """Bring README and its figures up to date; the same frames give the same text."""
    readme.write_text(with_section(readme.read_text(), reference))
    if section(reference) != NOTHING:
        with mpl.rc_context(STYLE):
            for drawing in drawings(own_runs(STUDY, reference=reference)):
                drawing.figure.savefig(reference / f"{drawing.name}.png", format="png")


def drawings(frames: Frames) -> list[Drawing]:
    """README's figures, where runs on several tasks have some."""
    frame = per_run(frames.runs, frames.evaluations)
    found = effects(frame)
    return [drawing for drawing in (effects_figure(found), dose_response(found, frame)) if drawing]


def _runs(runs: pd.DataFrame) -> str:
    """ "30 runs (30 done) on pointmaze-medium"."""
    states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    return f"{len(runs)} runs ({states}) on {', '.join(runs['task'].unique())}"


def _markdown(table: pd.DataFrame) -> str:
    """Without the padding, which would change every line when one cell grows."""
    return re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", table.to_markdown(index=False, disable_numparse=True)))


if __name__ == "__main__":
    write()
