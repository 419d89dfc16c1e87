"""Run a function as an unprivileged user."""

import multiprocessing
import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import one_line


def as_ordinary_user(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of the user nobody (of the current user, if that is not root).

    The process is a fork, as nobody may not be able to read the interpreter; all imports must have happened before.
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
    """The user id that `as_ordinary_user` uses."""
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
            report.put(("skip", "the user nobody cannot read this checkout"))
    except BaseException as error:
        report.put(("failed", one_line(error)))
