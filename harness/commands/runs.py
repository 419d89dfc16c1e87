"""`floorbench plan` and `floorbench run`: what there is to do, and doing it on the cores of this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.commands.data import make_datasets
from harness.commands.grid import counts_line
from harness.commands.output import print_json, remark_console, result_console, text_table
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import Plan, commit, cut_packs, plan
from harness.launching.pool import run_packs
from harness.launching.preflight import check_environments, check_floors, check_root, tasks_of
from harness.launching.progress import ProgressDisplay
from harness.settings import Run
from harness.training.kernels import check_kernels, pack_limit_for, provide_kernels, workers_for
from harness.watching.integrity import refuse_faults

DONE, FAILED, STOPPED = 0, 1, 130


def show_plan(runs: Sequence[Run], root: Path, as_json: bool) -> None:
    """Print what of the runs is new, running, done or failed; writes nothing."""
    refuse_faults(RunFolder.of(root, run) for run in runs)
    planned = plan(runs, root)
    check_floors(runs)
    check_kernels(runs)
    columns = ("run", "task", "arm", "seed", "state")
    rows = [
        (run.id, run.task.name, run.arm, run.seed, state)
        for run, state in zip(planned.runs, planned.states, strict=True)
    ]
    if as_json:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"root": str(root), "counts": planned.counts(), "runs": named})
        return
    console = result_console()
    console.print(text_table(columns, rows))
    console.print(counts_line(planned))


def run_grid(runs: Sequence[Run], root: Path, workers: int | None, pack_limit: int | None, retry_failed: bool) -> int:
    """Run what is not done and say how it ended; returns the exit code. See `train_runs`."""
    finished = train_runs(runs, root, workers, pack_limit, retry_failed)
    return conclude(plan(runs, root)) if finished else STOPPED


def train_runs(
    runs: Sequence[Run],
    root: Path,
    workers: int | None,
    pack_limit: int | None,
    retry_failed: bool = False,
    watch: Callable[[], None] = lambda: None,
) -> bool:
    """Train what is not done, calling `watch` several times a second; False if it was stopped on request.

    Everything that can be known to be wrong is found before the first update is computed. How many workers and how
    large packs: None for what suits the runs' kernel and this machine.
    """
    refuse_faults(RunFolder.of(root, run) for run in runs)
    planned = plan(runs, root)
    chosen = planned.to_start(retry_failed)
    if chosen:
        check_floors(chosen)
        check_kernels(chosen)
        check_environments(tasks_of(chosen))
        check_root(root, chosen)
    console = remark_console()
    console.print(counts_line(planned))
    if planned.in_state(RunState.FAILED) and not retry_failed:
        console.print("failed runs are left as they are; --retry-failed runs them again")
    if planned.in_state(RunState.RUNNING):
        console.print("running runs are in other hands and left to them")
    if chosen:
        provide_kernels(chosen, console.print)
        make_datasets(tasks_of(chosen), console)
        # Data that were made anew need not be those on which a run was begun.
        refuse_faults(RunFolder.of(root, run) for run in chosen)
        commit(chosen, root)
        workers = workers or workers_for(chosen)
        cut = cut_packs(chosen, root, pack_limit or pack_limit_for(chosen), workers)
        try:
            with ProgressDisplay(cut, console) as display:

                def look() -> None:
                    display.refresh()
                    watch()

                run_packs(cut, workers, look)
        except KeyboardInterrupt:
            console.print(f"stopped; {counts_line(plan(runs, root))}; the same command goes on from there")
            return False
    return True


def conclude(finished: Plan) -> int:
    """Say how the runs ended, name what failed; returns the exit code."""
    console = remark_console()
    console.print(counts_line(finished))
    for run in finished.where(lambda state: state.may_be_retried):
        folder = RunFolder.of(finished.root, run)
        status = folder.status()
        # A lost run left no reason, but perhaps a word in its log.
        reason = status.get("reason") or folder.last_words() or "no reason is known"
        console.print(
            f"{status['state']}: {run.id} ({run.task.name} {run.arm} seed {run.seed}): {reason}; {folder.log}"
        )
    return FAILED if finished.where(lambda state: state.may_be_retried) else DONE
