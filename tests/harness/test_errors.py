"""Every error has an informative line."""

import errno
import json

import pytest

from harness.errors import UserError, one_line, reason


def test_one_line():
    assert one_line(UserError("task x: no")) == "task x: no"
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(MemoryError()) == "MemoryError"


def test_file_system_errors_name_the_file():
    assert one_line(OSError(errno.ENOSPC, "No space left on device", "runs/a")) == "runs/a: no space left on device"
    assert one_line(OSError(errno.EROFS, "Read-only file system")) == "file system: read-only file system"
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "a")
    assert one_line(missing) == "a: no such file or directory"
    link = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert one_line(link) == "a to b: invalid cross-device link"
    assert one_line(OSError("Unable to open file")) == "OSError: Unable to open file"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{\n oops}", "expecting property name enclosed in double quotes at line 2, column 2, found 'oops}'"),
        ("", "it ends at line 1, column 1"),
    ],
)
def test_a_reason_says_where_and_what(text, why):
    with pytest.raises(json.JSONDecodeError) as error:
        json.loads(text)
    assert reason(error.value) == f"not JSON: {why}"


def test_a_reason_is_never_empty():
    assert reason(KeyError("rewards")) == "rewards is missing"
    assert reason(OSError("Unable to open file (truncated file: eof = 96 (0x60))")) == "truncated file: eof = 96 (0x60)"
    assert reason(ValueError("three (3) are needed")) == "three (3) are needed"
    with pytest.raises(AssertionError) as error:
        raise AssertionError
    assert reason(error.value) == "AssertionError at: raise AssertionError"
