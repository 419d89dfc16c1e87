"""Run folders: whole files or none, states that tell the truth, damage named by file."""

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
from harness.run_folder import HEARTBEAT_LIMIT, RunFolder, run_folders, write_json


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


def test_the_run_comes_back(folder, run):
    assert folder.path.name == run.id
    assert folder.run() == run
    assert folder.status()["state"] == "planned"
    assert folder.metrics() == []
    assert folder.summary() is None


def test_create_leaves_a_folder_as_it_is(folder, run):
    before = os.stat(folder.path / "config.json").st_mtime_ns
    folder.create(run)
    assert os.stat(folder.path / "config.json").st_mtime_ns == before


def test_a_life(folder):
    folder.restart({"commit": "abc", "attempt": {"host": "one"}})
    folder.write_status("running", phase="offline", step=3, share=0.25)
    assert folder.status() | {"heartbeat": 0} == {
        "state": "running", "heartbeat": 0, "host": socket.gethostname(), "process": os.getpid(),
        "phase": "offline", "step": 3, "share": 0.25,
    }  # fmt: skip
    folder.append_metrics({"step": 0, "score": 0.5})
    folder.append_metrics({"step": 1, "score": None})
    assert folder.metrics() == [{"step": 0, "score": 0.5}, {"step": 1, "score": None}]
    folder.finish({"final_score": 1.0})
    assert folder.status()["state"] == "done"
    assert folder.status()["share"] == 1.0
    assert folder.summary() == {"final_score": 1.0}


def test_restart_drops_what_was_measured_and_keeps_the_attempts(folder):
    provenance = {"commit": "abc", "attempt": {"host": "one"}}
    folder.restart(provenance)
    folder.append_metrics({"step": 0})
    folder.finish({"final_score": 1.0})
    folder.restart({"commit": "def", "attempt": {"host": "two"}})
    assert folder.metrics() == []
    assert folder.summary() is None
    assert folder.provenance()["commit"] == "def"
    assert [attempt["host"] for attempt in folder.provenance()["attempts"]] == ["one", "two"]
    assert provenance == {"commit": "abc", "attempt": {"host": "one"}}


def test_a_failure_keeps_its_reason_and_where_it_happened(folder):
    folder.write_status("failed", phase="offline", step=7, reason="diverged at update 7")
    assert folder.status()["state"] == "failed"
    assert folder.status()["reason"] == "diverged at update 7"
    assert (folder.status()["phase"], folder.status()["step"]) == ("offline", 7)


def test_a_running_run_without_heartbeat_is_lost(folder):
    folder.write_status("running")
    assert folder.status()["state"] == "running"
    overwrite(folder, "status.json", host="elsewhere", heartbeat=time.time() - HEARTBEAT_LIMIT + 5)
    assert folder.status()["state"] == "running"
    overwrite(folder, "status.json", host="elsewhere", heartbeat=time.time() - HEARTBEAT_LIMIT - 1)
    assert folder.status()["state"] == "lost"


