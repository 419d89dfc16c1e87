"""The contents of a report about runs: tables, verdicts and figures, arranged by page."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from ablations import claims
from harness import extensions
from results.figures.aggregates import aggregates, performance_profile, probability_of_improvement
from results.figures.cause import causes, factorial
from results.figures.claims import claim_figure
from results.figures.curves import bound_rate, learning_curves, tasks_and_arms, values_and_floors
from results.figures.drawing import Drawing, Picture, picture
from results.figures.effects import dose_response, effects_figure, paired_differences
from results.figures.foreign import curves_beside_foreign
from results.figures.learned_floor import floor_errors
from results.figures.learned_floor import learned_floor as learned_floor_figure
from results.figures.scores import score_by_floor
from results.frame import Frames, done, settings_columns
from results.frame.comparison import remarks
from results.frame.per_run import per_run
from results.reports.claim_sections import ClaimSection, MatrixRow, claim_sections, headlines, matrix, places
from results.style import in_order, label
from results.tables import Table
from results.tables.cost import MILLION, cost, expectation, time_spent
from results.tables.doses import doses
from results.tables.effects import effects, effects_table
from results.tables.foreign import beside_foreign
from results.tables.pooled import pooled
from results.tables.published import beside_published
from results.tables.run_tables import (
    KEY_SETTINGS,
    columns_table,
    provenance_table,
    run_list,
    settings_by_arm,
    settings_by_task,
    varies,
)
from results.tables.scores import differences, scores
from results.tables.table import number
from results.tables.values import learned_floor, scale_mismatch, truth
from results.tuning.figures import searches, tuning_figures
from results.tuning.ledger import Ledger, effort, searches_table
from results.verdicts.decisions import Outcome, Verdict
from results.verdicts.runs import judge_runs, measured
from results.verdicts.table import verdict_table

# Runs work in a pool of processes, or at once.
Submit = Callable[..., Future[Any]]

# Of this many studies and more, a figure of all of them replaces four figures of each.
MANY_STUDIES = 3


@dataclass(frozen=True)
class TaskPage:
    """What a page about one task shows."""

    name: str
    # Number of runs by state.
    states: str
    tables: list[Table]
    verdicts: list[Verdict]
    pictures: list[Picture]

    @property
    def file(self) -> str:
        return f"task-{self.name}.html"

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Targets and titles of the contents."""
        entries = [("figures", "Figures"), *((f"figure-{one.name}", one.title) for one in self.pictures)]
        entries += [(table.name, table.title) for table in self.tables]
        return entries + ([("verdicts", "Claims")] if self.verdicts else [])


@dataclass(frozen=True)
class Contents:
    """What the pages about runs show."""

    title: str
    # What is seen, in sentences; empty without verdicts on FALLS and FALLS_LESS.
    headlines: list[str]
    runs: pd.DataFrame
    # Number of runs by state, for example "29 done, 1 failed".
    states: str
    # Cost, for example "23.9 million gradient steps in 8.5 core-hours", and the commits that computed the runs; empty
    # if unknown.
    effort: str
    commits: list[str]
    # Remarks about the runs, for example missing seeds.
    remarks: list[str]
    # Whether the claims of the exact lab are included, and whether figures are also in the formats of papers.
    exact: bool
    for_print: bool
    # Outcomes in one line, sections of claims about runs, and all verdicts.
    summary: str
    claims: list[ClaimSection]
    matrix: list[MatrixRow]
    places: list[str]
    verdicts: Table
    # Tables over all tasks, and those with a row per task and arm.
    tables: list[Table]
    general: list[Table]
    tasks: list[TaskPage]
    key_settings: Table
    arm_settings: Table
    other_settings: Table
    searches: Table | None
    run_list: Table
    cost: Table | None
    time: Table | None
    expectation: Table | None
    columns: Table
    provenance: Table
    # All figures in the order of their page, by heading.
    gallery: dict[str, list[Picture]]

    @property
    def arms(self) -> list[str]:
        return in_order(self.runs["arm"])

    @cached_property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [one for pictures in self.gallery.values() for one in pictures]

    @cached_property
    def by_name(self) -> dict[str, Picture]:
        """All figures by name."""
        return {one.name: one for one in self.pictures}

    @property
    def chosen(self) -> list[Picture]:
        """The three figures of the first page: over all tasks, or of the only one."""
        names = ("tasks", "effects", "dose_response", "aggregates")
        across = [self.by_name[name] for name in names if name in self.by_name]
        of_tasks = [one for task in self.tasks for one in task.pictures]
        return [*across, *of_tasks][:3]

    @property
    def search_pictures(self) -> list[Picture]:
        """The figures about searches for settings."""
        return self.gallery.get("Searches for settings", [])

    @property
    def unfinished(self) -> list[dict[Any, Any]]:
        """The runs that are not done."""
        text = self.run_list.text.assign(Reason=self.run_list.text.get("Reason", ""))
        return text[text["State"] != "done"].to_dict("records")

    @property
    def topics(self) -> dict[str, list[ClaimSection]]:
        """The sections of claims by topic, untested ones last."""
        topics: dict[str, list[ClaimSection]] = {}
        for section in self.claims:
            topics.setdefault(section.claim.topic, []).append(section)
        return {topic: sorted(sections, key=lambda one: not one.verdicts) for topic, sections in topics.items()}

    @property
    def claim_contents(self) -> list[tuple[str, str]]:
        return [(f"topic-{place}", topic) for place, topic in enumerate(self.topics, 1)]

    @property
    def figure_contents(self) -> list[tuple[str, str]]:
        return [(f"part-{place}", title) for place, title in enumerate(self.gallery, 1)]

    @property
    def task_choices(self) -> list[tuple[str, str]]:
        return [(task.name, task.name) for task in self.tasks]

    @property
    def arm_choices(self) -> list[tuple[str, str]]:
        return [(arm, label(arm)) for arm in self.arms]

    @property
    def outcome_choices(self) -> list[tuple[str, str]]:
        return [(outcome, outcome) for outcome in get_args(Outcome)]

    @property
    def state_choices(self) -> list[tuple[str, str]]:
        return [(state, state) for state in self.runs["state"].unique()]

    @cached_property
    def run_rows(self) -> list[tuple[list[str], dict[str, str]]]:
        """The text of every run with the values that filter it, by column."""
        filtered = [dict(zip(("task", "arm", "state"), row, strict=True)) for row in self.run_list.numbers.to_numpy()]
        return list(zip(self.run_list.text.to_numpy().tolist(), filtered, strict=True))


