"""`floorbench plan` and `floorbench run`: show the states of a grid's runs, and run them on this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations.commands.selection import Arms, Grid, Large, Seeds, Tasks, counts_line, grid_runs, is_file
from ablations.commands.track import Trackers
from ablations.grid_files import SHOWN, GridFile, read
from ablations.selection import Selection
from harness import extensions
from harness.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNS,
    Changes,
    FittedTable,
    GridScale,
    Json,
    Pack,
    Root,
    SharedPrefix,
    Workers,
    print_json,
    remark_console,
    result_console,
)
from harness.folders.reader import refuse_faults
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching import planner
from harness.launching.cost import Costs, Expected, expected
from harness.launching.planner import Plan, commit
from harness.launching.pool import FAILURE_LIMIT, Failures, kind_of, run_packs
from harness.launching.prefixes import SharedPrefixes, commit_prefixes, packs_in_order, shared_prefixes
from harness.launching.preflight import check_environments, check_root, check_settings, data_of, tasks_of
from harness.launching.progress import ProgressDisplay, duration, make_datasets
from harness.settings import Run
from harness.training.kernels import check_kernels, pack_limit_for, provide_kernels, workers_for
from harness.watching.trackers import Tracking

# Number of runs that are named for each reason why some failed.
NAMED = 5

# Maximum number of runs shown one per line by `plan`.
MOST_LINES = 60

# Computes runs in a root and calls the watch meanwhile; returns False if it was interrupted.
Launch = Callable[[Sequence[Run], Path, Callable[[], None]], bool]


def plan(
    grid: Grid = None,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    scale: GridScale = None,
    changes: Changes = None,
    root: Root = RUNS,
    shared_prefix: SharedPrefix = True,
    json: Json = False,
) -> None:
    """Show which runs of a grid are new, running, done or failed. Writes nothing."""
    selection = Selection.of(tasks, arms, seeds)
    meaning = None
    if grid is not None and is_file(grid):
        content = read(Path(grid), scale)
        meaning = content.meaning()
        if content.narrowed(selection).count > SHOWN:
            show_size(content.narrowed(selection), root, json)
            return
    runs = grid_runs(grid, scale, changes, selection)
    show_plan(runs, root, json, shared_prefix, meaning)


def run(
    grid: Grid = None,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    workers: Workers = None,
    pack: Pack = None,
    root: Root = RUNS,
    changes: Changes = None,
    scale: GridScale = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    shared_prefix: SharedPrefix = True,
    max_failures: Annotated[
        int, typer.Option(min=0, help="Stop when so many runs fail for one reason and none is done; 0: never.")
    ] = FAILURE_LIMIT,
    trackers: Trackers = None,
    yes: Large = False,
) -> None:
    """Run a grid on this machine. Finished runs are skipped."""
    runs = grid_runs(grid, scale, changes, Selection.of(tasks, arms, seeds), yes)
    group = Path(grid).stem if grid else "runs"
    code = run_grid(
        runs,
        root,
        workers,
        pack,
        retry_failed,
        shared_prefix,
        max_failures,
        Tracking(trackers or [], root, runs, group),
    )
    raise typer.Exit(code)


def show_size(content: GridFile, root: Path, as_json: bool) -> None:
    """Print what a grid file with very many runs means, without the runs."""
    if as_json:
        print_json({"root": str(root), "grid": content.meaning()})
        return
    result_console().print(f"{content.path}: {content.size}")
    remark_console().print(f"states are shown for at most {SHOWN:,} runs; select some with --task, --arm or --seed")


def show_plan(
    runs: Sequence[Run],
    root: Path,
    as_json: bool,
    shared_prefix: bool = True,
    meaning: Mapping[str, object] | None = None,
) -> None:
    """Print the states of runs, and the prefixes from which they will start; `meaning` of a grid file, for JSON."""
    planned = planner.checked_plan(runs, root)
    check_settings(runs)
    # A plan may be made on a machine without GPUs.
    check_kernels(runs, elsewhere=True)
    shared = shared_prefixes(planned.to_start(), root, shared_prefix)
    columns = ["run", "task", "arm", "data_seed", "seed", "state"]
    rows: list[tuple[object, ...]] = [
        (run.id, run.task.name, run.arm, run.task.data_seed, run.seed, state)
        for run, state in zip(planned.runs, planned.states, strict=True)
    ]
    if as_json:
        named = [
            {**dict(zip(columns, row, strict=True)), "prefix": shared.of_run.get(run.id)}
            for run, row in zip(runs, rows, strict=True)
        ]
        prefixes = [
            {"run": run.id, "state": state, "runs": shared.runs_of(run.id), "saved": shared.updates_saved(run, state)}
            for run, state in zip(shared.plan.runs, shared.plan.states, strict=True)
        ]
        counts = {"counts": planned.counts(), "updates_saved": shared.all_updates_saved}
        grid = {"grid": meaning} if meaning else {}
        time = expectation(planned, shared)
        print_json({"root": str(root), **grid, **counts, "expected": time, "runs": named, "prefixes": prefixes})
        return
    console = result_console()
    if shared.of_run:
        columns = [*columns, "prefix"]
        rows = [(*row, shared.of_run.get(run.id, "")) for run, row in zip(runs, rows, strict=True)]
    if len(rows) > MOST_LINES:
        console.print(FittedTable(summary_of(planned), ("seeds", "arms"), ("task",)))
    else:
        common = ("task", "data_seed")
        lines = [dict(zip(columns, row, strict=True)) for row in rows]
        console.print(FittedTable(lines, ("data_seed",), common if len(lines) > 1 else ()))
    console.print(counts_line(planned))
    if planned.to_start():
        console.print(expected_line(planned, shared))
    for line in undecided_lines(runs):
        console.print(line)
    if shared.of_run:
        console.print(shared.line())


def summary_of(planned: Plan) -> list[dict[str, object]]:
    """A line per task and arm with the number of runs in each state; per task if these were more than `MOST_LINES`."""
    groups: dict[tuple[str, str], list[tuple[Run, RunState]]] = {}
    by_arm = len({(run.task.name, run.arm) for run in planned.runs}) <= MOST_LINES
    for run, state in zip(planned.runs, planned.states, strict=True):
        groups.setdefault((run.task.name, run.arm if by_arm else ""), []).append((run, state))
    states = [state for state in RunState if state in planned.states]
    return [
        {
            "task": task,
            **({"arm": arm} if by_arm else {"arms": len({run.arm for run, _ in members})}),
            "seeds": len({run.seed for run, _ in members}),
            "runs": len(members),
            **{state.value: sum(other is state for _, other in members) or None for state in states},
        }
        for (task, arm), members in groups.items()
    ]


def expected_time(planned: Plan, shared: SharedPrefixes) -> Expected:
    """The expected time of the runs to start on this machine, in packs of the default size."""
    chosen = planned.to_start()
    workers = workers_for(chosen)
    parts = (shared.to_start(), [run for run in chosen if run.id not in shared.of_run],
             [run for run in chosen if run.id in shared.of_run])  # fmt: skip
    packs = [pack for part in parts for pack in planner.packs(part, pack_limit_for(chosen, workers), workers)]
    return expected_of(packs, workers, planned, shared)


def expected_of(packs: Sequence[Sequence[Run]], workers: int, planned: Plan, shared: SharedPrefixes) -> Expected:
    """The expected time of packs of a plan's runs and their prefixes, datasets included."""
    runs = [run for pack in packs for run in pack]
    begun = {run.id for run, state in zip(planned.runs, planned.states, strict=True) if state is not RunState.NEW}
    done = [run.id for run in planned.in_state(RunState.DONE)]
    progress = {
        run.id: RunFolder.of(planned.root, run).status().get("progress", 0.0) for run in runs if run.id in begun
    }
    costs = Costs(runs, planned.root, done)
    return expected(packs, workers, costs, shared.of_run, progress, costs.preparation(data_of(runs)))


