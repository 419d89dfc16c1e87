"""Unchanged files are read once, and changes are always detected."""

import os
import time

import pytest

from harness.folders import cache
from harness.folders.cache import Cache, folder_stamp

LONG_AGO = time.time() - 3600.0


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache" / "cache.json"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """All files are old, so that they are cached immediately; also the file of the entry."""
    monkeypatch.setattr("harness.folders.cache.SETTLED", -60.0)
    file = tmp_path / "a.txt"
    file.write_bytes(b"one")
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


class Reader:
    """Counts what is read."""

    def __init__(self):
        self.read = []

    def __call__(self, data):
        self.read.append(data)
        return {"text": data.decode()}


def read(file, place, reader):
    entries = Cache(file.parent, place)
    content = entries.read(file.name, reader)
    entries.save()
    return content


def test_an_unchanged_file_is_read_once(file, place):
    reader = Reader()
    for _ in range(3):
        content = read(file, place, reader)
        assert content.value == {"text": "one"}
        assert content.modified == pytest.approx(LONG_AGO, abs=1e-3)
    assert reader.read == [b"one"]


@pytest.mark.parametrize("place_is_there", [True, False])
def test_a_changed_file_is_read_again(file, place, place_is_there):
    reader, place = Reader(), place if place_is_there else None
    read(file, place, reader)
    file.write_bytes(b"two")
    assert read(file, place, reader).value == {"text": "two"}


def test_a_change_that_keeps_size_and_time_is_detected(file, place):
    reader = Reader()
    read(file, place, reader)
    time.sleep(0.02)
    file.write_bytes(b"two")
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert read(file, place, reader).value == {"text": "two"}


def test_a_file_changed_just_now_is_not_cached(file, place, monkeypatch):
    monkeypatch.setattr("harness.folders.cache.SETTLED", 60.0)
    reader = Reader()
    read(file, place, reader)
    read(file, place, reader)
    assert reader.read == [b"one", b"one"]


def test_missing_files_and_names(file, place):
    entries = Cache(file.parent, place)
    assert entries.read("nothing", Reader()) is None
    assert entries.names("nothing") == []
    assert entries.names(".") == ["a.txt"]
    entries.save()
    file.unlink()
    again = Cache(file.parent, place)
    assert again.read("a.txt", Reader()) is None
    assert again.names(".") == ["cache"]


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"version": "", "source": "", "entries": []}'])
def test_a_damaged_cache_is_ignored(file, place, kept):
    read(file, place, Reader())
    place.write_bytes(kept)
    assert read(file, place, Reader()).value == {"text": "one"}


def test_a_cache_of_another_folder_is_ignored(file, place, tmp_path):
    read(file, place, Reader())
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_bytes(b"two")
    assert read(other / "a.txt", place, Reader()).value == {"text": "two"}


def test_values_of_another_version_are_ignored(file, place):
    read(file, place, Reader())
    reader = Reader()
    for name in ("new", "new"):
        entries = Cache(file.parent, place, name)
        entries.read(file.name, reader)
        entries.save()
    assert reader.read == [b"one"]


def test_a_cache_folder_that_cannot_be_written_is_ignored(file, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert read(file, tmp_path / "cache" / "cache.json", Reader()).value == {"text": "one"}


def test_errors_of_the_parser_are_passed_on_and_not_cached(file, place):
    def refuse(data):
        raise ValueError(data)

    entries = Cache(file.parent, place)
    with pytest.raises(ValueError, match="one"):
        entries.read("a.txt", refuse)
    entries.save()
    assert read(file, place, Reader()).value == {"text": "one"}


def test_every_folder_has_a_file_in_the_cache_folder(cache_folder, tmp_path):
    first, again, other = (
        Cache.of(folder, "status", [cache]) for folder in (tmp_path, tmp_path / ".", tmp_path / "other")
    )
    assert first.file == again.file != other.file
    assert first.file.parent == cache_folder / "floorbench"


def test_unused_entries_are_dropped_on_request(file, place):
    (file.parent / "b.txt").write_text("two")
    entries = Cache(file.parent, place)
    for name in ("a.txt", "b.txt"):
        entries.read(name, Reader())
    entries.save()
    again = Cache(file.parent, place)
    again.read("a.txt", Reader())
    again.save()
    assert Cache(file.parent, place).keys == {"a.txt", "b.txt"}
    again.save(forget_unused=True)
    assert Cache(file.parent, place).keys == {"a.txt"}


def test_the_stamp_of_a_folder_changes_with_every_file(tmp_path):
    (tmp_path / "a").write_text("1")
    before = folder_stamp(tmp_path, ["sub"], ["log"])
    (tmp_path / "log").write_text("1")
    assert folder_stamp(tmp_path, ["sub"], ["log"]) == before
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("1")
    assert folder_stamp(tmp_path, ["sub"], ["log"]) != before