def contents(
    frames: Frames,
    folder: Path,
    submit: Submit,
    formats: Sequence[str],
    grids: Sequence[str] = (),
    exact: Sequence[Verdict] = (),
    tuning: Sequence[Ledger] = (),
) -> Contents:
    """Create every table and verdict, and write every figure into `folder`, in the processes behind `submit`."""
    frame, curves = frames.runs, frames.evaluations

    def drawn(draw: Callable[..., Any], *arguments: Any) -> Future[list[Picture]]:
        return submit(write_figures, folder, tuple(formats), draw, *arguments)

    differing = differences(frame)
    of_tasks = {
        str(task): drawn(
            task_figures, rows, curves[curves["task"] == task], _of_task(differing, str(task)), frames.foreign
        )
        for task, rows in frame.groupby("task", sort=False)
    }
    over_all = pooled(frame)
    aggregated = drawn(aggregate_figures, done(frame), over_all)
    measures = per_run(frame, curves)
    verdicts = judge_runs(claims.CLAIMS, frame, curves)
    sections = list(claim_sections(verdicts))
    of_claims = [
        drawn(claim_figure, _picklable(section.verdicts), measured(section.claim, measures))
        for section in sections
        if section.verdicts
    ]
    changes = effects(measures)
    across = [
        drawn(tasks_and_arms, frame, curves),
        drawn(effects_figure, changes),
        drawn(dose_response, changes, measures),
        drawn(learned_floor_figure, measures),
        drawn(floor_errors, measures),
        drawn(factorial, measures),
    ]
    if len(tuning) < MANY_STUDIES:
        of_searches = [drawn(tuning_figures, ledger) for ledger in tuning]
        searched = effort(tuning[0]) if len(tuning) == 1 else searches_table(tuning) if tuning else None
    else:
        of_searches, searched = [drawn(searches, list(tuning))], searches_table(tuning)

    everything = [*verdicts, *exact]
    cost_table, columns = cost(frame), settings_columns(frame)
    varied = [column for column in columns if varies(frame, column)]
    shared = [column for column in columns if column not in varied]
    general = [
        scores(frame), differing, doses(frame, curves), scale_mismatch(frame), learned_floor(frame), truth(curves),
        beside_foreign(frame, frames.foreign),
    ]  # fmt: skip
    present = [table for table in general if table]
    over_tasks = [table for table in (effects_table(changes), over_all, beside_published(frame)) if table]
    tested = [verdict for verdict in verdicts if verdict.n]
    figures_of = {task: _ready([future]) for task, future in of_tasks.items()}
    gallery = {
        "All tasks": _ready([across[0], aggregated, *across[1:]]),
        **figures_of,
        "Claims": _ready(of_claims),
        # Drawn here: the functions may be unknown in other processes.
        "Extensions": [
            one for draw in extensions.FIGURES.values() for one in write_figures(folder, formats, draw, frame, curves)
        ],
        "Searches for settings": _ready(of_searches),
    }
    tasks = [
        TaskPage(
            str(task),
            _states(rows),
            [table for one in present if (table := _only(one, str(task))) is not None],
            [verdict for verdict in tested if verdict.task == task],
            figures_of[str(task)],
        )
        for task, rows in frame.groupby("task", sort=False)
    ]
    return Contents(
        title=f"Grid {' and '.join(grids)}: effect of the pessimism floor"
        if grids
        else "Effect of the pessimism floor",
        headlines=headlines(verdicts, measures, differing),
        runs=frame,
        states=_states(frame),
        effort=effort_of(cost_table),
        commits=sorted(frames.provenance["commit"].dropna().unique()) if "commit" in frames.provenance else [],
        remarks=remarks(frames),
        exact=bool(exact),
        for_print="pdf" in formats,
        summary=summary(everything),
        claims=sections,
        matrix=matrix(everything),
        places=places(everything),
        verdicts=verdict_table(everything),
        tables=over_tasks or [table for table in present if table.name in ("scores", "differences")],
        general=present,
        tasks=tasks,
        key_settings=settings_by_task(frame, [column for column in KEY_SETTINGS if column in shared]),
        arm_settings=settings_by_arm(frame, varied),
        other_settings=settings_by_task(frame, [column for column in shared if column not in KEY_SETTINGS]),
        searches=searched,
        run_list=run_list(frame),
        cost=cost_table,
        time=time_spent(frame),
        expectation=expectation(frame),
        columns=columns_table(),
        provenance=provenance_table(frames.provenance),
        gallery={title: pictures for title, pictures in gallery.items() if pictures},
    )