def expectation(planned: Plan, shared: SharedPrefixes) -> dict[str, Any] | None:
    """The expected time for JSON; None if there is nothing to start."""
    return asdict(expected_time(planned, shared)) if planned.to_start() else None


def expected_line(
    planned: Plan, shared: SharedPrefixes, packs: Sequence[Sequence[RunFolder]] | None = None, workers: int = 1
) -> str:
    """The expected time in words: "expected: about 12 min on 2 cores (0.4 core-hours; from ...)"."""
    if packs is None:
        time = expected_time(planned, shared)
    else:
        time = expected_of([[folder.run() for folder in pack] for pack in packs], workers, planned, shared)
    cores = f"{time.workers} core{'s' if time.workers > 1 else ''}"
    return (
        f"expected: about {duration(time.seconds)} on {cores} ({time.core_seconds / 3600:,.2g} core-hours; "
        f"estimated from {time.source})"
    )


def undecided_lines(runs: Sequence[Run]) -> list[str]:
    """A line per number of seeds about the registered claims that the runs cannot decide."""
    from ablations.claims import undecidable

    by_seeds: dict[tuple[int, int], list[str]] = {}
    for entry in undecidable(runs):
        by_seeds.setdefault((entry.seeds, entry.needed), []).append(entry.claim.id)
    return [
        f"too few seeds ({seeds}; {needed} needed) for {len(set(names))} claims: {', '.join(dict.fromkeys(names))}"
        for (seeds, needed), names in sorted(by_seeds.items())
    ]


