"""Doing something as a user without rights."""

import multiprocessing
import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import one_line


def as_ordinary_user(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of the user nobody, or of this one if it is not root.

    The process is a fork, since nobody may not be allowed to read this interpreter; what `function` needs must have
    been imported.
    """
    fork = multiprocessing.get_context("fork")
    report = fork.SimpleQueue()
    child = fork.Process(target=_report, args=(report, function, arguments))
    child.start()
    outcome, value = report.get()
    child.join()
    if outcome == "skip":
        pytest.skip(value)
    assert outcome == "returned", value
    return value


def ordinary_user() -> int:
    """The number of the user that `as_ordinary_user` becomes."""
    return os.geteuid() or pwd.getpwnam("nobody").pw_uid


def _report(report: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        if os.access(__file__, os.R_OK):
            report.put(("returned", function(*arguments)))
        else:
            report.put(("skip", "nobody may not read this checkout"))
    except BaseException as error:
        report.put(("failed", one_line(error)))
