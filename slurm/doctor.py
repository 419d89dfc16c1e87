"""`floorbench doctor`: what this machine can do and what is missing, SLURM included."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.command_line import DONE, FAILED, RUNS, FittedTable, Json, print_json, remark_console, result_console
from harness.errors import UserError
from harness.folders.state import RunState
from harness.watching.doctor import Finding, can_run_demo, examine
from harness.watching.overview import Ended, overview
from slurm.profile import Profile, load
from slurm.queue import ask
from slurm.watching import QueueView

# Seconds to wait for an answer.
TIMEOUT = 10.0


def doctor(
    root: Annotated[
        Path | None, typer.Option(help="Directory of the run folders.", show_default="runs, or the profile's")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Check a node of a cluster instead, by a test job with this profile.")
    ] = None,
    json: Json = False,
) -> None:
    """Check this machine; exit code 0 if the demo can run. With --cluster: if jobs can run with a profile."""
    if cluster is None:
        raise typer.Exit(show_findings(root or RUNS, json))
    profile = load(cluster)
    raise typer.Exit(show_test_job(cluster, profile, root or Path(profile.root or RUNS), json))


def findings_at(root: Path) -> list[Finding]:
    """The findings of all checks."""
    return examine(root, [("slurm", slurm), ("jobs", lambda: jobs(root))])


def show_findings(root: Path, as_json: bool) -> int:
    """Print all findings; returns the exit code."""
    return _show(findings_at(root), "the demo can run", "the demo cannot run", as_json)


def show_test_job(name: str, profile: Profile, root: Path, as_json: bool = False) -> int:
    """Submit a test job with the profile of this name and print its findings; returns the exit code."""
    from slurm.testing import run_test_job

    findings = run_test_job(profile, root, remark_console().print)
    return _show(findings, f"jobs can run with profile {name}", f"jobs cannot run with profile {name}", as_json)


def _show(findings: Sequence[Finding], good: str, bad: str, as_json: bool) -> int:
    ready = can_run_demo(findings)
    if as_json:
        print_json({"ready": ready, "findings": [asdict(finding) for finding in findings]})
    else:
        console = result_console()
        lines = [{"result": item.verdict, "check": item.name, "finding": item.text} for item in findings]
        console.print(FittedTable(lines, flexible="finding"))
        console.print(good if ready else f"{bad}: see the problems above")
    return DONE if ready else FAILED


def slurm() -> Finding:
    """Check which SLURM programs are installed, and whether the controller and accounting answer."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "sacct") if shutil.which(name) is None]
    if "sbatch" in missing:
        return Finding("slurm", "note", "not found; floorbench submit needs it, floorbench run does not")
    if missing:
        return Finding("slurm", "note", f"{', '.join(missing)} not found; status shows less")
    try:
        version = ask("squeue", "--version", timeout=TIMEOUT).strip()
        ask("squeue", "--noheader", "--me", timeout=TIMEOUT)
    except UserError as error:
        return Finding("slurm", "note", f"the controller does not answer: {error}")
    try:
        ask("sacct", "--noheader", "--allocations", "--starttime=now", timeout=TIMEOUT)
    except UserError as error:
        return Finding(
            "slurm", "note", f"{version}, no accounting ({error}): costs are estimated from the runs' own records"
        )
    return Finding("slurm", "ok", f"{version}, with accounting")


def jobs(root: Path) -> Finding:
    """Whether array tasks of this root ended before they began their runs."""
    view = QueueView(root)
    queued = view.now()
    if view.remarks or not root.is_dir():
        return Finding("jobs", "ok", view.remarks[0] if view.remarks else "none submitted")
    rows = overview(root, None, queued, ended=view.ended)
    not_begun = [row for row in rows if row.state is RunState.LOST and row.job == _job(view.ended, row.run)]
    if not not_begun:
        return Finding("jobs", "ok", f"{len(queued)} runs in the queue; no array task ended before its runs began")
    first = not_begun[0]
    reason = "; ".join(filter(None, (first.reason, first.log_tail)))
    text = f"{len(not_begun)} runs did not begin, first {first.run}: {reason}; start them again with floorbench retry"
    return Finding("jobs", "note", text)


def _job(ended: Mapping[str, Ended], run: str) -> str | None:
    return ended[run].job if run in ended else None
