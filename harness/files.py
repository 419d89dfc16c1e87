"""Atomic file writing, also on full disks and through crashes."""

import contextlib
import errno
import json
import os
import re
import resource
import secrets
import stat
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from harness.errors import UserError

# Seconds of waiting for a lock that are not reported.
SILENT_WAIT = 10.0

# Number of folders that are read at once, and how many a thread reads before it takes the next ones.
READERS, READ_TOGETHER = 8, 50

# Largest size of a TOML file in bytes.
LARGEST_TOML = 1_000_000

Item = TypeVar("Item")
Result = TypeVar("Result")


class DamagedFileError(UserError):
    """A file does not contain what was written to it. An older checkpoint of the run may be intact."""


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Make every OSError name `file`; errors such as a full disk do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def absolute(path: Path) -> Path:
    """The absolute path without links; unlike `Path.resolve`, a loop of links is left to the first access."""
    return Path(os.path.realpath(path))


def check_folder(folder: Path) -> None:
    """Raise UserError or OSError unless a path is a folder or does not exist yet.

    `Path.exists` takes some paths for missing that cannot be read, such as one below a file.
    """
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise UserError(f"{folder}: is not a folder")
    except FileNotFoundError:
        return


@contextlib.contextmanager
def atomic_write(file: Path, check: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
    """Yield a stream to a temporary file, which is synchronised and renamed to `file` at the end of the block.

    `check` is called between the two, as synchronising and closing a file may take long; if it raises, nothing is
    renamed.

    After an error `file` is unchanged. A killed process leaves `.<name>.<random digits>` behind.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with naming(file):
            with open(temporary, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            check()
            os.replace(temporary, file)
    except BaseException:
        # A read-only disk raises here too; the first error is the one to report.
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def locked(file: Path, timeout: float, work: str) -> Iterator[None]:
    """Hold the lock on a file, which the system releases if its owner is killed; `work` says what the owner does.

    Reports a wait on stderr. Raises UserError after `timeout` seconds, and OSError naming the file if the file system
    has no locks.
    """
    import filelock

    lock = filelock.FileLock(file)
    with naming(file):
        try:
            lock.acquire(timeout=min(timeout, SILENT_WAIT))
        except filelock.Timeout:
            if timeout > SILENT_WAIT:
                print(f"waiting for another process to {work} (it holds {file})", file=sys.stderr, flush=True)
            try:
                lock.acquire(timeout=max(0.0, timeout - SILENT_WAIT))
            except filelock.Timeout:
                raise UserError(f"{file}: another process has held this lock for {timeout:,.0f} s to {work}; "
                                "wait until it has ended, then try again") from None  # fmt: skip
    try:
        yield
    finally:
        lock.release()


def synchronise_folder(folder: Path) -> None:
    """Make the names in a folder durable, such as those that `atomic_write` gave."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems cannot synchronise folders.
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
        finally:
            os.close(descriptor)


def write_json(file: Path, value: Any, check: Callable[[], None] = lambda: None) -> None:
    """Write a JSON file atomically (`atomic_write`); NaN and infinity raise ValueError."""
    data = json_bytes(value)
    with atomic_write(file, check) as stream:
        stream.write(data)


def json_bytes(value: Any) -> bytes:
    """The bytes that `write_json` writes."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def open_file(file: Path | str) -> FileIO:
    """Open a regular file to read, without a buffer. Raises OSError, and `DamagedFileError` for anything else.

    Opening a pipe would wait for its writer, and a device has no end.
    """
    try:
        # Without waiting for the writer of a pipe.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # As of a socket.
        if error.errno == errno.ENXIO:
            check_file(file)
        raise
    try:
        _check_kind(file, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return FileIO(descriptor)


def check_file(file: Path | str) -> None:
    """Raise `DamagedFileError` unless a path is a regular file, and OSError if it is missing.

    For libraries that open files themselves.
    """
    _check_kind(file, os.stat(file))


def _check_kind(file: Path | str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise DamagedFileError(f"{file}: is {kind} where a file should be")


_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


def read_bytes(file: Path | str) -> bytes:
    """The content of a regular file (`open_file`).

    Takes half the time of `Path.read_bytes`; large roots have many thousands of files.
    """
    with open_file(file) as stream:
        return stream.read()


def read_text(file: Path | str) -> str:
    """The text of a regular file in UTF-8."""
    return read_bytes(file).decode()


def read_many(read: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results of `read`, which must not depend on each other, in the order of the items.

    As soon as reading is mostly waiting, as on cold disks and network file systems, threads read what is left. Where
    files are in memory, they would take twice as long.
    """
    results: list[Result] = []
    while len(results) < len(items):
        part = items[len(results) : len(results) + READ_TOGETHER]
        started, busy, waits = time.perf_counter(), time.thread_time(), _waits()
        results += [read(item) for item in part]
        busy, waits = time.thread_time() - busy, _waits() - waits
        # On a busy machine time passes without waiting, too.
        if waits >= len(part) and time.perf_counter() - started > 2 * busy:
            return results + _read_by_threads(read, items[len(results) :])
    return results


def _waits() -> int:
    """How often this thread has waited for something, as for a disk."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _read_by_threads(read: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    parts = [items[start : start + READ_TOGETHER] for start in range(0, len(items), READ_TOGETHER)]
    pool = ThreadPoolExecutor(READERS, "reader")
    try:
        return [result for part in pool.map(lambda part: [read(item) for item in part], parts) for result in part]
    finally:
        # After an error or an interruption the other parts are not read.
        pool.shutdown(cancel_futures=True)


def read_json(file: Path | str) -> dict[str, Any] | None:
    """The object in a JSON file, or None if the file does not exist. Raises `DamagedFileError`."""
    try:
        text = read_bytes(file)
    except FileNotFoundError:
        return None
    return json_object(text, file)


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file that a user has written, and its values.

    Raises FileNotFoundError, and UserError with the line for anything that is not valid, also if it was made to need
    much memory or time.
    """
    try:
        with BufferedReader(open_file(file)) as stream:
            data = stream.read(LARGEST_TOML + 1)
        if len(data) > LARGEST_TOML:
            raise UserError(f"{file}: is larger than {LARGEST_TOML:,} bytes")
        # As in files that are opened as text.
        text = data.decode().replace("\r\n", "\n")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not a text file in UTF-8 (byte {error.start + 1})") from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{file}:{line[1]}" if line else f"{file}:{len(text.splitlines())}"
        raise UserError(f"{place}: not valid TOML: {str(error).partition(' (at')[0].lower()}") from None
    except ValueError:
        # Python reads no integers of thousands of digits.
        raise UserError(f"{file}: not valid TOML: an integer has too many digits") from None
    except RecursionError:
        raise UserError(f"{file}: is nested too deeply") from None


def json_object(text: bytes, file: Path | str) -> dict[str, Any]:
    """The object in the text of a JSON file. Raises `DamagedFileError`, which names the file."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedFileError(f"{file}: is damaged (not JSON)") from None
    if not isinstance(value, dict):
        raise DamagedFileError(f"{file}: is damaged (a JSON object should be in it)")
    return value
