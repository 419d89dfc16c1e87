"""FINDINGS.md and FLOORS.md are up to date, short, and report the grids whose runs are published."""

import textwrap

import pytest

from ablations.grids import runs_of
from results.figures.cause import CELLS
from results.frame import gather
from results.frame.frames import export
from results.publishing.findings import FINDINGS, TEMPLATES, evidence_of, figures_of, findings
from results.publishing.published_runs import CAUSE, DIP, MIXED_DATA, PUBLISHED
from results.tables.gate import gates
from tests.support.run_folder_factory import write_done

PICK = "fetch-pick-and-place"


@pytest.mark.parametrize("document", TEMPLATES)
def test_findings_are_up_to_date(document):
    assert (PUBLISHED / document).read_text() == findings(document=document), "update them with: make report"


@pytest.mark.parametrize("document", TEMPLATES)
def test_findings_fit_on_two_screens(document):
    """Fifty lines of 160 characters each, before the tables."""
    text = (PUBLISHED / document).read_text().partition("## Figures and tables")[0]
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, 160) or [""]]
    assert len(lines) <= 100


def test_the_gate_is_passed_where_the_findings_say_so():
    passes = {gate.task: gate.passes for grid in (DIP, MIXED_DATA) for gate in gates(evidence_of(grid).measures)}
    assert passes == {PICK: False, f"{PICK}-mixed": True}


def test_pictures_of_the_findings_are_published():
    for line in FINDINGS.read_text().splitlines():
        if line.startswith("!["):
            assert (PUBLISHED / line.partition("](")[2].rstrip(")")).exists()


def test_grids_are_reported_when_their_runs_are_published(tmp_path):
    named = {
        DIP: [run for run in runs_of(DIP) if run.arm in ("cql", "monte_carlo") and run.seed == 300],
        CAUSE: [run for run in runs_of(CAUSE) if run.task.name == PICK and run.arm in CELLS and run.seed == 300],
    }
    for grid, runs in named.items():
        write_done(tmp_path / grid / "runs", runs)
        export(gather(tmp_path / grid / "runs"), tmp_path / grid)
    dip = evidence_of(DIP, tmp_path / DIP)
    assert dip.data_seeds == 10
    assert dip.measured("cql-falls-online", PICK).endswith("n = 10")
    assert [figure.name for figure in figures_of(evidence_of(CAUSE, tmp_path / CAUSE), None)] == [f"cause_{PICK}"]
    assert evidence_of(DIP, tmp_path / CAUSE) is None
    assert evidence_of(CAUSE, tmp_path / DIP) is None
    assert figures_of(None, None) == []
