"""`floorbench report`: tables, figures and one page from run folders."""

from collections.abc import Sequence
from pathlib import Path

from harness.commands.output import remark_console, result_console
from harness.settings import Run


def make_report(named: Sequence[Run] | None, roots: Sequence[Path], out: Path) -> None:
    """Write the report about the runs in `roots` to `out` and print its main table; `named`: only about these runs."""
    from results.frame import runs
    from results.report import write_report
    from results.tables import scores

    only = None if named is None else {run.id for run in named}
    page, *_ = write_report(roots, out, only)
    table = scores(runs(roots, only)).text
    result_console().print(table.to_markdown(index=False, tablefmt="simple", disable_numparse=True))
    remark_console().print(f"report: {page}")
