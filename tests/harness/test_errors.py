"""Every error has an informative line."""

import errno

from harness.errors import UserError, one_line


def test_one_line():
    assert one_line(UserError("task x: no")) == "task x: no"
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(MemoryError()) == "MemoryError"


def test_file_system_errors_name_the_file():
    assert one_line(OSError(errno.ENOSPC, "No space left on device", "runs/a")) == "runs/a: no space left on device"
    assert one_line(OSError(errno.EROFS, "Read-only file system")) == "disk: read-only file system"
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "a")
    assert one_line(missing) == "FileNotFoundError: [Errno 2] No such file or directory: 'a'"
