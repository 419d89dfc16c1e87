"""`floorbench submit`: submit unfinished runs to SLURM, or show with `--dry-run` what would be submitted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablations.commands.run import Launch
from ablations.commands.selection import Arms, Grid, Seeds, Tasks, counts_line, grid_runs
from ablations.commands.track import Trackers
from ablations.selection import Selection
from harness import extensions
from harness.command_line import (
    DONE,
    FAILED,
    RUNS,
    Changes,
    FittedTable,
    GridScale,
    Json,
    SharedPrefix,
    print_json,
    remark_console,
    result_console,
)
from harness.errors import UserError
from harness.files import absolute
from harness.folders.reader import refuse_faults
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import checked_plan, plan
from harness.launching.preflight import check_environments, check_root, check_settings, data_of, tasks_of
from harness.launching.progress import duration, make_datasets
from harness.settings import Run
from harness.training.kernels import check_kernels, provide_kernels, uses_gpu
from harness.watching.overview import overview
from harness.watching.trackers import check_names
from slurm.doctor import show_test_job
from slurm.expectation import Expectation, expectation, expectation_line, expectation_table
from slurm.profile import Profile, load
from slurm.queue import Limits, QueuedTask, limits, queue
from slurm.submissions import Submission
from slurm.watching import QueueView

if TYPE_CHECKING:
    from slurm.submission import Draft

ARRAY_COLUMNS = ("array", "tasks", "at once", "after", "job")

# Seconds between two looks at runs on a cluster.
INTERVAL = 5.0


def submit(
    cluster: Annotated[
        str, typer.Option(help="Profile: gpu-preemptable, cpu, whole-node, or the path of a TOML file.")
    ],
    grid: Grid = None,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be submitted; write nothing.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="Directory of the run folders, shared by all nodes.", show_default="the profile's, or runs"),
    ] = None,
    changes: Changes = None,
    scale: GridScale = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Submit failed runs again.")] = False,
    shared_prefix: SharedPrefix = True,
    trackers: Trackers = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing; also submit a grid file of more than 10,000 runs.")
    ] = False,
    json: Json = False,
) -> None:
    """Submit a grid to SLURM. Runs that are done, running or queued are skipped."""
    check_names(trackers or [])
    profile = load(cluster)
    selection = Selection.of(tasks, arms, seeds)
    runs, place = grid_runs(grid, scale, changes, selection, yes), root or Path(profile.root or RUNS)
    if dry_run:
        show_draft(runs, place, profile, retry_failed, json, shared_prefix)
    else:
        options = [
            str(selection or ""),
            f"--scale {scale}" if scale else "",
            *(f"--set {one}" for one in changes or []),
        ]
        words = " ".join(filter(None, [grid, *options]))
        remark = offer_test_job(cluster, profile, place, asks=not (yes or json))
        submit_grid(runs, place, profile, words, retry_failed, json, shared_prefix, trackers or [])
        if remark:
            remark_console().print(remark)


def offer_test_job(name: str, profile: Profile, root: Path, asks: bool) -> str | None:
    """Before the first submission with a profile to a root: ask for a test job at a terminal, else return a remark.

    Exits if the test job finds problems.
    """
    # Imports submitit, which `--help` does not need.
    from slurm.testing import is_tried

    if is_tried(root, profile):
        return None
    if not asks or not sys.stdin.isatty():
        return (
            f"profile {name} was not used in {root} before; a test job shows whether it works: "
            f"floorbench doctor --cluster {name} --root {root}"
        )
    wanted = typer.confirm(f"profile {name} was never used in {root}; run a test job first?", default=True, err=True)
    if wanted and show_test_job(name, profile, root) != DONE:
        raise typer.Exit(FAILED)
    return None


def submit_grid(
    runs: Sequence[Run],
    root: Path,
    profile: Profile,
    grid: str,
    retry_failed: bool,
    as_json: bool,
    shared_prefix: bool = True,
    trackers: Sequence[str] = (),
) -> None:
    """Submit the runs that are not done, running or queued; does not wait for the jobs."""
    # Imports NumPy, which `--help` does not need.
    from harness.training.starts import check_starts
    from slurm import script
    from slurm import submission as submitting

    console = remark_console()
    script.check_root(root)
    extensions.provide((label for run in runs for label in run.extensions), root)
    chosen = checked_plan(runs, root).to_start(retry_failed)
    check_settings(chosen)
    check_environments(tasks_of(chosen))
    check_starts(chosen, root)
    provide_kernels(chosen, console.print, elsewhere=True)
    submitting.check_profile(profile)
    check_root(root, chosen)
    # Compute nodes neither collect nor download datasets.
    make_datasets(data_of(chosen), console, download=True)
    refuse_faults(RunFolder.of(root, run) for run in runs)
    submission = None
    with submitting.locked(root):
        for remark in submitting.reconcile(absolute(root)):
            console.print(remark)
        drafted = submitting.draft(
            plan(runs, root), profile, limits(profile.account), queue(), retry_failed, shared_prefix
        )
        refuse_faults(RunFolder.of(root, run) for run in drafted.shared.plan.runs)
        if drafted.tasks:
            submission = submitting.submit(drafted, profile, grid, trackers)
    if as_json:
        print_json(description(drafted, submission))
        return
    console.print(states_line(drafted))
    if submission is None:
        console.print("nothing to submit")
    else:
        result_console().print(arrays_table(drafted, submission))
        console.print(f"submitted {len(drafted.runs)} runs; follow them with floorbench status --root {root}")
    for remark in remarks(drafted, profile):
        console.print(remark)


def show_draft(
    runs: Sequence[Run],
    root: Path,
    profile: Profile,
    retry_failed: bool,
    as_json: bool,
    shared_prefix: bool = True,
) -> None:
    """Print what `submit_grid` would submit, the expected cost, and the job script. Writes nothing."""
    from slurm.script import check_root as check_script_root
    from slurm.submission import draft, job_script

    check_script_root(root)
    planned = checked_plan(runs, root)
    check_settings(runs)
    check_kernels(runs, elsewhere=True)
    console = remark_console()
    try:
        user_limits, tasks = limits(profile.account), queue()
    except UserError as error:
        user_limits, tasks = Limits(), list[QueuedTask]()
        console.print(f"{error}\nassuming an empty queue and SLURM's default limits")
    drafted = draft(planned, profile, user_limits, tasks, retry_failed, shared_prefix)
    expected = expectation(drafted, profile) if drafted.tasks else None
    notes = [*remarks(drafted, profile), *warnings(expected, profile)]
    script = job_script(drafted, profile, 0) if drafted.arrays else None
    if as_json:
        details = {"expected": asdict(expected) if expected else None, "remarks": notes, "script": script}
        print_json({**description(drafted, None), **details})
        return
    out = result_console()
    out.print(states_line(drafted))
    if script is not None:
        packs = sum(len(task) for task in drafted.tasks)
        noun = "array task" if len(drafted.tasks) == 1 else "array tasks"
        out.print(f"to submit: {len(drafted.runs)} runs in {packs} packs and {len(drafted.tasks)} {noun}")
        out.print(arrays_table(drafted, None))
        if expected is not None:
            out.print(expectation_line(expected, profile))
            out.print(expectation_table(expected, profile))
        out.print(f"\n{script}")
    for note in notes:
        console.print(note)


def remarks(drafted: Draft, profile: Profile) -> list[str]:
    """Notes on runs that are not submitted, and on GPUs."""
    notes = []
    failed = drafted.plan.in_state(RunState.FAILED)
    if failed and not set(failed) & set(drafted.runs):
        notes.append("skipping failed runs; submit them again with --retry-failed")
    if drafted.shared.of_run:
        notes.append(drafted.shared.line())
    if drafted.left:
        notes.append(f"queue limit reached; {drafted.left} runs not submitted; submit again later")
    if uses_gpu(drafted.runs) and not profile.gpus:
        notes.append('warning: algorithm.kernel needs a GPU, but the profile requests none; add gres = "gpu:1"')
    elif uses_gpu(drafted.runs) and profile.gpus > profile.workers:
        idle = f"{profile.gpus - profile.workers:g} of {profile.gpus:g} GPUs"
        notes.append(f"warning: {idle} of an array task stay idle: a worker uses one; raise workers or request fewer")
    elif drafted.runs and profile.gpus and not uses_gpu(drafted.runs):
        kernel = drafted.runs[0].algorithm.kernel
        notes.append(
            f"warning: the profile requests a GPU, which algorithm.kernel = '{kernel}' does not use; request none, or "
            "--set algorithm.kernel=cuda"
        )
    return notes


def warnings(expected: Expectation | None, profile: Profile) -> list[str]:
    """Warn of array tasks that will exceed their time limit for good."""
    if expected is None or profile.requeue or expected.longest_task < 60 * profile.time_minutes:
        return []
    return [
        f"warning: an array task is expected to take {duration(expected.longest_task)}, longer than time_minutes = "
        f"{profile.time_minutes}, and requeue = false; unfinished runs will have to be submitted again"
    ]


def states_line(drafted: Draft) -> str:
    """The number of runs in each state, and how many are queued."""
    return f"{counts_line(drafted.plan)}; {len(drafted.queued)} of them queued in SLURM"


def arrays_table(drafted: Draft, submission: Submission | None) -> Any:
    """One line per array."""
    arrays = submission.arrays if submission else drafted.arrays
    rows = [
        (array.job_name, f"0-{len(array.tasks) - 1}%{array.limit}" if len(array.tasks) > 1 else "0", array.limit,
         " ".join([*(arrays[other].job_name for other in array.waits_for), *array.prefix_jobs]), array.job_id or "")
        for array in arrays
    ]  # fmt: skip
    return FittedTable([dict(zip(ARRAY_COLUMNS, row, strict=True)) for row in rows], ("at once", "tasks"))


def description(drafted: Draft, submission: Submission | None) -> dict[str, Any]:
    """A draft, or its submission, for JSON."""
    arrays = submission.arrays if submission else drafted.arrays
    return {
        "root": str(drafted.plan.root),
        "counts": drafted.plan.counts(),
        "queued": sorted(drafted.queued),
        "prefixes": [run.id for run in drafted.shared.plan.runs],
        "updates_saved": drafted.shared.all_updates_saved,
        "submission": submission.name if submission else None,
        "arrays": [asdict(array) for array in arrays],
        "left": drafted.left,
    }


def on_cluster(profile_name: str, words: str) -> Launch:
    """Launch runs on a cluster, and submit unfinished ones again as long as this makes progress.

    Offers a test job first if the profile was never used in the root of the runs. `words` describe the submissions to a
    reader. An interruption leaves the jobs in the queue; launching the same runs again finds them there.
    """
    profile = load(profile_name)

    def launch(runs: Sequence[Run], root: Path, watch: Callable[[], None]) -> bool:
        if remark := offer_test_job(profile_name, profile, root, asks=True):
            remark_console().print(remark)
        try:
            before = len(runs) + 1
            while (waiting := plan(runs, root).where(lambda state: not state.is_terminal)) and len(waiting) < before:
                before = len(waiting)
                submit_grid(waiting, root, profile, words, retry_failed=False, as_json=False, shared_prefix=False)
                wait_for(waiting, root, watch)
        except KeyboardInterrupt:
            remark_console().print("interrupted; the jobs keep running, and the same command resumes waiting for them")
            return False
        return True

    return launch


def wait_for(runs: Sequence[Run], root: Path, watch: Callable[[], None]) -> None:
    """Wait until no run is running or queued. A queue that does not answer is asked again."""
    queue = QueueView(root)
    while True:
        rows = overview(root, runs, queue.now())
        if not queue.remarks and not any(row.state.is_active for row in rows):
            return
        watch()
        time.sleep(INTERVAL)
