"""Files that are whole or as they were before, on disks that fill up and machines that die."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import UserError


class DamagedFileError(UserError):
    """A file does not hold what was written to it. An older state of the same run may be sound."""


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Let every OSError name `file`: a full disk does not say by itself which file it refused."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[BinaryIO]:
    """A stream for the new content of `file`: its own file, synchronised and renamed over the old one if all goes well.

    Otherwise `file` stays as it was. A process that is killed leaves `.<name>.<random digits>` behind.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with naming(file):
            with open(temporary, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, file)
    except BaseException:
        # A read-only disk refuses this too; the first refusal is the one to tell.
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def synchronise_folder(folder: Path) -> None:
    """Return when the names in a folder will survive a power failure: those given by `atomic_write`, for example."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems cannot do this to a folder; there is nothing better to do on them.
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
        finally:
            os.close(descriptor)


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinity are refused."""
    data = json_bytes(value)
    with atomic_write(file) as stream:
        stream.write(data)


def json_bytes(value: Any) -> bytes:
    """What `write_json` writes."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def read_json(file: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None if there is no such file. Damage raises `DamagedFileError`."""
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise DamagedFileError(f"{file}: is a folder where a file should be") from None
    except (ValueError, RecursionError):
        raise DamagedFileError(f"{file}: is damaged (not JSON)") from None
    if not isinstance(value, dict):
        raise DamagedFileError(f"{file}: is damaged (a JSON object should be in it)")
    return value
