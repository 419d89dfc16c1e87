"""Snapshots of the code: content, names, and imports from them."""

import json
import os
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.folders.provenance import PROJECT, code_version
from slurm import snapshot


@pytest.fixture
def taken(tmp_path):
    return snapshot.take(tmp_path)


def test_a_snapshot_contains_the_code(taken, tmp_path):
    assert taken.parent == tmp_path / "submissions" / "code"
    for file in ("floorbench.py", "slurm/profiles/cpu.toml", "results/templates/base.html", "requirements.lock"):
        assert (taken / file).read_bytes() == (PROJECT / file).read_bytes()
    assert not list(taken.rglob("__pycache__"))
    assert not (taken / "tests").exists()
    assert json.loads((taken / "code.json").read_text()) == code_version()


def test_equal_snapshots_are_shared(taken, tmp_path):
    before = (taken / "floorbench.py").stat().st_mtime_ns
    assert snapshot.take(tmp_path) == taken
    assert (taken / "floorbench.py").stat().st_mtime_ns == before
    assert list(taken.parent.iterdir()) == [taken]


def test_a_changed_snapshot_is_refused(taken, tmp_path):
    (taken / "floorbench.py").write_text("")
    with pytest.raises(UserError, match=f"{taken.name}: content does not match its name"):
        snapshot.take(tmp_path)


def test_a_process_imports_from_the_snapshot(taken, tmp_path):
    code = (
        "import json, harness, slurm.submissions; from harness.folders.provenance import attempt_details;"
        "print(json.dumps([harness.__file__, slurm.submissions.__file__, attempt_details()]))"
    )
    # The working directory contains another version of the project.
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('wrong code')")
    environment = {**os.environ, "PYTHONPATH": str(taken)}
    output = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    harness, submissions, details = json.loads(output.stdout)
    assert (harness, submissions) == (str(taken / "harness/__init__.py"), str(taken / "slurm/submissions.py"))
    original = {**code_version(), "snapshot": taken.name}
    assert {name: details[name] for name in original} == original
    # Cached bytecode does not change it.
    snapshot.check(taken)
