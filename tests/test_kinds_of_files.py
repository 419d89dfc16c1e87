"""What is not a regular file in the place of one is refused in one line: a pipe would be waited for without end."""

import os
import shutil
import signal
import socket

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import DamagedFileError, check_file, open_file, read_bytes, read_json
from harness.folders.cache import cache_folder
from harness.folders.reader import faults
from harness.folders.run_folder import RunFolder
from harness.tuning.storage import JOURNAL, STUDIES, open_storage
from results.frame import gather
from results.frame.frames import export
from tests.support.command_line import call_here, only_line
from tests.support.run_folder_factory import fail, write_done

KINDS = {"pipe": "a pipe", "socket": "a socket", "device": "a device", "folder": "a folder"}

# Seconds after which a command has waited for a pipe.
PATIENCE = 60


@pytest.fixture(autouse=True)
def alarm():
    """End a test that waits."""

    def ring(number, frame):
        raise AssertionError("waits for something that is not a file")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def put(kind, place):
    """Make something of a kind in the place of a file."""
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        # The address of a socket is short.
        with socket.socket(socket.AF_UNIX) as server:
            folder = os.open(place.parent, os.O_RDONLY)
            server.bind(f"/proc/self/fd/{folder}/{place.name}")
            os.close(folder)
    elif kind == "device":
        # A link to a device without an end.
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    return place


@pytest.mark.parametrize("kind", KINDS)
def test_readers_refuse_what_is_not_a_regular_file(tmp_path, kind):
    file = put(kind, tmp_path / "file.json")
    for read in (open_file, check_file, read_bytes, read_json):
        with pytest.raises(DamagedFileError) as error:
            read(file)
        assert str(error.value) == f"{file}: is {KINDS[kind]} where a file should be"


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    check_file(tmp_path / "link")
    with open_file(tmp_path / "link") as stream:
        assert (stream.read(3), stream.read()) == (b"con", b"tent")
        assert not os.get_inheritable(stream.fileno())
    for read in (open_file, check_file, read_bytes):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")
    assert read_json(tmp_path / "missing") is None


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A root with a finished run and a failed one."""
    root = tmp_path_factory.mktemp("original")
    done, failed = runs_of("smoke")[:2]
    write_done(root, [done])
    fail(root, failed, "something")
    (RunFolder.of(root, failed).path / "log.txt").write_text("a last line\n")
    return root


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        *((0, name) for name in ("config.json", "status.json", "done.json", "metrics.jsonl", "provenance.json")),
        *((0, name) for name in ("prefix.json", "attempts/000001.json")),
        *((1, name) for name in ("config.json", "status.json", "cancel.json", "log.txt", "attempts/000001.json")),
    ],
)
def test_a_run_folder_is_damaged(original, tmp_path, capsys, monkeypatch, kind, place, name):
    # Other data than those of the made runs would be the first fault.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    root = tmp_path / "root"
    shutil.copytree(original, root)
    folder = RunFolder.of(root, runs_of("smoke")[place])
    file = put(kind, folder.path / name)
    fault = f"{file}: is {KINDS[kind]} where a file should be"
    shown = call_here(capsys, "status", "--root", root)
    # The status does not depend on the prefix.
    assert (f"{file.name}: is {KINDS[kind]} where a file should be" in shown.stdout) == (name != "prefix.json")
    assert fault in faults(folder)
    others = (["plan", "smoke"], ["report"], ["logs", folder.id], ["cancel", folder.id, "--yes"])
    for command in others if kind == "pipe" else others[:2]:
        assert "Traceback" not in call_here(capsys, *command, "--root", root, code=None).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_named_file_is_refused(original, tmp_path, capsys, kind):
    for name, command in {
        "grid.toml": "plan FILE",
        "profile.toml": "submit smoke --cluster FILE",
        "extension.py": "plan smoke --extension FILE",
        "scores.csv": "import FILE --as others --offline-steps 10",
        "speed.json": "report bench --from FILE",
    }.items():
        file = put(kind, tmp_path / name)
        arguments = [word.replace("FILE", str(file)) for word in command.split()]
        line = only_line(call_here(capsys, *arguments, *(() if name == "speed.json" else ("--root", original)), code=2))
        assert str(file) in line, line


@pytest.mark.parametrize("kind", KINDS)
def test_exported_and_imported_frames_are_refused(original, tmp_path, capsys, kind):
    export(gather(original), tmp_path / "frames")
    assert len(pd.read_parquet(tmp_path / "frames/runs.parquet")) == 2
    file = put(kind, tmp_path / "frames/runs.parquet")
    line = only_line(call_here(capsys, "report", "--from", tmp_path / "frames", code=2))
    assert f"{file}: is {KINDS[kind]}" in line
    root = tmp_path / "root"
    shutil.copytree(original, root)
    (root / "imported").mkdir()
    file = put(kind, root / "imported/others.parquet")
    assert f"{file}: is {KINDS[kind]}" in only_line(call_here(capsys, "report", "--root", root, code=2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_and_a_database_are_refused(original, tmp_path, capsys, kind):
    root = tmp_path / "root"
    (root / STUDIES / "smoke").mkdir(parents=True)
    database = put(kind, tmp_path / "trials.db")
    with pytest.raises(UserError, match=f"--storage sqlite:///{database}: "):
        open_storage(root / STUDIES / "smoke", f"sqlite:///{database}", create=False)
    file = put(kind, root / STUDIES / "smoke" / JOURNAL)
    line = only_line(call_here(capsys, "tune", "status", "smoke", "--root", root, code=2))
    assert f"{file}: is {KINDS[kind]}" in line


def test_a_cache_is_ignored(original, capsys):
    expected = call_here(capsys, "status", "--root", original).stdout
    files = list(cache_folder().glob("status-*.json"))
    assert files
    for file in files:
        put("pipe", file)
    assert call_here(capsys, "status", "--root", original).stdout.split()[:3] == expected.split()[:3]
