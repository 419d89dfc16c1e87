"""`floorbench tune`: search a study's settings, show how far it is, and hold the best against the defaults."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from ablations.studies import study_of
from harness.commands.grid import parse_changes
from harness.commands.launch import Launch
from harness.commands.output import print_json, remark_console, result_console, text_table
from harness.commands.runs import DONE, FAILED, STOPPED, conclude
from harness.errors import UserError
from harness.launching.planner import plan
from harness.settings import Run, with_settings
from harness.tuning.driver import Driver, searches
from harness.tuning.ledger import ledger
from harness.tuning.search import Search
from harness.tuning.storage import folder_of, open_storage
from harness.tuning.study import Study

COLUMNS = ("arm", "trials", "complete", "pruned", "failed", "open", "best", "trial", "settings")


class Stopped(Exception):  # noqa: N818 (nothing went wrong; somebody asked)
    """A batch was left on request."""


def changed_study(name: str, scale: str, changes: Sequence[str]) -> Study:
    """A study by name, with `key=value` changes of every run."""
    from dataclasses import replace

    study, parsed = study_of(name, scale), parse_changes(changes)
    return replace(study, runs=tuple(with_settings(run, parsed, source="--set") for run in study.runs))


def tune_study(study: Study, root: Path, launch: Launch, storage: str | None, trials: int | None, batch: int) -> int:
    """Search until every arm has its budget; returns the exit code."""
    driver = Driver(study, root, open_storage(folder_of(root, study.name), storage), trials, batch)
    console, first = remark_console(), next(iter(study.groups))
    console.print(
        f"study {study.name} in {driver.folder}: {driver.budget} trials of each arm ({', '.join(study.groups)}), the "
        f"first with the settings without tuning; {len(study.of_group(first)) * len(study.seeds)} runs a trial"
    )

    def compute(runs: Sequence[Run], place: Path, watch: Callable[[], None]) -> None:
        if not launch(runs, place, watch):
            raise Stopped

    def after_batch() -> None:
        for line in progress(driver.searches, driver.budget):
            console.print(line)

    try:
        finished = driver.run(compute, after_batch)
    except Stopped:
        return STOPPED
    show(study, driver.searches, driver.folder, driver.budget, as_json=False)
    if not finished:
        console.print("some runs cannot go on now, for the reasons above; the same command goes on from there")
    return DONE if finished else FAILED


def show_study(study: Study, root: Path, storage: str | None, as_json: bool) -> None:
    """Print how far a study is."""
    found, folder = begun(study, root, storage)
    show(study, found, folder, study.trials, as_json)


def begun(study: Study, root: Path, storage: str | None) -> tuple[dict[str, Search], Path]:
    """The searches of a study that was begun, and its folder; UserError if it was not."""
    folder = folder_of(root, study.name)
    if not folder.is_dir():
        raise UserError(f"study {study.name}: was not begun in {root}; floorbench tune {study.name} begins it")
    return searches(study, folder, open_storage(folder, storage)), folder


def show(study: Study, found: dict[str, Search], folder: Path, budget: int, as_json: bool) -> None:
    """Print a line per arm, or the ledger as JSON."""
    if as_json:
        print_json(ledger(study, found, folder, budget))
        return
    result_console().print(text_table(COLUMNS, [cells(arm, search) for arm, search in found.items()]))


def cells(arm: str, search: Search) -> tuple[Any, ...]:
    """What the table says of an arm."""
    trials, best = search.trials(), search.best()
    states = [sum(trial.state == state for trial in trials)
              for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)]  # fmt: skip
    told = ("", "", "") if best is None else (f"{best.value:.4g}", best.number, worded(best.params))
    return (arm, len(trials), *states, *told)


def progress(found: dict[str, Search], budget: int) -> list[str]:
    """A line per arm: how many trials, and the best so far."""
    lines = []
    for arm, search in found.items():
        best = search.best()
        so_far = f"best {best.value:.4g} (trial {best.number}: {worded(best.params)})" if best else "none complete"
        over = sum(trial.state.is_finished() for trial in search.trials())
        lines.append(f"{arm}: {over} of {budget} trials, {so_far}")
    return lines


def worded(settings: dict[str, Any]) -> str:
    """Settings as one would type them."""
    shown = {path: f"{value:.4g}" if isinstance(value, float) else value for path, value in settings.items()}
    return " ".join(f"{path}={value}" for path, value in shown.items())


def report_best(study: Study, root: Path, launch: Launch, storage: str | None) -> int:
    """Run every arm with its best settings and with those it has without tuning, on fresh seeds; then report both."""
    found, folder = begun(study, root, storage)
    runs = list(study.runs)
    console = remark_console()
    for arm, search in found.items():
        best = search.best()
        if best is None:
            raise UserError(f"study {study.name}: no trial of arm {arm} is complete; floorbench tune {study.name}")
        console.print(f"{arm}: trial {best.number} of {len(search.trials())}: {worded(best.params)}")
        runs += study.tuned_runs(arm, best.params)
    efforts = {arm: len(search.trials()) for arm, search in found.items()}
    if len(set(efforts.values())) > 1:
        console.print(f"unequal effort: {', '.join(f'{count} trials of {arm}' for arm, count in efforts.items())}")
    else:
        console.print(f"equal effort: {next(iter(efforts.values()))} trials of each arm")
    if not launch(runs, root, lambda: None):
        return STOPPED
    code = conclude(plan(runs, root))
    if code == DONE:
        from harness.commands.report import make_report
        from harness.tuning.storage import REPORT

        make_report(runs, [root], folder / REPORT, exact=False)
    return code
