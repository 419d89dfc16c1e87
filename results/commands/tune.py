"""`floorbench tune`: search the settings of a study, show its state, run its best settings beside the defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablations.commands.run import Launch, conclude, local
from ablations.commands.selection import parse_changes
from harness.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNS,
    Changes,
    FittedTable,
    Json,
    Root,
    Scale,
    Workers,
    print_json,
    remark_console,
    result_console,
)
from harness.errors import UserError
from harness.launching.planner import plan
from harness.settings import Run, with_settings

if TYPE_CHECKING:
    from harness.tuning.search import Search
    from harness.tuning.study import Study

COLUMNS = ("arm", "trials", "complete", "pruned", "failed", "open", "best", "trial", "settings")

# Optuna's names of the states that the table counts, in its order.
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")

BEST, STATUS = "best", "status"

# Trials that are asked for together, and the largest packs: many short runs spend much of their time on starting, and
# on a CPU a pack of 12 takes no longer per run than three of 4 (measured with the networks of both scales).
BATCH = 16
TUNE_PACK = 12


def tune(
    words: Annotated[
        list[str],
        typer.Argument(
            help="Name of a study: search it. best: run its best settings and the defaults. status: show its state.",
            metavar="[best|status] STUDY",
        ),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials per arm.", show_default="the study's")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Number of trials to start together.")] = BATCH,
    workers: Workers = None,
    pack: Annotated[int, typer.Option(min=1, help="Maximum number of runs that train together.")] = TUNE_PACK,
    root: Root = RUNS,
    cluster: Annotated[
        str | None, typer.Option(help="Run on a cluster, by its profile.", show_default="this machine")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="URL of a database.", show_default="a journal in ROOT/studies/STUDY")
    ] = None,
    changes: Changes = None,
    scale: Scale = "demo",
    json: Json = False,
) -> None:
    """Search for the best settings of every arm with Optuna; an interrupted search resumes with the same command."""
    action, name = ("", words[0]) if len(words) == 1 else words if len(words) == 2 else (None, "")
    if action not in ("", BEST, STATUS):
        raise UserError(f"tune {' '.join(words)}: must be STUDY, {BEST} STUDY or {STATUS} STUDY")
    from harness.tuning.storage import described_storage, folder_of, storage_errors

    study = changed_study(name, scale, changes or [])
    with storage_errors(described_storage(folder_of(root, study.name), storage)):
        if action == STATUS:
            show_study(study, root, storage, json)
            return
        if cluster:
            from ablations.commands.submit import on_cluster

            launch = on_cluster(cluster, f"tune {name}")
        else:
            launch = local(workers, pack)
        if action == BEST:
            raise typer.Exit(report_best(study, root, launch, storage))
        raise typer.Exit(tune_study(study, root, launch, storage, trials, batch))


class Interrupted(Exception):  # noqa: N818 (not an error)
    """The runs of a batch were interrupted."""


def changed_study(name: str, scale: str, changes: Sequence[str]) -> Study:
    """A study with `key=value` changes applied to its runs."""
    from ablations.studies import study_of

    study, parsed = study_of(name, scale), parse_changes(changes)
    return replace(study, runs=tuple(with_settings(run, parsed, source="--set") for run in study.runs))


def tune_study(study: Study, root: Path, launch: Launch, storage: str | None, trials: int | None, batch: int) -> int:
    """Search until every arm has its number of trials; returns the exit code."""
    from harness.tuning.driver import Driver
    from harness.tuning.storage import folder_of, open_storage

    driver = Driver(study, root, open_storage(folder_of(root, study.name), storage), trials, batch)
    console, first = remark_console(), next(iter(study.groups))
    console.print(
        f"study {study.name} in {driver.folder}: {driver.budget} trials per arm ({', '.join(study.groups)}), the "
        f"first with the default settings; {len(study.of_group(first)) * len(study.seeds)} runs per trial"
    )

    def compute(runs: Sequence[Run], place: Path, watch: Callable[[], None]) -> None:
        if not launch(runs, place, watch):
            raise Interrupted

    def after_batch() -> None:
        for line in progress(driver.searches, driver.budget):
            console.print(line)

    try:
        finished = driver.run(compute, after_batch)
    except Interrupted:
        return INTERRUPTED
    show(study, driver.searches, driver.folder, driver.budget, as_json=False)
    if not finished:
        console.print("some runs did not finish, for the reasons above; resume with the same command")
    return DONE if finished else FAILED


def show_study(study: Study, root: Path, storage: str | None, as_json: bool) -> None:
    """Print the state of a study."""
    arms, folder = existing(study, root, storage)
    show(study, arms, folder, study.trials, as_json)


def existing(study: Study, root: Path, storage: str | None) -> tuple[dict[str, Search], Path]:
    """The searches of a study by arm, and its folder; UserError if it does not exist."""
    from harness.tuning.driver import searches
    from harness.tuning.storage import folder_of, open_storage

    folder = folder_of(root, study.name)
    if not folder.is_dir():
        raise UserError(f"study {study.name}: not found in {root}; start it with floorbench tune {study.name}")
    return searches(study, folder, open_storage(folder, storage, create=False), create=False), folder


def show(study: Study, arms: dict[str, Search], folder: Path, budget: int, as_json: bool) -> None:
    """Print one line per arm, or the ledger as JSON."""
    if as_json:
        from harness.tuning.driver import ledger

        print_json(ledger(study, arms, folder, budget))
        return
    lines = [dict(zip(COLUMNS, cells(arm, search), strict=True)) for arm, search in arms.items()]
    result_console().print(FittedTable(lines, ("open", "failed", "pruned", "trial", "complete"), flexible="settings"))


def cells(arm: str, search: Search) -> tuple[Any, ...]:
    """The row of an arm."""
    trials, best = search.trials(), search.best()
    counts = Counter(trial.state.name for trial in trials)
    result = ("", "", "") if best is None else (f"{best.value:.4g}", best.number, worded(best.params))
    return (arm, len(trials), *(counts[state] for state in STATES), *result)


def progress(arms: dict[str, Search], budget: int) -> list[str]:
    """One line per arm: the number of trials, and the best so far."""
    lines = []
    for arm, search in arms.items():
        best = search.best()
        so_far = f"best {best.value:.4g} (trial {best.number}: {worded(best.params)})" if best else "none complete"
        finished = sum(trial.state.is_finished() for trial in search.trials())
        lines.append(f"{arm}: {finished} of {budget} trials, {so_far}")
    return lines


def worded(settings: dict[str, Any]) -> str:
    """Settings as KEY=VALUE."""
    shown = {path: f"{value:.4g}" if isinstance(value, float) else value for path, value in settings.items()}
    return " ".join(f"{path}={value}" for path, value in shown.items())


def report_best(study: Study, root: Path, launch: Launch, storage: str | None) -> int:
    """Run every arm with its best settings and its defaults, on new seeds, and report both; returns the exit code."""
    arms, folder = existing(study, root, storage)
    runs = list(study.runs)
    console = remark_console()
    for arm, search in arms.items():
        best = search.best()
        if best is None:
            raise UserError(f"study {study.name}: arm {arm} has no complete trial; run floorbench tune {study.name}")
        console.print(f"{arm}: trial {best.number} of {len(search.trials())}: {worded(best.params)}")
        runs += study.tuned_runs(arm, best.params)
    efforts = {arm: len(search.trials()) for arm, search in arms.items()}
    if len(set(efforts.values())) > 1:
        console.print(f"unequal effort: {', '.join(f'{count} trials of {arm}' for arm, count in efforts.items())}")
    else:
        console.print(f"equal effort: {next(iter(efforts.values()))} trials per arm")
    if not launch(runs, root, lambda: None):
        return INTERRUPTED
    code = conclude(plan(runs, root))
    if code == DONE:
        from harness.tuning.storage import REPORT
        from results.commands.report import Named, make_report

        make_report(Named.of(runs), [root], folder / REPORT, exact=False)
    return code
