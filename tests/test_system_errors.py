"""What the operating system refuses about a path is one line with the path and exit code 2, for every command."""

import builtins
import errno
import io
import os
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from ablations.grids import runs_of
from tests.support.command_line import call_here, only_line
from tests.support.run_folder_factory import write_done

# Errors of paths and of network file systems.
CODES = [
    getattr(errno, name)
    for name in (
        "ENAMETOOLONG", "ELOOP", "ENOTDIR", "EACCES", "EROFS", "EIO", "ESTALE", "ENOLCK", "ETIMEDOUT", "EHOSTDOWN",
        "EREMOTEIO", "ENOSPC", "EDQUOT", "ESHUTDOWN", "EMFILE",
    )
]  # fmt: skip

# Every command with a path, which is ROOT.
COMMANDS = [
    "plan smoke --root ROOT",
    "run smoke --root ROOT",
    "submit smoke --cluster cpu --root ROOT",
    "status --root ROOT",
    "logs 0 --root ROOT",
    "cancel smoke --yes --root ROOT",
    "retry smoke --root ROOT",
    "verify smoke --root ROOT",
    "report --root ROOT",
    "report --from ROOT",
    "tune status smoke --root ROOT",
    "data pen-binary --from ROOT",
]

CALLS = ("stat", "lstat", "open", "mkdir", "listdir", "scandir", "access", "readlink", "utime", "link", "rename")


@contextmanager
def refused(place, code):
    """Make every call of the operating system about a path below `place` fail."""

    def refusing(call):
        def made(path=".", *arguments, **named):
            if not isinstance(path, int) and os.fsdecode(path).startswith(str(place)):
                raise OSError(code, os.strerror(code), os.fsdecode(path))
            return call(path, *arguments, **named)

        return made

    with (
        patch.multiple(os, **{name: refusing(getattr(os, name)) for name in CALLS}),
        patch.object(io, "open", refusing(io.open)),
        patch.object(builtins, "open", refusing(builtins.open)),
    ):
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_done(root, runs_of("smoke"))
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_of_the_operating_system_is_one_line(command, root, capsys):
    for code in CODES:
        with refused(root, code):
            line = only_line(call_here(capsys, *command.replace("ROOT", str(root)).split(), code=2))
        assert str(root) in line, (errno.errorcode[code], line)
        assert "Traceback" not in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_is_too_long_is_one_line(command, tmp_path, capsys):
    place = tmp_path / ("x" * 300)
    assert str(place) in only_line(call_here(capsys, *command.replace("ROOT", str(place)).split(), code=2))


def test_doctor_reports_the_other_checks(root, capsys):
    with refused(root, errno.ESTALE):
        done = call_here(capsys, "doctor", "--root", root, code=1)
    assert "problem  runs" in " ".join(done.stdout.split("\n")).replace("   ", "  ") or "problem" in done.stdout
    assert f"{root}: stale file handle" in done.stdout
    assert "python" in done.stdout
