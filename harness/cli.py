"""The command line. Everything heavy is imported inside the commands, so that help and errors are quick."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from harness.errors import PLACE_ERRORS, UserError, one_line
from harness.settings import Run
from harness.training.kernels import PACK_LIMIT

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="floorbench: a benchmark for CQL and Cal-QL that asks what the pessimism floor does.",
)

Grid = Annotated[str, typer.Argument(help="Name of a grid, for example floors or smoke.", metavar="GRID")]
Names = Annotated[list[str], typer.Argument(help="Ids of runs, their beginnings, or grids.", metavar="RUN|GRID...")]
Scale = Annotated[str, typer.Option(help="demo: minutes on two cores; paper: the published settings.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting of every run, for example algorithm.alpha=1.", metavar="KEY=VALUE"),
]
Root = Annotated[Path, typer.Option(help="Folder in which the run folders lie.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]

RUNS = Path("runs")

# What `--workers` and `--pack` are where they are not given (`harness.training.kernels`).
WORKERS = "usable cores, or cards"
PACK = f"{PACK_LIMIT}, or what a card holds"
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes of one thread each.", show_default=WORKERS)]

# Exit code of a command that was asked to end.
INTERRUPTED = 130

# What `tune` does, how many trials it asks for together, and its largest packs: many short runs spend much of their
# time on starting, and on a CPU a pack of 12 takes no longer per run than three of 4 (measured with the demo's networks
# and with the published ones).
TUNE_RUN, TUNE_BEST, TUNE_STATUS = "run", "best", "status"
BATCH = 16
TUNE_PACK = 12


@app.command()
def data(
    tasks: Annotated[list[str] | None, typer.Argument(help="Names of tasks.", metavar="TASK...")] = None,
    scale: Scale = "demo",
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks and whether their data are made.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy of hosted data: a folder, an archive or an HDF5 file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the cards as tables and figures.")] = None,
    json: Json = False,
) -> None:
    """Make or download tasks' datasets, check them and print their cards."""
    from harness.commands.data import show_cards
    from harness.commands.task_list import list_tasks as show_list

    if list_tasks:
        show_list(scale, json)
    elif tasks:
        show_cards(tasks, scale, json, out, source)
    else:
        raise UserError("data: name at least one task, or --list to see them")


@app.command()
def plan(grid: Grid, scale: Scale = "demo", changes: Changes = None, root: Root = RUNS, json: Json = False) -> None:
    """Show what of a grid is new, running, done or failed. Writes nothing."""
    from harness.commands.grid import grid_runs
    from harness.commands.runs import show_plan

    show_plan(grid_runs(grid, scale, changes or []), root, json)


@app.command()
def run(
    grid: Grid,
    workers: Workers = None,
    pack: Annotated[
        int | None, typer.Option(min=1, help="Runs that train together in one worker, at most.", show_default=PACK)
    ] = None,
    root: Root = RUNS,
    changes: Changes = None,
    scale: Scale = "demo",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
) -> None:
    """Run a grid on this machine's cores; finished runs are skipped."""
    from harness.commands.grid import grid_runs
    from harness.commands.runs import run_grid

    raise typer.Exit(run_grid(grid_runs(grid, scale, changes or []), root, workers, pack, retry_failed))


@app.command()
def submit(
    grid: Grid,
    cluster: Annotated[
        str, typer.Option(help="Profile: gpu-preemptable, cpu or whole-node, or a file of your own, FILE.toml.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be submitted; write nothing.")] = False,
    root: Annotated[
        Path | None, typer.Option(help="Folder of run folders, on all nodes.", show_default="the profile's, or runs")
    ] = None,
    changes: Changes = None,
    scale: Scale = "demo",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Submit failed runs again.")] = False,
    json: Json = False,
) -> None:
    """Submit a grid to SLURM; runs that are done, running or queued are left alone."""
    from harness.commands.grid import grid_runs
    from harness.commands.submit import show_draft, submit_grid
    from slurm.profile import load

    profile = load(cluster)
    runs, place = grid_runs(grid, scale, changes or []), root or Path(profile.root or RUNS)
    if dry_run:
        show_draft(runs, place, profile, retry_failed, json)
    else:
        words = " ".join([grid, "--scale", scale, *(f"--set {change}" for change in changes or [])])
        submit_grid(runs, place, profile, words, retry_failed, json)


@app.command()
def status(
    grid: Annotated[str | None, typer.Argument(help="Only the runs of this grid.", metavar="[GRID]")] = None,
    root: Root = RUNS,
    scale: Scale = "demo",
    changes: Changes = None,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until no run is running or queued.")] = False,
    every_run: Annotated[bool, typer.Option("--runs", help="A line per run, however many there are.")] = False,
) -> None:
    """Show what the runs in a folder are doing."""
    from harness.commands.status import show_status

    if json and watch:
        raise UserError("status: --json prints once; leave out --watch")
    show_status(_named(grid, scale, changes), root, json, watch, every_run)


