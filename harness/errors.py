"""Errors for the user, each shown as one line."""

import errno
import re

# Errors of the file system rather than the program: the same work succeeds once they are resolved.
PLACE_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
)  # fmt: skip


class UserError(Exception):
    """Bad input, or a machine that lacks something: one line that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """The first line of an error's message, preceded by its type unless it is a `UserError`.

    Errors of the file system name the file, if it is known.
    """
    if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
        return f"{error.filename or 'disk'}: {(error.strerror or str(error)).lower()}"
    message = str(error).strip().partition("\n")[0]
    if isinstance(error, UserError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def reason(error: BaseException) -> str:
    """The informative part of an error: the system's message, or the text that HDF5 puts in brackets, or all of it."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    match = re.search(r"error message = '([^']*)'", text) or re.search(r"\((.+)\)", text)
    return match.group(1) if match else text
