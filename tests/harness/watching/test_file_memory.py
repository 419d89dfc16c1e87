"""Files are read once for as long as they are the same, and never anything but the files is believed."""

import os
import time
from pathlib import Path

import pytest

from harness.watching.file_memory import FileMemory

LONG_AGO = time.time() - 3600.0


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache" / "memory.json"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that has not changed for long, as all files here: also that of the entry is not held against them."""
    monkeypatch.setattr("harness.watching.file_memory.SETTLED", -60.0)
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
    memory = FileMemory(file.parent, place)
    content = memory.read(file.name, reader)
    memory.save()
    return content


def test_what_has_not_changed_is_not_read_again(file, place):
    reader = Reader()
    for _ in range(3):
        content = read(file, place, reader)
        assert content.value == {"text": "one"}
        assert content.changed == pytest.approx(LONG_AGO, abs=1e-3)
    assert reader.read == [b"one"]


@pytest.mark.parametrize("place_is_there", [True, False])
def test_a_changed_file_is_read_again(file, place, place_is_there):
    reader, place = Reader(), place if place_is_there else None
    read(file, place, reader)
    file.write_bytes(b"two")
    assert read(file, place, reader).value == {"text": "two"}


def test_a_change_that_keeps_size_and_time_is_seen(file, place):
    reader = Reader()
    read(file, place, reader)
    time.sleep(0.02)
    file.write_bytes(b"two")
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert read(file, place, reader).value == {"text": "two"}


def test_what_was_changed_just_now_is_not_kept(file, place, monkeypatch):
    monkeypatch.setattr("harness.watching.file_memory.SETTLED", 60.0)
    reader = Reader()
    read(file, place, reader)
    read(file, place, reader)
    assert reader.read == [b"one", b"one"]


def test_missing_files_and_names(file, place):
    memory = FileMemory(file.parent, place)
    assert memory.read("nothing", Reader()) is None
    assert memory.names("nothing") == []
    assert memory.names(".") == ["a.txt"]
    memory.save()
    file.unlink()
    again = FileMemory(file.parent, place)
    assert again.read("a.txt", Reader()) is None
    assert again.names(".") == ["cache"]


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"reader": "", "folder": "", "files": {}}'])
def test_a_damaged_memory_is_none(file, place, kept):
    read(file, place, Reader())
    place.write_bytes(kept)
    assert read(file, place, Reader()).value == {"text": "one"}


def test_a_memory_of_another_folder_is_none(file, place, tmp_path):
    read(file, place, Reader())
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_bytes(b"two")
    assert read(other / "a.txt", place, Reader()).value == {"text": "two"}


def test_what_another_version_of_the_reader_kept_is_not_believed(file, place):
    read(file, place, Reader())
    reader = Reader()
    for name in ("new", "new"):
        memory = FileMemory(file.parent, place, name)
        memory.read(file.name, reader)
        memory.save()
    assert reader.read == [b"one"]


def test_a_cache_folder_that_cannot_be_written_is_no_reason_to_fail(file, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert read(file, tmp_path / "cache" / "memory.json", Reader()).value == {"text": "one"}


def test_what_take_raises_is_passed_on_and_not_kept(file, place):
    def refuse(data):
        raise ValueError(data)

    memory = FileMemory(file.parent, place)
    with pytest.raises(ValueError, match="one"):
        memory.read("a.txt", refuse)
    memory.save()
    assert read(file, place, Reader()).value == {"text": "one"}


def test_each_folder_has_its_own_memory_in_the_cache_folder(cache_folder, tmp_path):
    first, again, other = (
        FileMemory.of(folder, Path(__file__)) for folder in (tmp_path, tmp_path / ".", tmp_path / "other")
    )
    assert first.place == again.place != other.place
    assert first.place.parent == cache_folder / "floorbench"
