"""`floorbench verify`: compute some finished runs once more, elsewhere, and compare."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from rich.console import Console

from harness.commands.data import make_datasets
from harness.commands.output import remark_console, result_console, text_table
from harness.commands.runs import DONE, FAILED, STOPPED
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import commit, packs, plan
from harness.launching.pool import run_packs
from harness.launching.preflight import check_environments, check_root, tasks_of
from harness.launching.progress import ProgressDisplay
from harness.settings import Run
from harness.training.kernels import PACK_LIMIT, provide_kernels, workers_for
from harness.watching.integrity import refuse_faults
from harness.watching.row_differences import TOLERANCES, TRUTH_TOLERANCE
from harness.watching.verification import Original, Verification, check_data, original_in, sample, verify

COLUMNS = ("run", "task", "arm", "seed", "compared", "verdict", "first difference")

HOW = {
    "bytes": "byte for byte",
    "numbers": "every number of every evaluation to the last bit",
    "training": f"every number of the training to the last bit, those against the truth to {TRUTH_TOLERANCE:g}",
    "tolerances": f"within tolerances ({TOLERANCES})",
}


@dataclass(frozen=True)
class Finished:
    """Finished runs of a grid, and where and how what is known of each is read."""

    runs: list[Run]
    place: Path
    read: Callable[[Run], Original]


def in_folders(runs: Sequence[Run], root: Path) -> Finished:
    """Those of the runs that are finished in a folder of run folders."""
    refuse_faults(RunFolder.of(root, run) for run in runs)
    finished = plan(runs, root).in_state(RunState.DONE)
    if not finished:
        raise UserError(f"verify: no run of this grid is finished in {root}; run it first, or name its --root")
    return Finished(finished, root, lambda run: original_in(RunFolder.of(root, run)))


def in_numbers(runs: Sequence[Run], source: Path) -> Finished:
    """Those of the runs that are finished by what `report --export` wrote to a folder."""
    from results.frame.originals import originals
    from results.frame.store import load

    known = originals(load(source, {run.id for run in runs}), runs, source)
    if not known:
        raise UserError(f"verify: no run of this grid is finished in {source}; name another grid or --from")
    return Finished([each.run for each in known.values()], source, lambda run: known[run.id])


def verify_grid(finished: Finished, count: int, seed: int, workers: int | None) -> int:
    """Repeat a sample of the finished runs in a temporary root and print how they compare; returns the exit code.

    Where the runs are from nothing is written. The repetition is removed unless it differs.
    """
    chosen = sample(finished.runs, count, seed)
    console = remark_console()
    check_environments(tasks_of(chosen))
    provide_kernels(chosen, console.print)
    make_datasets(tasks_of(chosen), console)
    originals = [finished.read(run) for run in chosen]
    for original in originals:
        check_data(original)
    console.print(f"repeating {len(chosen)} of {len(finished.runs)} finished runs in {finished.place}")
    place = Path(tempfile.mkdtemp(prefix="floorbench-verify-"))
    code = STOPPED
    try:
        check_root(place, chosen)
        repeat(chosen, place, workers or workers_for(chosen), console)
        results = [verify(original, RunFolder.of(place, original.run)) for original in originals]
        code = FAILED if any(result.difference for result in results) else DONE
        show(results)
    except KeyboardInterrupt:
        console.print(f"stopped; nothing was compared, {finished.place} is as it was")
    finally:
        if code != FAILED:
            rmtree(place)
    if code == FAILED:
        console.print(f"the repetition stays in {place}")
    return code


def repeat(runs: Sequence[Run], root: Path, workers: int, console: Console) -> None:
    """Compute the runs in a root of their own."""
    commit(runs, root)
    cut = [[RunFolder.of(root, run) for run in pack] for pack in packs(runs, PACK_LIMIT, workers)]
    with ProgressDisplay(cut, console) as display:
        run_packs(cut, workers, watch=display.refresh)


def show(results: Sequence[Verification]) -> None:
    """One line per run, then which comparisons were made and why."""
    console = result_console()
    console.print(text_table(COLUMNS, [_cells(result) for result in results]))
    agreed = sum(result.difference is None for result in results)
    console.print(f"{agreed} of {len(results)} agree")
    for kind, why in dict.fromkeys((result.comparison.kind, result.comparison.why) for result in results):
        console.print(f"compared {HOW[kind]}: {why}")
    for remark in dict.fromkeys(filter(None, (result.remark for result in results))):
        console.print(remark)


def _cells(result: Verification) -> tuple[str, ...]:
    run = result.run
    verdict = "differs" if result.difference else "agrees"
    difference = str(result.difference) if result.difference else ""
    return (run.id, run.task.name, run.arm, str(run.seed), result.comparison.kind, verdict, difference)
