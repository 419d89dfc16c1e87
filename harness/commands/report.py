"""`floorbench report`: tables, figures and one page from run folders."""

from collections.abc import Sequence
from pathlib import Path

from harness.commands.output import remark_console, result_console
from harness.errors import UserError
from harness.run_folder import run_folders
from harness.settings import Run


def make_report(named: Sequence[Run] | None, roots: Sequence[Path], out: Path) -> None:
    """Write the report about all runs in `roots` to `out` and print its main table.

    Where grids were named, `named` holds their runs, and the roots must hold no others.
    """
    from results.frame import runs
    from results.report import write_report
    from results.tables import scores

    if named is not None:
        refuse_others(named, roots)
    page, *_ = write_report(roots, out)
    table = scores(runs(roots)).text
    result_console().print(table.to_markdown(index=False, tablefmt="simple", disable_numparse=True))
    remark_console().print(f"report: {page}")


def refuse_others(named: Sequence[Run], roots: Sequence[Path]) -> None:
    """Raise UserError if a root holds a run that is not among `named`."""
    ids = {run.id for run in named}
    for root in roots:
        others = [folder.id for folder in run_folders(root) if folder.id not in ids]
        if others:
            raise UserError(
                f"{root}: holds {len(others)} runs of no named grid at this scale and these settings ({others[0]}); "
                "leave out GRID to report all, or keep grids in separate roots"
            )
