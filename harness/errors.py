"""Errors that a user is meant to read, in one line each."""

import errno
import re

# Faults of the place that is written to, not of the program: the same work succeeds once there is room again.
PLACE_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
)  # fmt: skip


class UserError(Exception):
    """Bad input or a machine that cannot do what was asked: one line that says what is wrong and what would be right.

    The command line prints the message without a traceback and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """An error in one line: the first line of its message, after its kind unless it is meant to be read as it is.

    A fault of the place names the file, if the error knows it.
    """
    if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
        return f"{error.filename or 'disk'}: {(error.strerror or str(error)).lower()}"
    message = str(error).strip().partition("\n")[0]
    if isinstance(error, UserError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def reason(error: BaseException) -> str:
    """The telling part of an error: the system's words, or what HDF5 puts in brackets, or all of it in one line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    found = re.search(r"error message = '([^']*)'", text) or re.search(r"\((.+)\)", text)
    return found.group(1) if found else text
