"""Run folders: atomic writes, correct states, and damage reported by file."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import write_json
from harness.folders.attempts import HEARTBEAT_LIMIT, TakenOver, latest_attempt
from harness.folders.run_folder import RunFolder, run_folders


@pytest.fixture
def run():
    return runs_of("smoke")[0]


@pytest.fixture
def folder(tmp_path, run):
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    return folder


def overwrite(folder, name, **values):
    file = folder.path / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_run_is_read_back_unchanged(folder, run):
    assert folder.path.name == run.id
    assert folder.run() == run
    assert folder.status()["state"] == "planned"
    assert folder.metrics() == []
    assert folder.summary() is None


def test_create_leaves_an_existing_folder_unchanged(folder, run):
    before = os.stat(folder.path / "config.json").st_mtime_ns
    folder.create(run)
    assert os.stat(folder.path / "config.json").st_mtime_ns == before


def test_states_of_a_run_from_creation_to_completion(folder):
    assert folder.provenance() == {}
    assert folder.begin_attempt({"launcher": "by hand"})
    folder.record_provenance({"commit": "abc"})
    folder.write_status("running", phase="offline", step=3, progress=0.25)
    assert folder.status() | {"heartbeat": 0} == {
        "state": "running", "heartbeat": 0, "host": socket.gethostname(), "process": os.getpid(),
        "phase": "offline", "step": 3, "progress": 0.25,
    }  # fmt: skip
    folder.metrics_file.write_text('{"step": 0, "score": 0.5}\n{"step": 1, "score": null}\n')
    assert folder.metrics() == [{"step": 0, "score": 0.5}, {"step": 1, "score": None}]
    folder.finish({"final_score": 1.0})
    folder.end_attempt("done")
    assert folder.status()["state"] == "done"
    assert folder.status()["progress"] == 1.0
    assert folder.summary()["final_score"] == 1.0
    provenance = folder.provenance()
    assert provenance["commit"] == "abc"
    assert [(attempt["launcher"], attempt["reason"]) for attempt in provenance["attempts"]] == [("by hand", "done")]


def test_the_summary_records_a_hash_of_the_metrics(folder):
    folder.finish({})
    # The SHA-256 of an empty file.
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert folder.summary() == {"metrics": {"rows": 0, "bytes": 0, "sha256": nothing}}
    folder.metrics_file.write_text('{"step": 0}\n{"step": 1}\n')
    folder.finish({})
    digest = hashlib.sha256(b'{"step": 0}\n{"step": 1}\n').hexdigest()
    assert folder.summary() == {"metrics": {"rows": 2, "bytes": 24, "sha256": digest}}
    assert len(folder.metrics()) == 2


def test_an_attempt_can_be_known_before_its_provenance(folder):
    folder.begin_attempt({"launcher": "by hand"})
    assert [attempt["launcher"] for attempt in folder.provenance()["attempts"]] == ["by hand"]
    assert "commit" not in folder.provenance()
    folder.record_provenance({"commit": "abc", "attempts": [{"launcher": "of an older version"}]})
    assert [attempt["launcher"] for attempt in folder.provenance()["attempts"]] == ["of an older version", "by hand"]


def test_a_run_taken_over_is_no_longer_written(folder):
    assert folder.begin_attempt({})
    folder.write_status("running")
    age(folder, HEARTBEAT_LIMIT + 5)
    new = RunFolder(folder.path)
    assert new.begin_attempt({})
    new.write_status("running", phase="online")
    before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}
    for write in (
        lambda: folder.write_status("failed"),
        lambda: folder.append_log("still there"),
        lambda: folder.record_provenance({}),
        lambda: folder.finish({}),
        lambda: folder.end_attempt("failed"),
    ):
        with pytest.raises(TakenOver, match=r"000002\.json: another process has taken the run over"):
            write()
    assert {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()} == before
    new.end_attempt("interrupted: stopped by SIGTERM")


def test_a_failure_keeps_its_reason_and_step(folder):
    folder.write_status("failed", phase="offline", step=7, reason="diverged at update 7")
    assert folder.status()["state"] == "failed"
    assert folder.status()["reason"] == "diverged at update 7"
    assert (folder.status()["phase"], folder.status()["step"]) == ("offline", 7)


def age(folder, seconds, **changes):
    """Make the heartbeat of a run's owner older and change its file."""
    file = latest_attempt(folder.path).file
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    os.utime(file, (time.time() - seconds,) * 2)


def test_a_running_run_without_heartbeat_is_lost(folder):
    folder.begin_attempt({})
    folder.write_status("running")
    assert folder.status()["state"] == "running"
    age(folder, HEARTBEAT_LIMIT - 5, host="elsewhere")
    assert folder.status()["state"] == "running"
    age(folder, HEARTBEAT_LIMIT + 1)
    assert folder.status()["state"] == "lost"


def test_a_running_run_without_an_owner_is_lost(folder):
    folder.write_status("running")
    assert folder.status()["state"] == "lost"
    folder.begin_attempt({})
    assert folder.status()["state"] == "running"
    folder.end_attempt("interrupted: stopped by SIGTERM")
    assert folder.status()["state"] == "lost"


