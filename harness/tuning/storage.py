"""Where the trials of a study are stored, a journal beside its runs or a database, and the leases of its drivers."""

import contextlib
import errno
import json
import os
import secrets
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from harness.errors import UserError, one_line, reason
from harness.files import DamagedFileError, absolute, check_file, locked, naming, read_json, write_json
from harness.folders import attempts
from harness.folders.attempts import Attempt

# Folder in a root that holds a folder for every study.
STUDIES = "studies"

# Files and folders in the folder of a study: journal, run folders of the trials, ledger, report, leases, identity.
JOURNAL, RUNS, TRIALS, REPORT, LEASES, IDENTITY = (
    "journal.log", "runs", "trials.json", "report", "drivers", "identity.json",
)  # fmt: skip

# Lock of the journal, and number of its bytes that are read at a time.
JOURNAL_LOCK = ".journal.lock"
BLOCK = 2**16

# Seconds to wait for the lock while other drivers ask for trials.
LOCK_TIMEOUT = 120.0


def folder_of(root: Path, study: str) -> Path:
    """The folder of a study."""
    return absolute(root) / STUDIES / study


def open_storage(folder: Path, url: str | None = None, create: bool = True) -> BaseStorage:
    """The journal in a study's folder, or a database by its URL, for example postgresql+psycopg://user@host/name.

    Without `create` nothing is written, and it must exist. Raises UserError if the storage cannot be opened.
    """
    try:
        if url is not None:
            if not create and _is_missing(url):
                raise UserError("not found; start the study first")
            return RDBStorage(url, skip_table_creation=not create)
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        elif not (folder / JOURNAL).exists():
            raise UserError("not found; start the study first")
        return JournalStorage(Journal(folder / JOURNAL))
    except OSError as error:
        raise UserError(f"{folder}: {one_line(error)}; choose another --root") from None
    except DamagedFileError:
        raise
    except Exception as error:
        # Database drivers raise exceptions of many classes.
        text = one_line(error) if url or isinstance(error, UserError) else f"damaged: {reason(error)}"
        raise UserError(f"{described_storage(folder, url)}: {text}") from None


def described_storage(folder: Path, url: str | None) -> str:
    """A storage in messages."""
    return f"--storage {without_password(url)}" if url else str(folder / JOURNAL)


def _is_missing(url: str) -> bool:
    """Whether a URL names the file of an SQLite database that does not exist, which opening would create."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists()


@contextlib.contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn errors of a storage during a block, such as a full disk or a lost connection, into a UserError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        raise UserError(f"{place}: {one_line(cause)}; the same command resumes") from None


class Journal(JournalFileBackend):
    """Optuna's journal with a lock that the system releases, and without incomplete lines.

    Optuna's lock is a link to the journal: it stays behind when its owner is killed, and points nowhere when the folder
    is moved. A line that was cut by a full disk would make all later ones unreadable.
    """

    def __init__(self, file: Path):
        with contextlib.suppress(FileNotFoundError):
            check_file(file)
        super().__init__(str(file))
        self._file = file

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append a line per entry; an incomplete last line is dropped first. After an error the file is unchanged."""
        data = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs).encode()
        lock = locked(self._file.with_name(JOURNAL_LOCK), LOCK_TIMEOUT, "write to the journal")
        with lock, naming(self._file), open(self._file, "r+b", buffering=0) as stream:
            end = self._complete_length(stream)
            try:
                stream.seek(end)
                if stream.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    stream.truncate(end)
                raise

    def _complete_length(self, stream: BinaryIO) -> int:
        """The length of the file without an incomplete last line, which is cut off."""
        length = end = stream.seek(0, os.SEEK_END)
        block = b""
        while end and not block.endswith(b"\n"):
            start = max(0, end - BLOCK)
            stream.seek(start)
            block = stream.read(end - start)
            end = start + block.rfind(b"\n") + 1
            block = block[: end - start]
        *before, last = block[:-1].split(b"\n")
        if end and (before or end == len(block)) and not _is_json(last):
            # Optuna ignores such a line until another one follows, and then refuses the file.
            raise DamagedFileError(f"{self._file}: damaged: its last line is not JSON; remove that line")
        if end < length:
            stream.truncate(end)
            print(f"{self._file}: dropped an incomplete last line of {length - end} bytes", file=sys.stderr)
        return end


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def identity(folder: Path) -> str:
    """A random name of a study's folder, the same under every path to it; created on the first call.

    Drivers that share a database must share the folder too, where their leases are. Call it under `asking`.
    """
    file = folder / IDENTITY
    if not file.exists():
        write_json(file, {"folder": secrets.token_hex(8)})
    name = (read_json(file) or {}).get("folder")
    if not isinstance(name, str):
        raise DamagedFileError(f"{file}: is damaged (names no folder); restore it from a backup or use another --root")
    return name


def without_password(url: str) -> str:
    """The URL of a database with its password hidden."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[None]:
    """The lock under which one driver of a study at a time asks for trials; freed if its owner is killed."""
    with locked(folder / ".asking", LOCK_TIMEOUT, "ask for trials"):
        yield


def acquire_leases(folder: Path) -> list[Attempt]:
    """Acquire every lease of a study that no living driver holds, or a new one if all are held.

    Every trial belongs to a lease, and a lease has at most one living driver. It is owned like a run: its owner has a
    heartbeat (`harness.folders.attempts`), and whoever acquires it after the owner's death continues its open trials.
    """
    leases = folder / LEASES
    leases.mkdir(parents=True, exist_ok=True)
    details = {"launcher": "tune"}
    numbers = sorted(int(lease.name) for lease in leases.iterdir() if lease.name.isdigit())
    acquired = [attempt for number in numbers if (attempt := attempts.acquire(leases / str(number), details))]
    new_numbers = count(max(numbers, default=0) + 1)
    while not acquired:
        lease = leases / str(next(new_numbers))
        lease.mkdir(exist_ok=True)
        if attempt := attempts.acquire(lease, details):
            acquired.append(attempt)
    return acquired


def lease_number(lease: Attempt) -> int:
    """The number of a lease."""
    return int(lease.folder.parent.name)
