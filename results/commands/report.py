"""`floorbench report`: tables, figures and an HTML page about runs, the exact lab or benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from ablations.commands.selection import Arms, Seeds, Tasks, grid_runs
from ablations.selection import Selection
from harness.command_line import RUNS, Changes, GridScale, WrappedTable, remark_console, result_console
from harness.errors import UserError
from harness.folders.limits import usable_cores
from harness.folders.reader import summaries
from harness.settings import Run

if TYPE_CHECKING:
    from ablations.claim import Claim
    from results.frame import Frames
    from results.tuning.ledger import Ledger
    from results.verdicts.decisions import Verdict

# Names of reports that are not about a grid: the exact lab, also a subdirectory of a report about runs, and speed.
EXACT, BENCH = "exact", "bench"


@dataclass(frozen=True)
class Request:
    """The arguments of `floorbench report`."""

    # Names of grids, and `EXACT` or `BENCH`.
    names: tuple[str, ...]
    roots: tuple[Path, ...]
    # Exported frames, or a file of benchmarks.
    source: Path | None
    out: Path | None
    export: Path | None
    # Whether the grids have another scale or changed settings.
    changed: bool
    # Only these runs of the grids, or of the roots or frames.
    selection: Selection | None
    # The default root, also for reports about no runs.
    default: Path
    # Whether figures are written in the formats of papers, too.
    pdf: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of figures."""
        return ("svg", "pdf", "png") if self.pdf else ("svg",)


@dataclass(frozen=True)
class Named:
    """The ids and tasks of the runs that a report is about."""

    ids: frozenset[str]
    tasks: frozenset[str]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Named:
        return cls(frozenset(run.id for run in runs), frozenset(run.task.name for run in runs))


def report(
    grids: Annotated[
        list[str] | None,
        typer.Argument(
            help="Report only the runs of these grids; exact: (also) the exact lab; bench: speed.",
            metavar="GRID",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of run folders; can be repeated.", show_default=str(RUNS)),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory of the report.", show_default="ROOT/report, runs/exact or runs/bench"),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all numbers of the runs to this directory instead of a report.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Read numbers written by --export instead of run folders.")
    ] = None,
    tasks: Tasks = None,
    arms: Arms = None,
    seeds: Seeds = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write every figure as PDF and PNG too.")] = False,
    scale: GridScale = None,
    changes: Changes = None,
) -> None:
    """Write tables, figures, verdicts and HTML pages about runs, the exact lab, or measured speed."""
    selection = Selection.of(tasks, arms, seeds)
    names, roots = tuple(grids or []), tuple(root or [])
    request = Request(names, roots, source, out, export, bool(changes or scale), selection, default=RUNS, pdf=pdf)
    answer(request, lambda grid: grid_runs(grid, scale, changes, None if grid else selection))


def answer(request: Request, runs_of: Callable[[str | None], Sequence[Run]]) -> None:
    """Write the requested report or export; `runs_of` returns the runs of a grid, for None those of the selection's."""
    roots, source, out, export = request.roots, request.source, request.out, request.export
    if BENCH in request.names:
        if len(request.names) > 1 or roots or export or request.changed or request.selection:
            raise UserError(f"report {BENCH}: reports no runs; it takes only --from FILE and --out")
        show_speed_report(source, out or request.default / BENCH)
        return
    grids, exact = [name for name in request.names if name != EXACT], EXACT in request.names
    if exact and not grids and request.changed:
        raise UserError(
            f"report {EXACT}: --set and --scale are for runs, and the exact lab has none; name a grid as well"
        )
    if exact and not grids and not roots and not source:
        show_exact_report(out or request.default / EXACT, request.formats)
        return
    roots = roots or (request.default,)
    only = None
    if grids:
        named = [run for grid in grids for run in runs_of(grid)]
        named = request.selection.runs(named, " ".join(grids)) if request.selection else named
        only = Named.of(named)
    elif request.changed:
        only = Named.of(runs_of(None))
    elif request.selection:
        only = _selected(request.selection, source or roots)
    if export is not None:
        if out or source or exact:
            raise UserError("report: --export writes numbers instead of a report; leave out --out, --from and exact")
        export_runs(only, roots, export)
        return
    if request.roots and source:
        raise UserError("report: --root and --from exclude each other; leave out one")
    make_report(only, source or roots, out or (source or roots[0]) / "report", exact, grids, request.formats)


