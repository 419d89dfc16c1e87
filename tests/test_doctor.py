"""The doctor finds what is there and what is missing on the real machine."""

import json
import sys

import pytest

from harness import doctor
from harness.doctor import Finding, can_run_demo, examine


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    return {finding.name: finding for finding in examine(tmp_path_factory.mktemp("root"))}


def test_this_machine_can_run_the_demo(findings):
    assert can_run_demo(list(findings.values())), findings
    assert {"python", "processor", "memory", "packages", "torch", "pointmaze", "runs", "datasets"} <= set(findings)
    assert sys.executable in findings["python"].text
    assert findings["pointmaze"].verdict == "ok"
    assert "mujoco 3.3" in findings["packages"].text


def test_a_problem_means_no_demo_and_a_note_does_not():
    assert can_run_demo([Finding("a", "ok", ""), Finding("b", "note", "")])
    assert not can_run_demo([Finding("a", "ok", ""), Finding("b", "problem", "")])


def test_folders_that_cannot_be_written_are_problems(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file"))
    found = {finding.name: finding for finding in examine(tmp_path / "file" / "runs")}
    assert found["runs"].verdict == "problem"
    assert found["datasets"].verdict == "problem"
    assert "cannot be made" in found["datasets"].text
    assert not any("\n" in finding.text for finding in found.values())


def test_looking_leaves_no_trace(tmp_path):
    assert doctor.runs_folder(tmp_path / "deep" / "runs").verdict == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_tool_is_a_note():
    assert doctor.tool("compiler", ("no-such-compiler",), "kernels will not be compiled") == Finding(
        "compiler", "note", "not found; kernels will not be compiled"
    )


def test_findings_are_plain(findings):
    assert json.dumps([finding.__dict__ for finding in findings.values()])
    assert all("\n" not in finding.text for finding in findings.values())
