"""The report about runs: tables, figures and a self-contained HTML page."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from ablations.claims import CLAIMS
from harness.errors import UserError
from results.claim_sections import LAB, NOT_RUN, ClaimSection, all_verdicts, claim_sections, overview
from results.figures.drawing import Drawing
from results.figures.drawing import write as write_drawing
from results.figures.gallery import gallery
from results.frame import PAIRING, Frames, settings_columns
from results.frame.comparison import remarks, seed_name
from results.page import markdown, render
from results.processes import processes
from results.style import default_numbers, label
from results.tables import Table, write
from results.tables.cost import MILLION, cost
from results.tables.doses import doses
from results.tables.effects import effects, effects_table
from results.tables.pooled import pooled
from results.tables.published import beside_published
from results.tables.scores import differences, scores
from results.tables.table import number
from results.tables.values import learned_floor, scale_mismatch, truth
from results.tuning.figures import tuning_figures
from results.tuning.ledger import Ledger, effort
from results.verdicts import table as words
from results.verdicts.decisions import Outcome, Verdict
from results.verdicts.runs import per_run
from results.verdicts.table import verdict_table

# Settings that determine the scale of rewards and values and the cost: always visible; the others are collapsed.
KEY_SETTINGS = (
    "task.environment", "task.horizon", "task.data.transitions", "task.data.action_noise", "task.reward_scale",
    "task.reward_bias", "task.discount", "schedule.offline_steps", "schedule.online_steps", "schedule.updates_per_step",
    "schedule.mixing_ratio", "schedule.evaluation_episodes", "algorithm.alpha", "algorithm.batch_size",
    "algorithm.n_actions", "algorithm.policy_hidden", "algorithm.critic_hidden", "algorithm.policy_learning_rate",
    "algorithm.critic_learning_rate", "algorithm.entropy_temperature_initial", "algorithm.entropy_learning_rate",
    "algorithm.max_backup",
)  # fmt: skip


# Figures over all tasks, shown first.
ACROSS = ("effects", "dose_response")


@dataclass(frozen=True)
class Page:
    """The content of the report page."""

    runs: pd.DataFrame
    # Number of runs by state, for example "29 done, 1 failed".
    states: str
    # Cost, for example "23.9 million gradient steps in 8.5 core-hours", and the commits that computed the runs; empty
    # if unknown.
    effort: str
    commits: list[str]
    # Remarks about the runs, for example missing seeds.
    remarks: list[str]
    # Claims: outcomes in one line, sections of claims about runs, overview, and the table of all verdicts.
    summary: str
    claims: list[ClaimSection]
    overview: pd.DataFrame
    verdicts: Table
    # Whether the claims of the exact lab are included.
    exact: bool
    key_settings: Table
    arm_settings: Table
    other_settings: Table
    # Figures and tables over all tasks; empty for a single task.
    across: list[Drawing]
    across_tables: list[Table]
    # Tables of results, in page order; None if there are no data for one.
    scores: Table
    differences: Table | None
    # Results by dose of inflation, and comparison with published numbers.
    further: list[Table]
    scale_mismatch: Table
    learned_floor: Table | None
    truth: Table | None
    drawings: list[Drawing]
    # Table and figures per study.
    tuning: list[tuple[Table, list[Drawing]]]
    run_list: Table
    cost: Table | None
    provenance: Table


def write_report(
    frames: Frames, out: Path, exact: Sequence[Verdict] = (), workers: int = 1, tuning: Sequence[Ledger] = ()
) -> list[Path]:
    """Write the report about the runs of `frames` into the folder `out`; return the files written, the page first.

    Writes `report.html` and `report.md`; `tables/` with csv, md and tex of every table and `runs.csv`, all runs;
    `figures/` with pdf, svg, png, csv and caption of every figure. `exact`: verdicts of the exact lab, whose report is
    in `out`/exact. `workers`: number of processes that write figures while others are being drawn (see `processes`).
    `tuning`: studies to include. The same frames give byte-identical files.

    Raises UserError if there is no finished run or if `out` cannot be written.
    """
    out = Path(out)
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
        with processes(workers) as submit:
            written: list[Future[list[Path]]] = []

            def drawn(drawing: Drawing) -> None:
                written.append(submit(write_drawing, drawing, out / "figures"))

            page = contents(frames, exact, tuning, drawn)
            files = [*_write_tables(page, out / "tables"), *(path for future in written for path in future.result())]
        with default_numbers():
            page.runs.to_csv(out / "tables" / "runs.csv", index=False, lineterminator="\n")
        images = {path.stem: path.read_text(encoding="utf-8") for path in files if path.suffix == ".svg"}
        unfinished = page.run_list.numbers[page.run_list.numbers["State"] != "done"].to_dict("records")
        values = {"page": page, "unfinished": unfinished, "words": words, "lab": LAB, "not_run": NOT_RUN}
        (out / "report.html").write_text(render("report.html", images, **values), encoding="utf-8")
        (out / "report.md").write_text(markdown("report.md", **values), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"report directory {out}: cannot be written ({error.strerror}); choose another directory"
        ) from None
    return [out / "report.html", out / "tables" / "runs.csv", out / "report.md", *files]


def _write_tables(page: Page, folder: Path) -> list[Path]:
    tables = (
        page.verdicts,
        page.scores,
        page.differences,
        *page.further,
        *page.across_tables,
        page.scale_mismatch,
        page.learned_floor,
        page.truth,
        page.cost,
        *(table for table, _ in page.tuning),
    )
    return [path for table in tables if table for path in write(table, folder)]


def contents(
    frames: Frames,
    exact: Sequence[Verdict] = (),
    tuning: Sequence[Ledger] = (),
    drawn: Callable[[Drawing], None] = lambda drawing: None,
) -> Page:
    """Create every table and figure; `drawn` is called with each figure as soon as it exists."""
    frame, curves = frames.runs, frames.evaluations
    sections = []
    for section in claim_sections(CLAIMS, frame, curves):
        sections.append(section)
        if section.drawing:
            drawn(section.drawing)
    differing = differences(frame)
    against_centre = effects(per_run(frame, curves))
    drawings = list(_announced(gallery(frame, curves, differing, against_centre), drawn))
    studies = [(effort(ledger), list(_announced(tuning_figures(ledger), drawn))) for ledger in tuning]
    further, across = (doses(frame, curves), beside_published(frame)), (effects_table(against_centre), pooled(frame))
    verdicts = [*all_verdicts(sections), *exact]
    cost_table, columns = cost(frame), settings_columns(frame)
    varied = [column for column in columns if _varies(frame, column)]
    shared = [column for column in columns if column not in varied]
    return Page(
        runs=frame,
        states=", ".join(f"{count} {state}" for state, count in frame["state"].value_counts().items()),
        effort=effort_of(cost_table),
        commits=sorted(frames.provenance["commit"].dropna().unique()) if "commit" in frames.provenance else [],
        remarks=remarks(frames),
        summary=summary(verdicts),
        claims=sections,
        overview=overview(verdicts),
        verdicts=verdict_table(verdicts),
        exact=bool(exact),
        key_settings=settings_by_task(frame, [column for column in KEY_SETTINGS if column in shared]),
        arm_settings=settings_by_arm(frame, varied),
        other_settings=settings_by_task(frame, [column for column in shared if column not in KEY_SETTINGS]),
        across=[drawing for drawing in drawings if drawing.name in ACROSS],
        across_tables=[table for table in across if table],
        scores=scores(frame),
        differences=differing,
        further=[table for table in further if table],
        scale_mismatch=scale_mismatch(frame),
        learned_floor=learned_floor(frame),
        truth=truth(curves),
        drawings=[drawing for drawing in drawings if drawing.name not in ACROSS],
        tuning=studies,
        run_list=run_list(frame),
        cost=cost_table,
        provenance=provenance_table(frames.provenance),
    )


def _announced(drawings: Iterable[Drawing], drawn: Callable[[Drawing], None]) -> Iterator[Drawing]:
    for drawing in drawings:
        drawn(drawing)
        yield drawing


def summary(verdicts: Sequence[Verdict]) -> str:
    """The outcomes in one line: "30 verdicts on 20 claims: 21 supported, 3 contradicted, 6 inconclusive"."""
    given = [verdict for verdict in verdicts if verdict.n]
    counts = Counter(verdict.outcome for verdict in given)
    outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome))
    return f"{len(given)} verdicts on {len({verdict.claim.id for verdict in given})} claims: {outcomes}"


def effort_of(cost_table: Table | None) -> str:
    """The cost of all runs: "23.9 million gradient steps in 8.5 core-hours"."""
    if cost_table is None:
        return ""
    total = cost_table.numbers.iloc[-1]
    steps, hours = total["updates"] / MILLION, {"core": total["core_hours"], "GPU": total["gpu_hours"]}
    spent = " and ".join(f"{number(value, 1)} {kind}-hours" for kind, value in hours.items() if value or kind == "core")
    return f"{number(steps, 1)} million gradient steps in {spent}"


def settings_by_task(frame: pd.DataFrame, columns: list[str]) -> Table:
    """A row per setting shared by all arms, a column per task."""
    first = frame.drop_duplicates("task").set_index("task")
    text = first[columns].T.map(_plain).rename_axis(columns=None).rename_axis("Setting").reset_index()
    return Table("settings", "Settings", text, text)


def settings_by_arm(frame: pd.DataFrame, columns: list[str]) -> Table:
    """A row per arm, a column per setting that differs between arms."""
    first = frame.drop_duplicates(["task", "arm"])
    text = first[columns].map(_plain).rename(columns=lambda column: column.removeprefix("floor."))
    text.insert(0, "Arm", first["arm"].map(label))
    text.insert(1, "Name", first["arm"])
    text = text.drop_duplicates().reset_index(drop=True)
    return Table("arms", "Settings of the arms", text, text)


def run_list(frame: pd.DataFrame) -> Table:
    """Every run with its state and, if it failed, the reason; unfinished runs first."""
    order = frame.assign(finished=frame["state"] == "done").sort_values("finished", kind="stable")
    text = pd.DataFrame(
        {
            "Run": order["run"],
            "Task": order["task"],
            "Arm": order["arm"].map(label),
            "Seed": [seed_name(*pair) for pair in order[PAIRING].itertuples(index=False, name=None)],
            "State": order["state"],
            "Reason": order["reason"],
        }
    )
    return Table("run_list", "Runs", text, text if text["Reason"].any() else text.drop(columns="Reason"))


def provenance_table(frame: pd.DataFrame) -> Table:
    """Every value of every provenance column with its number of runs."""
    rows = [
        {"Item": column, "Value": value, "Runs": str(count)}
        for column in frame.columns.drop("run", errors="ignore")
        for value, count in frame[column].map(_plain).value_counts(sort=False).items()
    ]
    text = pd.DataFrame(rows, columns=["Item", "Value", "Runs"])
    return Table("provenance", "Provenance", text, text)


def _varies(frame: pd.DataFrame, column: str) -> bool:
    """Whether a setting differs between arms of the same task."""
    return bool((frame[column].map(repr).groupby(frame["task"]).nunique() > 1).any())


def _plain(value: object) -> str:
    """A setting as text: without quotes, lists separated by commas, "none" for None."""
    if isinstance(value, tuple):
        return ", ".join(map(_plain, value))
    if value is None or value != value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
