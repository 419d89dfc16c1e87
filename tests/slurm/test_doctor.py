"""The doctor reports what this machine supports and what is missing."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ablations.grids import runs_of
from algorithms.kernels import gpu
from harness.command_line import DONE
from harness.watching import doctor
from harness.watching.doctor import Finding, can_run_demo
from slurm.doctor import findings_at, show_findings
from tests.support.run_folder_factory import write_done


@pytest.fixture(autouse=True)
def folder_without_data(tmp_path_factory, monkeypatch):
    """The factory's runs have a fictitious data hash, which must not be compared with data of other tests."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    return {finding.name: finding for finding in findings_at(tmp_path_factory.mktemp("root"))}


def test_this_machine_can_run_the_demo(findings):
    assert can_run_demo(list(findings.values())), findings
    assert {"python", "processor", "memory", "packages", "torch", "pointmaze", "runs", "datasets"} <= set(findings)
    assert sys.executable in findings["python"].text
    assert findings["pointmaze"].verdict == "ok"
    assert "mujoco 3.3" in findings["packages"].text


def test_a_gpu_without_a_c_compiler_is_a_note(monkeypatch, tmp_path):
    """Triton needs one on the machine of the GPU."""
    monkeypatch.setattr(gpu, "obstacle", lambda: None)
    monkeypatch.setattr(doctor, "gpus", lambda: "Made GPU")
    monkeypatch.setenv("CC", "cc")
    assert doctor.torch_device().verdict == "ok"
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.torch_device()
    assert finding.verdict == "note"
    assert "Made GPU; use them with --set algorithm.kernel=cuda; the kernels cuda_compiled and triton" in finding.text
    assert "cannot be used: no C compiler" in finding.text


def test_a_problem_means_no_demo_and_a_note_does_not():
    assert can_run_demo([Finding("a", "ok", ""), Finding("b", "note", "")])
    assert not can_run_demo([Finding("a", "ok", ""), Finding("b", "problem", "")])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_findings_fit_the_terminal_and_lose_no_word(width, findings, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("slurm.doctor.findings_at", lambda root: list(findings.values()))
    monkeypatch.setattr("slurm.doctor.result_console", lambda: Console(file=stream, width=width, color_system=None))
    assert show_findings(Path("runs"), as_json=False) == DONE
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    # Long words, such as paths and hashes, are broken at the edge.
    start = lines[0].index("finding")
    shown = "".join(line[start:] for line in lines[1:-1]).replace(" ", "")
    assert shown == "".join(finding.text for finding in findings.values()).replace(" ", "")


def test_folders_that_cannot_be_written_are_problems(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file"))
    findings = {finding.name: finding for finding in findings_at(tmp_path / "file" / "runs")}
    assert findings["runs"].verdict == "problem"
    assert findings["datasets"].verdict == "problem"
    assert "cannot be created" in findings["datasets"].text
    assert not any("\n" in finding.text for finding in findings.values())


def test_looking_leaves_no_trace(tmp_path):
    assert doctor.runs_folder(tmp_path / "deep" / "runs").verdict == "ok"
    assert list(tmp_path.iterdir()) == []


def test_code_without_a_commit_is_a_note(monkeypatch):
    """Doctor shows what provenance will record."""
    version = {"commit": None, "difference": None, "version": "0.1.0", "build": "ab12"}
    monkeypatch.setattr(doctor, "code_version", lambda: version)
    monkeypatch.setattr(doctor, "git_obstacle", lambda: "not a git checkout")
    assert doctor.code() == Finding(
        "provenance", "note", "names no commit (not a git checkout), but version 0.1.0, build ab12"
    )
    monkeypatch.setattr(doctor, "code_version", lambda: version | {"commit": "c0ffee", "difference": "d1"})
    assert doctor.code().text == "commit c0ffee with uncommitted changes d1, version 0.1.0, build ab12"


def test_findings_are_plain(findings):
    assert json.dumps([finding.__dict__ for finding in findings.values()])
    assert all("\n" not in finding.text for finding in findings.values())


def test_faults_of_run_folders_are_problems_one_by_one(tmp_path):
    folders = write_done(tmp_path, runs_of("smoke"))
    assert doctor.run_faults(tmp_path) == [Finding("run folder", "ok", f"4 in {tmp_path}, no faults")]
    (folders[0].path / "config.json").write_text("{")
    (folders[2].path / "metrics.jsonl").write_text("")
    findings = doctor.run_faults(tmp_path)
    assert [(finding.name, finding.verdict) for finding in findings] == [("run folder", "problem")] * 2
    assert {finding.text.split(": is damaged")[0] for finding in findings} == {
        str(folders[0].path / "config.json"), str(folders[2].path / "metrics.jsonl"),
    }  # fmt: skip
    assert doctor.run_faults(tmp_path / "nowhere")[0].verdict == "ok"