def make_report(
    only: Named | None,
    source: Path | Sequence[Path],
    out: Path,
    exact: bool = False,
    grids: Sequence[str] = (),
    formats: Sequence[str] = ("svg",),
) -> None:
    """Write a report about runs to `out` and print what it says.

    `source`: roots of run folders, or a directory of exported frames. `only`: report only these runs, of `grids`.
    `exact`: include the claims of the exact lab, whose report goes to `out`/exact. `formats`: those of figures.
    """
    from results.frame.comparison import remarks
    from results.reports.runs import write_report
    from results.tables.scores import result_lines
    from results.tuning.ledger import ledgers_in

    frames = _frames(only, source)
    # Raises if there is nothing to report, before the lab spends half a minute.
    lines = result_lines(frames.runs)
    verdicts = make_exact_report(out / EXACT, formats)[0] if exact else []
    studies = [
        ledger for ledger in ledgers_in([source] if isinstance(source, Path) else source) if _is_about(ledger, only)
    ]
    page, *_ = write_report(frames, out, verdicts, usable_cores(), studies, grids, formats)
    result_console().print(lines)
    for remark in remarks(frames):
        remark_console().print(f"note: {remark}")
    remark_console().print(f"report: {page}")


def export_runs(only: Named | None, roots: Sequence[Path], folder: Path) -> None:
    """Write the frames of runs and the ledgers of their studies to `folder`; prints the files."""
    from results.frame.frames import export
    from results.tuning.ledger import export_ledgers

    for file in [*export(_frames(only, roots), folder), *export_ledgers(roots, folder)]:
        result_console().print(file)


def _frames(only: Named | None, source: Path | Sequence[Path]) -> Frames:
    """The frames of all runs, or of the named ones."""
    from results.frame import gather
    from results.frame.comparison import refuse_mixed_settings
    from results.frame.frames import load

    ids = None if only is None else only.ids
    if not isinstance(source, Path):
        return gather(source, ids, usable_cores())
    frames = load(source, ids)
    # Exported frames may hold runs of several roots.
    refuse_mixed_settings(frames.runs)
    return frames


def _selected(selection: Selection, source: Path | Sequence[Path]) -> Named:
    """The selected runs in roots, or in a directory of exported frames; raises UserError if there are none."""
    from results.frame.frames import load

    if isinstance(source, Path):
        rows = [tuple(row) for row in load(source).runs[["run", "task", "arm", "seed"]].to_numpy()]
    else:
        named = [(summary.id, summary.names) for root in source for summary in summaries(root)]
        rows = [(id, names.task, names.arm, names.seed) for id, names in named if names]
    chosen = selection.chosen(rows, lambda row: (row[1], row[2], row[3]), _place(source))
    return Named(frozenset(row[0] for row in chosen), frozenset(row[1] for row in chosen))


def _place(source: Path | Sequence[Path]) -> str:
    return str(source) if isinstance(source, Path) else " and ".join(map(str, source))


def _is_about(ledger: Ledger, only: Named | None) -> bool:
    """Whether a study has a task of the named runs; true if none are named."""
    from ablations.studies import STUDIES, study_of

    if only is None or ledger.study not in STUDIES:
        return True
    return not only.tasks.isdisjoint(run.task.name for run in study_of(ledger.study).runs)


def make_exact_report(out: Path, formats: Sequence[str] = ("svg",)) -> tuple[list[Verdict], Path]:
    """Judge all claims of the exact lab and write the report to `out`; returns the verdicts and the page."""
    import torch

    from ablations.exact.lab import CLAIMS, curves
    from results.reports.exact import write_exact_report
    from results.verdicts.decisions import judge_exact

    torch.set_num_threads(1)
    with _display() as display:
        verdicts = judge_exact(_announced(CLAIMS, display))
        display.add_task("figures")
        page, *_ = write_exact_report(verdicts, curves(), out, formats)
    return verdicts, page


def show_exact_report(out: Path, formats: Sequence[str]) -> None:
    """Write the report about the exact lab and print the verdicts."""
    from results.reports.exact import summary
    from results.verdicts.table import verdict_table

    verdicts, page = make_exact_report(out, formats)
    table = verdict_table(verdicts).text[["Id", "Verdict", "Effect"]]
    result_console().print(WrappedTable(table.to_dict("records")))
    remark_console().print(f"{summary(verdicts)}\nreport: {page}")


def show_speed_report(file: Path | None, out: Path) -> None:
    """Write the report about a file of pytest-benchmark (default: the newest) or of gpu-check; prints its page."""
    from results.reports import benchmarks, gpu_checks

    file = file or benchmarks.newest()
    if gpu_checks.is_check(file):
        page, *_ = gpu_checks.write_gpu_report(gpu_checks.read(file), out)
    else:
        page, *_ = benchmarks.write_speed_report(benchmarks.read(file), out)
    remark_console().print(f"report about {file}: {page}")


def _display() -> Progress:
    """A progress line on a terminal; nothing elsewhere."""
    console = remark_console()
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _announced(claims: Sequence[Claim], display: Progress) -> Iterator[Claim]:
    """Yield the claims and show the current one in the display."""
    line = display.add_task("")
    for place, claim in enumerate(claims, 1):
        display.update(line, description=f"{place}/{len(claims)} {claim.id}")
        yield claim
    display.remove_task(line)