def test_a_running_run_whose_process_ended_here_is_lost_at_once(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder.begin_attempt({})
    folder.write_status("running")
    age(folder, 0, process=ended.pid)
    assert folder.status()["state"] == "lost"
    age(folder, 0, host="elsewhere")
    assert folder.status()["state"] == "running"


def test_reading_a_state_writes_nothing(folder):
    folder.begin_attempt({})
    folder.write_status("running")
    before = os.stat(folder.path / "attempts").st_mtime_ns
    folder.status()
    folder.provenance()
    assert os.stat(folder.path / "attempts").st_mtime_ns == before


def test_one_owner_at_a_time(folder):
    assert folder.begin_attempt({})
    other = RunFolder(folder.path)
    assert not other.begin_attempt({})
    folder.end_attempt("failed: no")
    assert other.begin_attempt({})
    assert latest_attempt(folder.path).number == 2


def test_log_tail(folder):
    assert folder.log_tail() == ""
    folder.append_log("first")
    folder.append_log("Traceback\n  ValueError: no\n\n")
    assert folder.log.read_text().startswith("first\nTraceback\n")
    assert folder.log_tail() == "ValueError: no"


def test_files_are_replaced_atomically(tmp_path):
    file = tmp_path / "value.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": 2, "b": object()})
    assert json.loads(file.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["value.json"]


def test_a_disk_error_names_the_file(tmp_path):
    """A limit on file sizes makes a write fail half-way, as a full disk does."""
    code = (
        "import resource, sys; from pathlib import Path; from harness.folders.run_folder import write_json\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    write_json(Path(sys.argv[1]), 'x' * 1000)\nexcept OSError as error:\n    print(error)"
    )
    file = tmp_path / "config.json"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True)
    assert done.stdout == f"[Errno 27] File too large: '{file}'\n"
    assert list(tmp_path.iterdir()) == []


def test_files_follow_the_umask(tmp_path):
    """Others on a cluster read run folders, so files follow the umask."""
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "value.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "value.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["config.json", "status.json", "done.json", "attempts/000001.json"])
def test_damage_is_named_by_file(folder, name):
    folder.begin_attempt({})
    folder.write_status("running")
    (folder.path / name).write_text('{"state": "run')
    with pytest.raises(UserError, match=rf"{name}: is damaged \(not JSON\)"):
        folder.run() if name == "config.json" else folder.status()


def test_an_incomplete_last_row_of_an_unfinished_run_is_ignored(folder):
    (folder.path / "metrics.jsonl").write_text('{"step": 0}\n{"st')
    assert folder.metrics() == [{"step": 0}]
    (folder.path / "metrics.jsonl").write_text('{"st')
    assert folder.metrics() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"step": 0}\n{"st\n{"step": 2}\n', "line 2 is not valid JSON"),
        ('{"step": 0}\n\n', "line 2 is not valid JSON"),
        ("5\n", "line 1 is not a JSON object"),
    ],
)
def test_any_other_damaged_row_is_named_by_line(folder, rows, message):
    (folder.path / "metrics.jsonl").write_text(rows)
    with pytest.raises(UserError, match=rf"metrics.jsonl: {message}$"):
        folder.metrics()


@pytest.mark.parametrize("rows", ["", '{"step": 0}\n', '{"step": 0}\n{"st', '{"step": 0}\n{"step": 2}\n'])
def test_rows_of_a_finished_run_must_match_its_summary(folder, rows):
    text = '{"step": 0}\n{"step": 1}\n'
    (folder.path / "metrics.jsonl").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    summary = {"metrics": {"rows": 2, "bytes": 24, "sha256": digest}}
    (folder.path / "done.json").write_text(json.dumps(summary))
    assert folder.metrics() == [{"step": 0}, {"step": 1}]
    (folder.path / "metrics.jsonl").write_text(rows)
    with pytest.raises(UserError, match=rf"is damaged: has \d rows .*, not 2 rows in 24 bytes .*{digest[:12]}"):
        folder.metrics()


def test_any_changed_byte_of_the_settings_is_damage(folder):
    config = folder.path / "config.json"
    content = config.read_bytes()
    config.write_bytes(content.replace(b"\n ", b"\n\t", 1))
    with pytest.raises(UserError, match=r"config.json: is damaged: it must be byte-identical"):
        folder.run()
    config.write_bytes(content)
    folder.run()


@pytest.mark.parametrize("damage", [b"5", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_without_an_object_is_damage(folder, damage):
    (folder.path / "status.json").write_bytes(damage)
    with pytest.raises(UserError, match=r"status.json: is damaged"):
        folder.status()


def test_a_folder_of_another_run_is_refused(folder):
    overwrite(folder, "config.json", seed=77)
    with pytest.raises(UserError, match=r"its settings belong to run \w+, not to this folder"):
        folder.run()


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is missing; this is not a run folder"):
        RunFolder(tmp_path / "nothing").run()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a run folder"):
        RunFolder(tmp_path / "file").run()


def test_only_run_folders_are_listed(tmp_path, folder):
    (tmp_path / "report").mkdir()
    assert [listed.id for listed in run_folders(tmp_path)] == [folder.id]
    with pytest.raises(UserError, match="no such folder of runs"):
        list(run_folders(tmp_path / "nowhere"))
