"""Files are replaced atomically, and errors name the target file."""

import errno
import itertools
import os
import stat
import threading
import time

import pytest

from harness.files import READ_TOGETHER, READERS, atomic_write, read_many, synchronise_folder
from tests.support.operations import interposed, killed_at, refusing


def replace(file, content):
    with atomic_write(file) as stream:
        stream.write(content)


def test_a_killed_replacement_leaves_the_old_file_or_the_new(tmp_path):
    old, new = b"old!" * 64, b"new!" * 64
    seen = []
    for number in itertools.count():
        file = tmp_path / f"value{number}"
        file.write_bytes(old)
        killed = killed_at(number, lambda file=file: replace(file, new))
        seen.append(file.read_bytes())
        if not killed:
            break
    # One opening, three writes of 128, 64 and 64 bytes, one synchronisation, one renaming.
    assert seen == [old] * 6 + [new]


def test_a_failed_replacement_leaves_only_the_old_file(tmp_path):
    file = tmp_path / "value"
    file.write_bytes(b"old")
    for number in range(4):
        with pytest.raises(OSError, match="No space left") as refusal, interposed(refusing(number)):
            replace(file, b"new")
        assert str(refusal.value) == f"[Errno 28] No space left on device: '{file}'"
        assert os.listdir(tmp_path) == ["value"]
        assert file.read_bytes() == b"old"


def test_a_disk_error_names_the_target_file(tmp_path):
    file = tmp_path / "value"
    with pytest.raises(OSError, match="Read-only") as refusal, interposed(refusing(*range(20), code=errno.EROFS)):
        replace(file, b"new")
    assert refusal.value.filename == str(file)


def test_errors_of_the_caller_are_passed_on(tmp_path):
    with pytest.raises(ValueError, match="mine"), atomic_write(tmp_path / "value"):
        raise ValueError("mine")
    assert os.listdir(tmp_path) == []


def test_only_disk_errors_of_synchronising_a_folder_are_raised(tmp_path):
    def failing(code):
        def before(name, target):
            if name == "fsync" and stat.S_ISDIR(os.fstat(target).st_mode):
                raise OSError(code, os.strerror(code))

        return before

    with interposed(failing(errno.EINVAL)):
        synchronise_folder(tmp_path)
    with pytest.raises(OSError, match="Input/output error") as refusal, interposed(failing(errno.EIO)):
        synchronise_folder(tmp_path)
    assert refusal.value.filename == str(tmp_path)


def test_items_that_wait_are_read_at_once_and_stay_in_order():
    """After the first items, each of which waits, the first item of each reader waits until all readers have one."""
    together = threading.Barrier(READERS)

    def read(item):
        if item < READ_TOGETHER:
            time.sleep(0.02)
        elif item % READ_TOGETHER == 0:
            together.wait(timeout=60.0)
        return -item

    items = list(range((1 + READERS) * READ_TOGETHER))
    assert read_many(read, items) == [-item for item in items]


def test_items_that_do_not_wait_are_read_by_one_thread(monkeypatch):
    """Also on a busy machine, on which a hundred times as much time passes as the thread computes."""
    monkeypatch.setattr("harness.files.time.perf_counter", itertools.count(step=100).__next__)
    monkeypatch.setattr("harness.files.time.thread_time", itertools.count().__next__)
    items = list(range(10 * READ_TOGETHER + 1))
    assert set(read_many(lambda item: threading.get_ident(), items)) == {threading.get_ident()}
    assert read_many(lambda item: -item, items) == [-item for item in items]


def test_an_error_ends_the_reading():
    """The error of the earliest item is raised, and items far behind it are not read."""
    items, seen = list(range(1000 * READ_TOGETHER)), []

    def read(item):
        seen.append(item)
        if item in (3, 7):
            raise OSError(errno.EIO, "item", item)

    with pytest.raises(OSError, match="item") as error:
        read_many(read, items)
    assert error.value.filename == 3
    assert max(seen) < len(items) - 1
