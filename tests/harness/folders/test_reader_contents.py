"""Every fault of a run folder is found and named, sound folders have none, and reading changes nothing."""

import hashlib
import json
import os
import random

import h5py
import numpy as np
import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.data.files import dataset_folder
from harness.errors import UserError
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position
from harness.folders.reader import faults, refuse_faults
from harness.folders.run_folder import METRICS, REPLAY, RunFolder
from harness.launching.planner import commit
from tests.support.run_folder_factory import begin, fail, lose, write_done


@pytest.fixture(autouse=True)
def folder_without_data(tmp_path_factory, monkeypatch):
    """The factory's runs have a fictitious data hash, which must not be compared with data of other tests."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))


@pytest.fixture
def run():
    return runs_of("smoke")[0]


@pytest.fixture
def done(tmp_path, run):
    return write_done(tmp_path, [run])[0]


def only(lines):
    assert len(lines) == 1, lines
    assert lines[0].isprintable()
    return lines[0]


def contents(root):
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


def flipped(data: bytes, random: random.Random) -> bytes:
    """The bytes with a random one changed."""
    place = random.randrange(len(data))
    other = (data[place] + random.randrange(1, 256)) % 256
    return data[:place] + bytes([other]) + data[place + 1 :]


def test_intact_folders_have_no_faults(tmp_path):
    runs = runs_of("smoke")
    write_done(tmp_path / "a", runs)
    begin(tmp_path / "b", runs[0])
    lose(tmp_path / "b", runs[1])
    fail(tmp_path / "b", runs[2], "parameters not finite at update 3")
    commit(runs[3:], tmp_path / "b")
    for root in ("a", "b"):
        for run in runs:
            assert faults(RunFolder.of(tmp_path / root, run)) == []


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_every_changed_byte_is_detected(done, name):
    file, random_source = done.path / name, random.Random(0)
    content = file.read_bytes()
    detected = 0
    for _ in range(200):
        file.write_bytes(flipped(content, random_source))
        fault = only(faults(done))
        assert fault.startswith(f"{file}: ")
        detected += 1
    assert detected == 200
    file.write_bytes(content)
    assert faults(done) == []


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "status.json", "done.json", "provenance.json"])
def test_every_truncation_is_detected(done, name):
    file, random_source = done.path / name, random.Random(1)
    content = file.read_bytes()
    # Without their final newline only config.json and metrics.jsonl are damaged.
    most = len(content) - (0 if name in ("config.json", "metrics.jsonl") else 1)
    for length in [0, 1, most - 1, *(random_source.randrange(most) for _ in range(30))]:
        file.write_bytes(content[:length])
        assert only(faults(done)).startswith(f"{file}: is damaged")


@pytest.mark.parametrize("name", ["status.json", "done.json", "provenance.json", "attempts/000001.json"])
def test_changed_bytes_in_other_files_never_break_a_reader(done, name):
    """Changed numbers cannot be detected, but invalid JSON and invalid values are reported."""
    file, random_source = done.path / name, random.Random(2)
    content = file.read_bytes()
    detected = 0
    for _ in range(200):
        file.write_bytes(flipped(content, random_source))
        named = faults(done)
        assert all(fault.startswith(f"{done.path}/") and fault.isprintable() for fault in named)
        detected += bool(named)
    assert detected > 50


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("status.json", {"state": "dreaming"}, "value state = 'dreaming': input should be 'planned', 'running'"),
        (
            "status.json",
            {"state": "failed", "progress": "half"},
            "value progress = 'half': input should be a valid number",
        ),
        ("status.json", {"state": "failed", "step": True}, "value step = True: input should be a valid integer"),
        ("status.json", {"phase": "offline"}, "value state: is missing"),
        ("provenance.json", {"dataset": 5}, "value dataset = 5: input should be a valid string"),
        ("provenance.json", {"packages": {"torch": 2}}, "value packages.torch = 2: input should be a valid string"),
    ],
)
def test_invalid_values_are_reported(tmp_path, run, name, values, message):
    folder = fail(tmp_path, run, "it broke")
    (folder.path / name).write_text(json.dumps(values))
    assert only(faults(folder)).startswith(f"{folder.path / name}: is damaged: {message}")


def test_other_schema_versions_and_other_runs(done, run):
    config = done.path / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "schema_version": 0}))
    assert "config.json: schema version 0 cannot be read by this version, which writes 3" in only(faults(done))
    config.write_text(json.dumps({**values, "seed": 77}))
    assert "config.json: its settings belong to run" in only(faults(done))
    config.write_text(json.dumps(values))
    assert only(faults(done)).endswith("config.json: is damaged: it must be byte-identical to the text of its settings")
    config.unlink()
    assert only(faults(done)).endswith("config.json: is missing; this is not a run folder")


def test_all_faults_are_reported(done):
    for name in ("config.json", "metrics.jsonl", "status.json"):
        (done.path / name).write_text("x")
    assert [fault.split(": ")[0].split("/")[-1] for fault in faults(done)] == [
        "config.json", "status.json", "metrics.jsonl",
    ]  # fmt: skip


def test_folders_and_files_in_the_wrong_place(done):
    (done.path / "config.json").unlink()
    (done.path / "config.json").mkdir()
    assert only(faults(done)).endswith("config.json: is a folder where a file should be")
    file = RunFolder(done.path.with_name("0123456789ab"))
    file.path.write_text("")
    assert only(faults(file)).endswith("0123456789ab: is a file, not a run folder")


def test_an_incomplete_row_is_a_fault_of_finished_runs_only(tmp_path, run, done):
    other = begin(tmp_path / "other", run)
    for folder, expected in ((done, 1), (other, 0)):
        with open(folder.metrics_file, "a") as file:
            file.write('{"phase": "off')
        assert len(faults(folder)) == expected
    other.metrics_file.write_text('{"phase": "off\n{"phase": "offline"}\n')
    assert only(faults(other)).endswith("metrics.jsonl: line 1 is not valid JSON")


def test_a_summary_of_an_older_version_without_a_hash_is_accepted(done):
    summary = json.loads((done.path / "done.json").read_text())
    del summary["metrics"]
    (done.path / "done.json").write_text(json.dumps(summary))
    assert faults(done) == []


def mark(data):
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def save_checkpoints(folder, *positions):
    """Save checkpoints of an unfinished run, with an additional row of metrics before each."""
    rows = b""
    folder.replay.parent.mkdir(exist_ok=True)
    folder.replay.write_bytes(b"")
    marks = []
    for _ in positions:
        rows += b'{"phase": "offline"}\n'
        folder.metrics_file.write_bytes(rows)
        marks.append(mark(rows))
    for step, rows_mark in zip(positions, marks, strict=True):
        numbers = {METRICS: rows_mark, REPLAY: mark(b"")}
        Checkpoints(folder.checkpoints).save(Checkpoint(Position(step, 0, True), {"a": np.arange(3.0)}, numbers))


def test_an_unfinished_run_needs_one_intact_checkpoint(tmp_path, run):
    folder = fail(tmp_path, run, "it broke")
    save_checkpoints(folder, 10, 20)
    assert faults(folder) == []
    rows = folder.metrics_file.read_bytes()
    folder.metrics_file.write_bytes(rows[:25])
    assert faults(folder) == [], "the older checkpoint needs the first row only"
    folder.metrics_file.write_bytes(rows[:15])
    assert "metrics.jsonl: is truncated: has 15 of the" in only(faults(folder))
    folder.metrics_file.write_bytes(rows)
    for file in folder.checkpoints.iterdir():
        file.write_bytes(flipped(file.read_bytes(), random.Random(3)))
    assert ".ckpt: is damaged: its checksum does not match" in only(faults(folder))


def test_checkpoints_of_a_running_run_are_not_checked(tmp_path, run):
    folder = begin(tmp_path, run)
    save_checkpoints(folder, 10)
    next(folder.checkpoints.iterdir()).write_bytes(b"incomplete")
    assert faults(folder) == []


def test_changed_data_are_reported_and_missing_data_are_not(tmp_path, run, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    folder = begin(tmp_path, run)
    assert faults(folder) == [], "no data on this machine"
    dataset = ensure_dataset(run.task)
    assert "was computed on data with content hash 89abcdef01234567, but dataset" in only(faults(folder))
    folder.record_provenance({"dataset": dataset.content_hash})
    assert faults(folder) == []
    with h5py.File(dataset_folder(run.task) / "data/main_data.hdf5", "r+") as stored:
        stored["episode_0"]["rewards"][0] += 0.5
    fault = only(faults(folder))
    assert fault.startswith(f"{folder.path / 'provenance.json'}: the run was computed on data with content hash")
    with pytest.raises(UserError, match=f"^{fault}; nothing was changed"):
        refuse_faults([folder])


def test_the_data_of_an_unstarted_run_are_not_checked(tmp_path, run):
    ensure_dataset(run.task)
    assert faults(commit([run], tmp_path)[0]) == []


def test_an_unusable_data_folder_is_not_a_fault(done, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "datasets"))
    assert faults(done) == []


def test_the_error_names_the_first_fault_and_counts_the_others(tmp_path):
    folders = write_done(tmp_path, runs_of("smoke"))
    refuse_faults([*folders, RunFolder(tmp_path / "nowhere")])
    (folders[1].path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: is damaged \(not JSON\); nothing was changed; list all"):
        refuse_faults(folders)
    (folders[2].path / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=rf"^{folders[1].path}/config.json: .* \(and 1 more\); nothing was changed"):
        refuse_faults(folders)


def test_finding_faults_changes_nothing(tmp_path, done):
    for name in ("config.json", "metrics.jsonl", "status.json", "provenance.json", "done.json"):
        (done.path / name).write_text("{")
    before = contents(tmp_path)
    times = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")}
    faults(done)
    assert contents(tmp_path) == before
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")} == times
