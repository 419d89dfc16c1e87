"""The storage of a study survives full disks, killed drivers and moved folders, and looking at it writes nothing."""

import errno
import json
import os
import sqlite3

import pytest

from harness import files
from harness.errors import UserError
from harness.tuning.driver import searches
from harness.tuning.storage import IDENTITY, JOURNAL, folder_of, open_storage, storage_errors
from tests.support.made_study import STUDY, compute, make_driver, outcome


@pytest.fixture
def folder(tmp_path):
    """The folder of a study with a few trials."""
    assert make_driver(tmp_path, trials=2).run(compute)
    return folder_of(tmp_path, STUDY.name)


def states(folder, url=None):
    storage = open_storage(folder, url, create=False)
    return {arm: search.trials() for arm, search in searches(STUDY, folder, storage, create=False).items()}


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("left", [b"{", b'{"op_code":4,"worker_id":"x"}', b"x" * 200_000])
def test_an_incomplete_last_line_is_dropped(folder, left, capsys):
    """As after a full disk; a continued search equals an uninterrupted one."""
    journal = folder / JOURNAL
    content = journal.read_bytes()
    journal.write_bytes(content + left)
    assert {arm: len(trials) for arm, trials in states(folder).items()} == {"cql": 2, "monte_carlo": 2}
    assert journal.read_bytes() == content + left
    driver = make_driver(folder.parents[1], trials=4)
    assert driver.run(compute)
    assert f"{journal}: dropped an incomplete last line of {len(left)} bytes" in capsys.readouterr().err
    assert journal.read_bytes().startswith(content)
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
    undisturbed = make_driver(folder.parents[1] / "other", trials=2)
    assert undisturbed.run(compute)
    undisturbed = make_driver(folder.parents[1] / "other", trials=4)
    assert undisturbed.run(compute)
    assert outcome(driver) == outcome(undisturbed)


def test_a_full_disk_leaves_the_journal_unchanged(folder, monkeypatch):
    """The write fails half-way, or when it is synchronised."""
    storage = open_storage(folder)
    content = (folder / JOURNAL).read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        storage.create_new_study(["minimize"], "another")
    assert error.value.filename == str(folder / JOURNAL)
    assert (folder / JOURNAL).read_bytes() == content


def test_a_damaged_journal_is_a_one_line_error(folder):
    journal = folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"{damaged\n", *lines[4:]]))
    with pytest.raises(UserError, match=f"^{journal}: damaged: ") as error:
        open_storage(folder)
    assert "\n" not in str(error.value)
    journal.write_bytes(b'{"op_code":0,"worker_id":"a"}\n')
    with pytest.raises(UserError, match=f"^{journal}: damaged: study_name is missing$"):
        open_storage(folder)


@pytest.mark.parametrize("line", [b"\0" * 80 + b"\n", b"\n", b"{damaged\n"], ids=["zeros", "empty", "text"])
def test_a_damaged_last_line_is_not_followed_by_others(folder, line):
    """Optuna ignores it at the end of a file, and refuses the file once more lines follow."""
    journal = folder / JOURNAL
    content = journal.read_bytes()
    journal.write_bytes(content + line)
    with pytest.raises(UserError, match=f"^{journal}: damaged: "):
        make_driver(folder.parents[1], trials=3).run(compute)
    assert journal.read_bytes() == content + line
    journal.write_bytes(content)
    assert make_driver(folder.parents[1], trials=3).run(compute)


def test_a_lock_that_was_left_behind_does_not_block(folder):
    """The lock of an older version of Optuna after the folder was moved: a dangling link."""
    os.symlink("/moved/away/journal.log", folder / "journal.log.lock")
    assert make_driver(folder.parents[1], trials=3).run(compute)


def test_a_lock_that_is_held_is_reported(folder, monkeypatch, capsys):
    monkeypatch.setattr(files, "SILENT_WAIT", 0.05)
    with (
        files.locked(folder / ".lock", 1.0, "test"),
        pytest.raises(UserError, match=r"\.lock: another process has held this lock for 0 s to test; wait until"),
        files.locked(folder / ".lock", 0.1, "test"),
    ):
        raise AssertionError("the lock was given twice")
    assert capsys.readouterr().err == f"waiting for another process to test (it holds {folder / '.lock'})\n"


def test_looking_at_a_study_writes_nothing(folder):
    before = contents(folder)
    states(folder)
    assert contents(folder) == before


def test_looking_at_a_database_that_does_not_exist_creates_nothing(folder, tmp_path):
    missing = tmp_path / "missing.db"
    with pytest.raises(UserError, match="not found; start the study first"):
        states(folder, f"sqlite:///{missing}")
    assert not missing.exists()
    sqlite3.connect(missing).close()
    missing.touch()
    with pytest.raises(UserError, match="--storage sqlite:///") as error:
        states(folder, f"sqlite:///{missing}")
    assert "\n" not in str(error.value)
    (folder / JOURNAL).unlink()
    with pytest.raises(UserError, match=rf"{JOURNAL}: not found; start the study first"):
        states(folder)
    assert not (folder / JOURNAL).exists()


def test_a_damaged_identity_is_named(folder):
    (folder / IDENTITY).write_text("{}")
    with pytest.raises(UserError, match=f"{IDENTITY}: is damaged"):
        states(folder)


def test_a_database_that_fails_later_is_a_one_line_error(folder, tmp_path):
    storage = open_storage(folder, f"sqlite:///{tmp_path / 'trials.db'}")
    (tmp_path / "trials.db").write_bytes(b"damaged" * 1000)
    with (
        pytest.raises(UserError, match=r"^--storage x: .*; the same command resumes") as error,
        storage_errors("--storage x"),
    ):
        storage.create_new_study(["minimize"], "another")
    assert "\n" not in str(error.value)