def run_grid(
    runs: Sequence[Run],
    root: Path,
    workers: int | None,
    pack_limit: int | None,
    retry_failed: bool,
    shared_prefix: bool = True,
    failure_limit: int = FAILURE_LIMIT,
    tracking: Tracking | None = None,
) -> int:
    """Train unfinished runs and print how they ended; returns the exit code. See `train_runs`."""
    tracking = tracking or Tracking([], root, runs, "")
    finished = train_runs(
        runs, root, workers, pack_limit, retry_failed, shared_prefix, failure_limit, watch=tracking.watch
    )
    tracking.finish()
    if tracking.problem:
        remark_console().print(f"{tracking.problem}; pass on what is missing with: floorbench track {root}")
    if not finished:
        return INTERRUPTED
    code = conclude(planner.plan(runs, root))
    following = f"floorbench report --root {root}" if code == DONE else f"floorbench status --root {root}"
    remark_console().print(f"next: {following}")
    return code


def train_runs(
    runs: Sequence[Run],
    root: Path,
    workers: int | None,
    pack_limit: int | None,
    retry_failed: bool = False,
    shared_prefix: bool = True,
    failure_limit: int = FAILURE_LIMIT,
    watch: Callable[[], None] = lambda: None,
) -> bool:
    """Train unfinished runs and call `watch` several times a second; returns False if interrupted.

    All checks come before the first update. `workers` and `pack_limit` default to values that suit the kernel and the
    machine. With `shared_prefix`, offline phases that several runs have in common are trained once. No more runs are
    started after `failure_limit` have ended for the same reason and none is done (0: never).
    """
    # Imports NumPy, which `--help` does not need.
    from harness.training.starts import check_starts

    extensions.provide((label for run in runs for label in run.extensions), root)
    planned = planner.checked_plan(runs, root)
    chosen = planned.to_start(retry_failed)
    if chosen:
        check_settings(chosen)
        check_kernels(chosen)
        check_environments(tasks_of(chosen))
        check_starts(chosen, root)
        check_root(root)
    shared = shared_prefixes(chosen, root, shared_prefix)
    if chosen:
        check_root(root, [*shared.to_start(retry_failed), *chosen])
    console = remark_console()
    console.print(counts_line(planned))
    if planned.in_state(RunState.FAILED) and not retry_failed:
        console.print("skipping failed runs; run them again with --retry-failed")
    if planned.in_state(RunState.RUNNING):
        console.print("skipping runs owned by another process")
    if shared.of_run:
        console.print(shared.line())
    if chosen:
        provide_kernels(chosen, console.print)
        make_datasets(data_of(chosen), console)
        # A dataset collected again may differ from the one on which a run began.
        refuse_faults(RunFolder.of(root, run) for run in (*shared.plan.runs, *chosen))
        commit([*shared.to_start(retry_failed), *chosen], root)
        commit_prefixes(chosen, shared)
        workers = workers or workers_for(chosen)
        packs = packs_in_order(chosen, shared, pack_limit or pack_limit_for(chosen, workers), workers, retry_failed)
        console.print(expected_line(planned, shared, packs, workers))
        try:
            with ProgressDisplay(packs, console) as display:

                def refresh() -> None:
                    display.refresh()
                    watch()

                repeated = run_packs(packs, workers, refresh, Failures(failure_limit))
            if repeated:
                console.print(
                    f"stopped: {failure_limit} runs have ended for the same reason and none is done; --max-failures "
                    "sets the limit"
                )
        except KeyboardInterrupt:
            console.print(f"interrupted; {counts_line(planner.plan(runs, root))}; resume with the same command")
            return False
    return True


def conclude(finished: Plan) -> int:
    """Print how the runs ended and why some failed, some of each reason; returns the exit code."""
    console = remark_console()
    console.print(counts_line(finished))
    by_reason: dict[tuple[str, str], list[str]] = {}
    for run in finished.where(lambda state: state.may_be_retried):
        folder = RunFolder.of(finished.root, run)
        status = folder.status()
        # A lost run has no reason, but its log may explain it.
        reason = status.get("reason") or folder.log_tail() or "reason unknown"
        line = f"{status['state']}: {run.id} ({run.task.name} {run.arm} seed {run.seed}): {reason}; {folder.log}"
        by_reason.setdefault((status["state"], kind_of(reason)), []).append(line)
    for (state, _), lines in by_reason.items():
        for line in lines[:NAMED]:
            console.print(line)
        if len(lines) > NAMED:
            console.print(f"{state}: {len(lines) - NAMED:,} more runs for the same reason")
    return FAILED if by_reason else DONE


def local(workers: int | None, pack_limit: int | None) -> Launch:
    """Launch runs on this machine, each with its offline phase."""
    return lambda runs, root, watch: train_runs(runs, root, workers, pack_limit, shared_prefix=False, watch=watch)