def test_a_running_run_whose_process_ended_here_is_lost_at_once(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder.write_status("running")
    overwrite(folder, "status.json", process=ended.pid)
    assert folder.status()["state"] == "lost"
    overwrite(folder, "status.json", host="elsewhere")
    assert folder.status()["state"] == "running"


def test_one_process_at_a_time_has_a_run(folder):
    lock = folder.lock()
    assert folder.lock() is None
    lock.close()
    again = folder.lock()
    assert again is not None
    again.close()


def test_a_lock_dies_with_its_process(folder):
    code = (
        "import sys, time; from pathlib import Path; from harness.run_folder import RunFolder;"
        "kept = RunFolder(Path(sys.argv[1])).lock(); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"locked\n"
        assert folder.lock() is None
        holder.kill()
    with folder.lock() as lock:
        assert lock


def test_last_words(folder):
    assert folder.last_words() == ""
    folder.append_log("first")
    folder.append_log("Traceback\n  ValueError: no\n\n")
    assert folder.log.read_text().startswith("first\nTraceback\n")
    assert folder.last_words() == "ValueError: no"


def test_not_a_number_never_reaches_a_file(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.append_metrics({"score": float("nan")})
    assert folder.metrics() == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "value.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": 2, "b": object()})
    assert json.loads(file.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["value.json"]


def test_a_disk_that_refuses_names_the_file(tmp_path):
    """A limit on file sizes makes writing fail in the middle, as a full disk does."""
    code = (
        "import resource, sys; from pathlib import Path; from harness.run_folder import write_json\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    write_json(Path(sys.argv[1]), 'x' * 1000)\nexcept OSError as error:\n    print(error)"
    )
    file = tmp_path / "config.json"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True)
    assert done.stdout == f"[Errno 27] File too large: '{file}'\n"
    assert list(tmp_path.iterdir()) == []


def test_files_are_as_readable_as_the_user_wants(tmp_path):
    """Others on a cluster read run folders, so files follow the umask."""
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "value.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "value.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["config.json", "status.json", "done.json"])
def test_damage_is_named_by_file(folder, name):
    (folder.path / name).write_text('{"state": "run')
    with pytest.raises(UserError, match=rf"{name}: is damaged \(not JSON\)"):
        folder.run() if name == "config.json" else folder.status()


def test_a_half_written_last_row_of_an_unfinished_run_does_not_count(folder):
    (folder.path / "metrics.jsonl").write_text('{"step": 0}\n{"st')
    assert folder.metrics() == [{"step": 0}]
    (folder.path / "metrics.jsonl").write_text('{"st')
    assert folder.metrics() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"step": 0}\n{"st\n{"step": 2}\n', "line 2 is not a whole row of JSON"),
        ('{"step": 0}\n\n', "line 2 is not a whole row of JSON"),
        ("5\n", "line 1 is not a row of named values"),
    ],
)
def test_any_other_damaged_row_is_named_by_line(folder, rows, message):
    (folder.path / "metrics.jsonl").write_text(rows)
    with pytest.raises(UserError, match=rf"metrics.jsonl: {message}$"):
        folder.metrics()


@pytest.mark.parametrize("rows", ["", '{"step": 0}\n', '{"step": 0}\n{"st', '{"step": 0}\n{"step": 2}\n'])
def test_rows_of_a_finished_run_are_those_of_its_summary(folder, rows):
    text = '{"step": 0}\n{"step": 1}\n'
    (folder.path / "metrics.jsonl").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    summary = {"metrics": {"rows": 2, "bytes": 24, "sha256": digest}}
    (folder.path / "done.json").write_text(json.dumps(summary))
    assert folder.metrics() == [{"step": 0}, {"step": 1}]
    (folder.path / "metrics.jsonl").write_text(rows)
    with pytest.raises(UserError, match=rf"is damaged: its \d rows .* should be 2 rows in 24 bytes .*{digest[:12]}"):
        folder.metrics()


def test_any_changed_byte_of_the_settings_is_damage(folder):
    config = folder.path / "config.json"
    whole = config.read_bytes()
    config.write_bytes(whole.replace(b"\n ", b"\n\t", 1))
    with pytest.raises(UserError, match=r"config.json: is damaged: it should be the text of its settings"):
        folder.run()
    config.write_bytes(whole)
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


def test_no_folder_no_run(tmp_path):
    with pytest.raises(UserError, match="is missing; this is not a run folder"):
        RunFolder(tmp_path / "nothing").run()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file where a run folder should be"):
        RunFolder(tmp_path / "file").run()


def test_only_run_folders_are_listed(tmp_path, folder):
    (tmp_path / "report").mkdir()
    assert [found.id for found in run_folders(tmp_path)] == [folder.id]
    with pytest.raises(UserError, match="there is no such folder of runs"):
        list(run_folders(tmp_path / "nowhere"))
