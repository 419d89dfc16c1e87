"""`floorbench report`: tables, figures and one page from run folders."""

from pathlib import Path

from harness.commands.output import remark_console, result_console
from harness.preflight import check_root


def make_report(roots: list[Path], out: Path) -> None:
    """Write the report of all runs in `roots` to `out` and print its main table."""
    from results.report import write_report

    from results.frame import runs
    from results.tables import scores

    table = scores(runs(roots))
    check_root(out)
    write_report(roots, out)
    result_console().print(table.text.to_markdown(index=False, tablefmt="simple", disable_numparse=True))
    remark_console().print(f"report: {out / 'report.html'}")