# Figures, drawn in other processes -----------------------------------------------------------------------------------


def write_figures(folder: Path, formats: Sequence[str], draw: Callable[..., Any], *arguments: Any) -> list[Picture]:
    """Draw one or several figures, without those that have no data, and write them."""
    drawn = draw(*arguments)
    drawings: list[Drawing | None] = drawn if isinstance(drawn, list) else [drawn]
    return [picture(drawing, folder, formats) for drawing in drawings if drawing]


def task_figures(
    runs: pd.DataFrame, evaluations: pd.DataFrame, differing: pd.DataFrame | None, foreign: pd.DataFrame | None = None
) -> list[Drawing]:
    """The figures of one task, from its rows of the frames and of the table of differences, and runs of others."""
    if done(runs).empty:
        return []
    return [
        *causes(runs, evaluations),
        *learning_curves(runs, evaluations),
        *score_by_floor(runs),
        *(paired_differences(differing) if differing is not None else []),
        *values_and_floors(runs, evaluations),
        *bound_rate(runs, evaluations),
        *(curves_beside_foreign(runs, evaluations, foreign) if foreign is not None else []),
    ]


def aggregate_figures(finished: pd.DataFrame, table: Table | None) -> list[Drawing | None]:
    """The figures of estimates over several tasks; `table` is that of `pooled`."""
    return [aggregates(table, finished), probability_of_improvement(finished, table), performance_profile(finished)]


def _ready(futures: Iterable[Future[list[Picture]]]) -> list[Picture]:
    return [one for future in futures for one in future.result()]


def _picklable(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts without the functions by which their claims measure runs."""
    return [replace(verdict, claim=replace(verdict.claim, measure=list)) for verdict in verdicts]


# Parts of tables and words -------------------------------------------------------------------------------------------


def _of_task(table: Table | None, task: str) -> pd.DataFrame | None:
    """The numbers of a table about a task; None without any."""
    if table is None:
        return None
    numbers = table.numbers[table.numbers["task"] == task].reset_index(drop=True)
    return None if numbers.empty else numbers


def _only(table: Table, task: str) -> Table | None:
    """The part of a table about a task; None if it has none. Notes about other tasks are left out."""
    text = table.text[table.text["Task"] == task].drop(columns="Task").reset_index(drop=True)
    if text.empty:
        return None
    others = tuple(f"{name}: " for name in table.text["Task"].unique() if name != task)
    notes = tuple(note for note in table.notes if not note.startswith(others or ("\0",)))
    return replace(table, text=text, notes=notes, group="")


def _states(frame: pd.DataFrame) -> str:
    """The number of runs in each state: "29 done, 1 failed"."""
    return ", ".join(f"{count:,} {state}" for state, count in frame["state"].value_counts().items())


def summary(verdicts: Sequence[Verdict]) -> str:
    """The outcomes: "44 verdicts on 36 claims: 30 supported, 9 contradicted, 5 inconclusive"."""
    tested = [verdict for verdict in verdicts if verdict.n]
    counts = Counter(verdict.outcome for verdict in tested)
    claims = len({verdict.claim.id for verdict in tested})
    if not claims:
        return "These runs test none of the registered claims"
    outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])
    return f"{len(tested)} verdicts on {claims} claim{'s' if claims > 1 else ''}: {outcomes}"


def effort_of(table: Table | None) -> str:
    """The total cost: "23.9 million gradient steps in 8.5 core-hours"; empty without a table of costs."""
    if table is None:
        return ""
    total = table.numbers.iloc[-1]
    steps = total["updates"] / MILLION
    hours = {"core": total["core_hours"], "GPU": total["gpu_hours"]}
    spent = " and ".join(f"{number(value, 1)} {kind}-hours" for kind, value in hours.items() if value or kind == "core")
    return f"{number(steps, 1)} million gradient steps in {spent}"
