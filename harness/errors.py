"""Errors for the user, each shown as one line."""

import errno
import json
import os
import re
import sys
import traceback
from pathlib import Path

# Errors of a file system, its server or a killed process rather than the program: the same work succeeds later.
PLACE_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
    errno.ENOLCK, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENOTCONN, errno.ESHUTDOWN, errno.ENXIO, errno.ENODEV, errno.EBUSY,
    errno.ECHILD,
)  # fmt: skip


class UserError(Exception):
    """Bad input, or a machine that lacks something: one line that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


def is_of_place(error: BaseException) -> bool:
    """Whether an error is one of the file system or the GPU rather than of the work, which can be resumed later."""
    if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
        return True
    # Without torch there was no GPU.
    if "torch" not in sys.modules:
        return False
    from algorithms.kernels.gpu import is_of_device

    return is_of_device(error)


def is_of_system(error: BaseException) -> bool:
    """Whether the operating system refused something, usually a path that the user named: `one_line` says all."""
    return isinstance(error, OSError) and error.errno is not None and error.strerror is not None


def one_line(error: BaseException) -> str:
    """The first line of an error's message, preceded by its type unless it is a `UserError`.

    Errors of the operating system name the file, if it is known.
    """
    if isinstance(error, OSError) and is_of_system(error):
        names = [
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path)
        ]
        return f"{' to '.join(names) or 'file system'}: {(error.strerror or '').lower()}"
    message = str(error).strip().partition("\n")[0]
    if isinstance(error, UserError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def reason(error: BaseException) -> str:
    """The informative part of an error: what was expected, where, and what was read instead, where known.

    Of errors of HDF5 the text in brackets.
    """
    if isinstance(error, json.JSONDecodeError):
        excerpt = error.doc[error.pos : error.pos + 20]
        where = f"at line {error.lineno}, column {error.colno}"
        return f"not JSON: {error.msg.lower()} {where}, found {excerpt!r}" if excerpt else f"not JSON: it ends {where}"
    text = getattr(error, "strerror", None) or str(error.args[0] if len(error.args) == 1 else error)
    text = " ".join(text.split())
    if isinstance(error, KeyError) and text.isidentifier():
        return f"{text} is missing"
    if not text:
        # An assertion without a message is in the code of a library.
        frames = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__}{f' at: {frames[-1].line}' if frames and frames[-1].line else ''}"
    match = re.search(r"error message = '([^']*)'", text) or re.match(r"(?:Unable|Can't) [^(]*\((.+)\)$", text)
    return match.group(1) if match else text