@app.command()
def logs(
    run: Annotated[str, typer.Argument(help="Id of a run, or the beginning of it.", metavar="RUN")],
    root: Root = RUNS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print what a run's workers have said."""
    from harness.commands.logs import show_logs

    show_logs(run, root, follow)


@app.command()
def cancel(
    names: Names,
    root: Root = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    scale: Scale = "demo",
    changes: Changes = None,
) -> None:
    """Stop runs, or take them out of the queue. Nothing that was computed is lost."""
    from harness.commands.cancel import cancel_runs
    from harness.commands.selection import named_runs

    cancel_runs(named_runs(names, root, scale, changes or []), root, yes)


@app.command()
def retry(
    names: Names,
    cluster: Annotated[
        str | None, typer.Option(help="Profile of a cluster to submit them to.", show_default="this machine")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes of one thread each, here.", show_default=WORKERS)
    ] = None,
    pack: Annotated[
        int | None, typer.Option(min=1, help="Runs that train together in one worker here.", show_default=PACK)
    ] = None,
    root: Root = RUNS,
    scale: Scale = "demo",
    changes: Changes = None,
) -> None:
    """Start runs again that failed, were interrupted or cancelled, or are lost."""
    from harness.commands.retry import retry_runs
    from harness.commands.selection import named_runs

    runs = named_runs(names, root, scale, changes or [])
    raise typer.Exit(retry_runs(runs, root, workers, pack, cluster, f"retry {' '.join(names)}"))


@app.command()
def verify(
    grid: Grid,
    sample: Annotated[int, typer.Option(min=1, help="Finished runs that are computed again, at most.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed that chooses them.")] = 0,
    root: Annotated[
        Path | None, typer.Option(help="Folder in which the run folders lie.", show_default=str(RUNS))
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Compare with numbers that report --export wrote, not with folders.")
    ] = None,
    workers: Workers = None,
    scale: Scale = "demo",
    changes: Changes = None,
) -> None:
    """Compute some finished runs of a grid again, elsewhere, and compare; exit code 1 if one differs."""
    from harness.commands.grid import grid_runs
    from harness.commands.verify import in_folders, in_numbers, verify_grid

    if root and source:
        raise UserError("verify: --root names run folders and --from what was exported of some; leave out one of them")
    runs = grid_runs(grid, scale, changes or [])
    finished = in_numbers(runs, source) if source else in_folders(runs, root or RUNS)
    raise typer.Exit(verify_grid(finished, sample, seed, workers))


@app.command()
def report(
    grids: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only the runs of these grids; exact: the exact lab, too, or alone; bench: speed.",
            metavar="[GRID]...",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of run folders; may be given repeatedly.", show_default=str(RUNS)),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.", show_default="ROOT/report, runs/exact or runs/bench")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Instead of a report, write all numbers of the runs to this folder.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Report from numbers that --export wrote, not from run folders.")
    ] = None,
    scale: Scale = "demo",
    changes: Changes = None,
) -> None:
    """Write tables, figures, verdicts and one page about the runs in a folder, the exact lab, or measured speed."""
    from harness.commands.grid import grid_runs
    from harness.commands.report import Request, answer

    request = Request(tuple(grids or []), tuple(root or []), source, out, export, changed=bool(changes), default=RUNS)
    answer(request, lambda grid: grid_runs(grid, scale, changes or []))


@app.command()
def tune(
    words: Annotated[
        list[str],
        typer.Argument(
            help="Name of a study: search it. best: run its best settings beside the defaults. status: how far it is.",
            metavar="[best|status] STUDY",
        ),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of every arm.", show_default="the study's own")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Trials that are asked for together.")] = BATCH,
    workers: Workers = None,
    pack: Annotated[int, typer.Option(min=1, help="Runs that train together in one worker, at most.")] = TUNE_PACK,
    root: Root = RUNS,
    cluster: Annotated[
        str | None, typer.Option(help="Profile of a cluster that computes the runs.", show_default="this machine")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="URL of a database.", show_default="a journal in ROOT/studies/STUDY")
    ] = None,
    changes: Changes = None,
    scale: Scale = "demo",
    json: Json = False,
) -> None:
    """Search for the best settings of every arm with Optuna; interrupted, the same command goes on."""
    from harness.commands import tune as command
    from harness.commands.launch import local, on_cluster

    action, name = (TUNE_RUN, words[0]) if len(words) == 1 else words if len(words) == 2 else ("", "")
    if action not in (TUNE_RUN, TUNE_BEST, TUNE_STATUS):
        raise UserError(f"tune {' '.join(words)}: should be STUDY, {TUNE_BEST} STUDY or {TUNE_STATUS} STUDY")
    study = command.changed_study(name, scale, changes or [])
    if action == TUNE_STATUS:
        command.show_study(study, root, storage, json)
        return
    launch = on_cluster(cluster, f"tune {name}") if cluster else local(workers, pack)
    if action == TUNE_BEST:
        raise typer.Exit(command.report_best(study, root, launch, storage))
    raise typer.Exit(command.tune_study(study, root, launch, storage, trials, batch))


@app.command()
def doctor(root: Root = RUNS, json: Json = False) -> None:
    """Show what this machine can do and what is missing; exit code 0 if the demo can run."""
    from harness.commands.doctor import show_examination

    raise typer.Exit(show_examination(root, json))


def _named(grid: str | None, scale: str, changes: list[str] | None) -> list[Run] | None:
    """The runs of a grid, if one is named."""
    if grid is None:
        return None
    from harness.commands.grid import grid_runs

    return grid_runs(grid, scale, changes or [])


def main() -> None:
    """The command `floorbench`: exit codes 0 done, 1 a run failed, 2 bad usage or input, 130 interrupted."""
    requests: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        requests.append(number)
        raise KeyboardInterrupt

    # A request to end is treated like Ctrl-C: what is being done is left in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        app(prog_name="floorbench")
    except Exception as error:
        if requests:
            # Whatever was being imported took the interruption for a fault of its own.
            sys.exit(INTERRUPTED)
        if isinstance(error, UserError):
            fail(str(error))
        if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
            fail(one_line(error))
        raise


def fail(message: str) -> None:
    """Print the one line of an error and exit."""
    print(f"floorbench: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
