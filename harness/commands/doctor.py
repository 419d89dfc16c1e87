"""`floorbench doctor`: the findings as a table or as JSON."""

from dataclasses import asdict
from pathlib import Path

from harness.commands.output import print_json, result_console, text_table
from harness.watching.doctor import Finding, can_run_demo, examine
from slurm.examination import slurm


def findings_at(root: Path) -> list[Finding]:
    """Everything that is looked at, SLURM included."""
    return examine(root, [("slurm", slurm)])


def show_examination(root: Path, as_json: bool) -> int:
    """Print what was found; returns 0 if the demo can run, 1 otherwise."""
    findings = findings_at(root)
    ready = can_run_demo(findings)
    if as_json:
        print_json({"ready": ready, "findings": [asdict(finding) for finding in findings]})
    else:
        console = result_console()
        console.print(text_table(("", "", ""), [(each.verdict, each.name, each.text) for each in findings]))
        console.print("the demo can run" if ready else "the demo cannot run: see the problems above")
    return 0 if ready else 1
