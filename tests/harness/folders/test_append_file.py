"""Append files detect damage before their mark, and former owners cannot change them."""

import hashlib
import itertools
import os
import random
import resource

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from harness.files import DamagedFileError
from harness.folders.append_file import AppendFile, contents
from tests.support.operations import interposed, killed_at, refusing


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def started(path, content=b""):
    file = AppendFile.create(path)
    file.append(content)
    return file


def test_other_processes_read_a_row_immediately(path):
    file = started(path)
    file.append(b"first\n")
    assert path.read_bytes() == b"first\n"
    file.append(b"second\n")
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_mark_is_length_and_hash(path):
    file = started(path)
    # The SHA-256 of an empty file.
    assert file.mark() == {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    file.append(b"ab")
    file.append(b"c")
    assert file.mark() == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}


def test_a_restored_file_continues_at_its_mark(path):
    file = started(path, b"kept")
    mark = file.mark()
    file.append(b"too much")
    again = AppendFile.restore(path, mark)
    assert path.read_bytes() == b"kept"
    again.append(b" and more")
    assert contents(path, again.mark()) == b"kept and more"
    assert contents(path, mark) == b"kept"


@pytest.mark.parametrize("restore", [True, False])
def test_a_former_owner_writes_to_an_unlinked_file(path, restore):
    stale = started(path, b"kept")
    mark = stale.mark()
    inode = os.stat(path).st_ino
    owner = AppendFile.restore(path, mark) if restore else AppendFile.create(path)
    before = b"kept" if restore else b""
    stale.append(b"late")
    assert path.read_bytes() == before
    assert os.stat(path).st_ino != inode
    with pytest.raises(DamagedFileError, match="was removed or replaced while this process wrote to it"):
        stale.mark()
    owner.append(b"more")
    assert contents(path, owner.mark()) == before + b"more"


def test_a_removed_file_gets_no_mark(path):
    file = started(path, b"kept")
    path.unlink()
    with pytest.raises(DamagedFileError, match=r"metrics\.jsonl: was removed or replaced"):
        file.mark()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is missing; expected at least 8 bytes"),
        (lambda path: path.write_bytes(b"row\nro"), "is truncated: has 6 of the 8 bytes of the checkpoint"),
        (lambda path: path.write_bytes(b"row\nrou\nrow\n"), "is damaged: its first 8 bytes do not match the"),
    ],
)
def test_damage_is_reported_and_left_unchanged(path, damage, words):
    file = started(path, b"row\nrow\n")
    mark = file.mark()
    file.append(b"row\n")
    damage(path)
    damaged = path.read_bytes() if path.exists() else None
    for read in (contents, AppendFile.restore):
        with pytest.raises(DamagedFileError) as error:
            read(path, mark)
        assert str(error.value).startswith(f"{path}: {words}")
        assert "\n" not in str(error.value)
    assert (path.read_bytes() if path.exists() else None) == damaged
    assert os.listdir(path.parent) == ([path.name] if path.exists() else [])


def test_every_changed_byte_before_the_mark_is_detected(path):
    chance = random.Random(0)
    data = chance.randbytes(2500)
    file = started(path, data)
    mark = file.mark()
    file.append(chance.randbytes(500))
    content = path.read_bytes()
    detected = 0
    for _ in range(200):
        at = chance.randrange(2500)
        path.write_bytes(content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :])
        with pytest.raises(DamagedFileError):
            contents(path, mark)
        detected += 1
    assert detected == 200
    path.write_bytes(data + b"anything")
    assert contents(path, mark) == data


def test_a_file_of_several_blocks_is_restored(path):
    data = random.Random(1).randbytes(3 * 2**20 + 17)
    file = started(path, data)
    mark = file.mark()
    file.append(b"late")
    AppendFile.restore(path, mark)
    assert path.read_bytes() == data


def test_a_full_disk_leaves_no_incomplete_row(path):
    """A limit on file sizes makes a write fail half-way, as a full disk does."""
    file = started(path, b"a" * 80)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with pytest.raises(OSError, match="File too large") as refusal:
            file.append(b"b" * 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert refusal.value.filename == str(path)
    assert path.read_bytes() == b"a" * 80
    file.append(b"c" * 30)
    assert contents(path, file.mark()) == b"a" * 80 + b"c" * 30


def test_a_file_remains_usable_after_any_failed_operation(path):
    """Also if truncation fails, so that half a row remains: the next row overwrites it."""

    def append_and_mark(file, row):
        file.append(row)
        return file.mark()

    for numbers in [(0,), (1,), (2,), (3,), (1, 2), (2, 3)]:
        file = started(path, b"a")
        with pytest.raises(OSError, match="No space left") as refusal, interposed(refusing(*numbers)):
            append_and_mark(file, b"b" * 256)
        assert refusal.value.filename == str(path)
        rows = b"a" if numbers != (3,) else b"a" + b"b" * 256
        assert path.read_bytes().startswith(rows)
        assert contents(path, append_and_mark(file, b"c" * 256)) == path.read_bytes() == rows + b"c" * 256


def test_a_kill_at_any_operation_preserves_the_marked_bytes(path):
    def continue_training():
        file = AppendFile.restore(path, mark)
        file.append(b"more" * 64)
        file.mark()

    for number in itertools.count():
        file = started(path, b"kept" * 64)
        mark = file.mark()
        file.append(b"rest" * 64)
        killed = killed_at(number, continue_training)
        assert contents(path, mark) == b"kept" * 64
        AppendFile.restore(path, mark).append(b"more" * 64)
        assert path.read_bytes() == b"kept" * 64 + b"more" * 64
        if not killed:
            break
    assert number > 10


class Life(RuleBasedStateMachine):
    """A file with changing owners, and the bytes that it should contain."""

    def __init__(self):
        super().__init__()
        self.path = Life.folder / "file"
        self.expected = b""
        self.file = AppendFile.create(self.path)
        self.marks = [(self.file.mark(), b"")]
        self.former = []

    @rule(data=st.binary(max_size=40))
    def append(self, data):
        self.file.append(data)
        self.expected += data

    @rule()
    def mark(self):
        self.marks.append((self.file.mark(), self.expected))

    @rule(choice=st.integers(min_value=0))
    def restore(self, choice):
        # Bytes after the mark are truncated, so later marks are no longer valid.
        del self.marks[choice % len(self.marks) + 1 :]
        mark, self.expected = self.marks[-1]
        self.former.append(self.file)
        self.file = AppendFile.restore(self.path, mark)

    @rule(choice=st.integers(min_value=0), data=st.binary(max_size=40))
    def former_owner_appends(self, choice, data):
        if self.former:
            self.former[choice % len(self.former)].append(data)

    @rule(data=st.binary(min_size=1, max_size=40))
    def owner_dies_within_a_row(self, data):
        with open(self.path, "ab") as stream:
            stream.write(data)
        self.restore(len(self.marks) - 1)

    @invariant()
    def holds_what_was_appended(self):
        assert self.path.read_bytes() == self.expected
        for mark, expected in self.marks:
            assert contents(self.path, mark) == expected

    def teardown(self):
        for file in [self.file, *self.former]:
            file.close()


def test_random_sequences_of_operations_on_a_file(tmp_path):
    Life.folder = tmp_path
    Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
    Life.TestCase().runTest()
